"""The metrics as modules of `evaluate`: loaded by their path, without a network, and saying what the functions say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from math import log
from pathlib import Path

import pytest

from course_lib import metrics
from course_lib.errors import CourseError
from course_lib.metrics.forms import in_format
from course_lib.metrics.interval import mean_interval
from course_lib.metrics.sql import sql_match
from course_lib.metrics.text import exact_match, numeric_match, rouge_l, token_f1

ROOT = Path(__file__).parents[1]
NAMES = ["exact_match", "format_adherence", "numeric_answer", "perplexity", "rouge_l", "sql_execution", "token_f1"]
FUNCTIONS = {
    "exact_match": exact_match,
    "numeric_answer": numeric_match,
    "rouge_l": rouge_l,
    "token_f1": token_f1,
    "format_adherence": in_format,
}
PREDICTIONS = ["The red heron.", "it is 12", "", "ünï 東京", "good"]
REFERENCES = {
    "format_adherence": ["sentence", "number", "text", "line", "choice: good | bad"],
    "": ["red heron", "12.0", "x", "ünï", "good"],
}


def test_the_metrics_that_there_are_can_be_listed_and_others_are_refused_by_name():
    assert metrics.available() == NAMES
    for name in ("bleu", "modules", "__init__", "../text", "token_f1/token_f1.py", ""):
        with pytest.raises(CourseError, match="load one of exact_match, "):
            metrics.load(name)


def test_importing_the_metrics_is_light():
    heavy = {"torch", "evaluate", "datasets", "transformers", "pandas", "scipy", "sklearn"}
    code = f"import sys, course_lib.metrics.report, course_lib.metrics.perplexity; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_module_says_what_the_function_says_with_its_interval(name):
    module = metrics.load(name)
    references = REFERENCES.get(name, REFERENCES[""])
    found = module.compute(predictions=PREDICTIONS, references=references)
    scores = [FUNCTIONS[name](*pair) for pair in zip(PREDICTIONS, references, strict=True)]
    low, high = mean_interval(scores)
    assert found == {name: pytest.approx(sum(scores) / 5), "low": low, "high": high}
    assert 0 < found[name] < 1
    for prediction, reference in zip(PREDICTIONS, references, strict=True):
        module.add(prediction=prediction, reference=reference)
    assert module.compute() == found
    assert module.info.description


def test_statements_come_with_the_tables_they_are_run_on():
    create = ["CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);"] * 3
    statements = ["SELECT a FROM t ORDER BY a DESC", "SELECT b FROM t", "DROP TABLE t"]
    references = ["SELECT a FROM t", "SELECT a FROM t", "SELECT COUNT(*) FROM t"]
    found = metrics.load("sql_execution").compute(predictions=statements, references=references, create=create)
    assert found["sql_execution"] == pytest.approx(1 / 3)
    assert [sql_match(*item) for item in zip(create, statements, references, strict=True)] == [1.0, 0.0, 0.0]


class Reader:
    """As surprised as a text is long."""

    def perplexity(self, texts: list[str]) -> float:
        """The mean number of characters."""
        return sum(map(len, texts)) / len(texts)


def test_perplexity_takes_log_probabilities_or_a_model():
    found = metrics.load("perplexity").compute(predictions=[log(1 / 64), log(1 / 4)], references=[3, 1])
    assert found == {"perplexity": pytest.approx(4)}
    assert metrics.load("perplexity", model=Reader()).compute(predictions=["abc", "a"]) == {"perplexity": 2.0}


def test_no_items_are_a_mistake_in_one_sentence():
    with pytest.raises(CourseError, match="no scores"):
        metrics.load("token_f1").compute(predictions=[], references=[])


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    import evaluate

    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", tmp_path / "file" / "modules")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(CourseError, match="set HF_HOME to a folder that can be written"):
        metrics.load("exact_match")


def test_modules_load_again_and_again_from_an_installed_package_with_an_empty_home(tmp_path):
    """No network (tests/no_network sees to it), nothing set for Hugging Face, nothing written into the package.

    The copies in the cache are imported anew the third time, as in a second process.
    """
    package, home = tmp_path / "site" / "course_lib", tmp_path / "home"
    shutil.copytree(ROOT / "course_lib" / "metrics", package / "metrics", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "course_lib" / name, package)
    home.mkdir()
    before = sorted(path.relative_to(package) for path in package.rglob("*"))
    for path in (package, *package.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    paths = os.pathsep.join([str(package.parent), str(ROOT / "tests" / "no_network")])
    environment = {**kept, "HOME": str(home), "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    code = (
        "import json, sys, course_lib; from course_lib import metrics\n"
        "assert course_lib.__file__.startswith(sys.argv[1])\n"
        "def found(): return metrics.load('rouge_l').compute(predictions=['a b'], references=['a c'])['rouge_l']\n"
        "first = [found(), found()]\n"
        "for name in [name for name in sys.modules if name.startswith('evaluate_modules')]: del sys.modules[name]\n"
        "print(json.dumps([*first, found(), len([metrics.load(name) for name in metrics.available()])]))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert json.loads(done.stdout) == [0.5, 0.5, 0.5, len(NAMES)]
    for path in (package, *package.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    assert sorted(path.relative_to(package) for path in package.rglob("*")) == before
    assert list((home / ".cache" / "huggingface").rglob("rouge_l.py"))
