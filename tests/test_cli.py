"""The `course` command: help, mistakes, JSON, interruptions, and the ladder on somebody's own file."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.cli import app, main

COMMANDS = [entry.callback.__name__ for entry in app.registered_commands if entry.callback]
Captured = Callable[..., tuple[int, str, str]]


def sentence(error: str) -> str:
    """The last line, which must be one sentence of the command line."""
    line = error.strip().splitlines()[-1]
    assert line.startswith("error: "), error
    assert line.endswith((".", "?")), error
    return line


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of somebody's own: three classes, and columns with names of their own."""
    words = {"glad": "lovely fine warm sunny", "sad": "grey cold lost broken", "angry": "late rude loud unfair"}
    rows = ["note,mood"]
    for place in ("Lagos", "Lima", "Pune", "Oslo", "Hanoi", "Quito", "Cairo", "Turin"):
        for mood, adjectives in words.items():
            rows += [
                f"The {thing} in {place} was {word},{mood}"
                for thing, word in zip(("bus", "room", "soup", "park"), adjectives.split(), strict=True)
            ]
    path = tmp_path_factory.mktemp("data") / "moods.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


# -- help and mistakes -------------------------------------------------------------------------------------------------


def test_every_command_of_the_plan_is_there() -> None:
    commands = ["doctor", "plan", "run", "ladder", "predict", "finetune", "generate", "pretrain", "evaluate"]
    assert [*commands, "claims", "build", "style"] == COMMANDS
    assert [group.name for group in app.registered_groups] == ["data"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(course: Captured, command: str) -> None:
    code, out, _ = course(command, "--help")
    assert code == 0
    assert "Usage: course" in out
    assert f"Example: course {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_answered_with_one_sentence(course: Captured, command: str) -> None:
    code, out, err = course(command, "--no-such-option")
    assert (code, out) == (2, "")
    assert "No such option: --no-such-option" in sentence(err)
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ladr"], "No such command 'ladr'"),
        (["run", "77"], "There is no lesson '77'; choose from 00_start_here"),
        (["run", "00", "--tier", "huge"], "There is no tier 'huge'"),
        (["ladder", "--seed", "many"], "'--seed'"),
        (["ladder", "--max-train", "0"], "'--max-train'"),
        (["ladder", "--rungs", "tfidf,stairs"], "There is no rung 'stairs'"),
        (["ladder", "--data", "no/such.csv", "--text", "a", "--label", "b"], "no/such.csv"),
        (["predict", "hello"], "Missing option '--model'"),
        (["predict", "--model", "no/model", "hello"], "There is no trained classifier in no/model"),
        (["claims", "--lesson", "77"], "no claims of lesson '77'"),
        (["style", "77"], "There is no lesson '77'"),
        (["build", "77"], "There is no lesson '77'"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_a_sentence_and_exit_code_2(
    course: Captured, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = course(*arguments)
    assert (code, out) == (2, "")
    assert said in sentence(err)


def test_the_version_is_printed(course: Captured) -> None:
    from course_lib import __version__

    assert course("--version") == (0, f"course {__version__}\n", "")


def test_the_door_opens_without_anything_heavy() -> None:
    code = "import sys, course_lib.cli\ncourse_lib.cli.main(['--help'])\n"
    code += "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'numpy', 'pandas', 'matplotlib', 'nbformat'}\n"
    code += "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- figures as JSON ---------------------------------------------------------------------------------------------------


def test_doctor_prints_the_machine_for_people_and_for_programs(course: Captured) -> None:
    code, out, _ = course("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["tier"]["name"] == "smoke"
    _, out, _ = course("doctor")
    assert report["hardware"]["cpu"] in out
    assert "smoke, chosen by COURSE_TIER" in out


def test_claims_can_be_listed_for_a_lesson_and_checked(course: Captured) -> None:
    code, out, _ = course("claims", "--lesson", "00", "--check", "--json")
    (entry,) = json.loads(out)
    assert code == 0
    assert entry["id"] == "prefer-local"
    assert entry["verdict"] == entry["supports"]
    code, out, _ = course("claims")
    assert code == 0
    assert "lora-merge" in out


def test_a_verdict_that_its_figures_do_not_support_fails(course: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    from course_lib.teach import claims

    wrong = [row | {"verdict": "rumour"} for row in claims.rows("00")]
    monkeypatch.setattr(claims, "rows", lambda lesson=None: wrong)
    code, out, _ = course("claims", "--lesson", "00", "--check")
    assert code == 1
    assert "prefer-local: the ledger says 'rumour', the figures say" in out


# -- the ladder on one's own data --------------------------------------------------------------------------------------


def test_the_ladder_climbs_a_file_of_ones_own_and_its_model_predicts(
    course: Captured, moods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["ladder", "--data", moods, "--text", "note", "--label", "mood", "--out", tmp_path / "mine"]
    command += ["--rungs", "majority, tfidf", "--json"]
    code, out, err = course(*command)
    result = json.loads(out)
    assert code == 0
    assert [rung["rung"] for rung in result["rungs"]] == ["majority", "tfidf"]
    assert sorted(result["classes"]) == ["angry", "glad", "sad"]
    assert result["best"] == "tfidf"
    assert "2/2" in err

    texts = ["The soup was warm and lovely", "They were late and rude"]
    code, out, _ = course("predict", "--model", result["model"], *texts, "--json")
    assert code == 0
    assert [entry["label"] for entry in json.loads(out)] == ["glad", "angry"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([texts[0], "", texts[1]])))
    code, out, _ = course("predict", "--model", result["out"], "-")
    assert [line.split()[0] for line in out.splitlines()] == ["glad", "angry"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "There is no text to classify" in sentence(course("predict", "--model", result["out"], "-")[2])


def test_a_second_call_of_the_ladder_finds_its_rungs_and_another_task_is_refused(
    course: Captured, moods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["ladder", "--data", moods, "--text", "note", "--label", "mood", "--rungs", "majority,tfidf"]
    first = course(*command, "--json")
    folder = Path(json.loads(first[1])["out"])
    assert folder.parts[:2] == ("build", "ladder")
    kept = {path: path.stat().st_mtime_ns for path in (folder / "rungs").iterdir()}
    code, out, _ = course(*command)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("  majority", "  tfidf"))] == [
        "majority",
        "tfidf",
    ]
    assert {path: path.stat().st_mtime_ns for path in (folder / "rungs").iterdir()} == kept
    assert course(*command, "--seed", "1")[0] == 0, "another seed has a folder of its own"
    assert "holds the results of another task" in sentence(course(*command, "--seed", "1", "--out", folder)[2])


def test_a_missing_column_is_named(course: Captured, moods: Path) -> None:
    code, _, err = course("ladder", "--data", moods, "--text", "notes", "--label", "mood")
    assert code == 2
    assert "notes" in sentence(err)
    assert "moods.csv" in sentence(err)


def test_ctrl_c_keeps_the_finished_rungs_and_the_same_command_continues(moods: Path, tmp_path: Path) -> None:
    code = "import sys; from course_lib.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "ladder", "--data", str(moods), "--text", "note", "--label", "mood"]
    command += ["--rungs", "majority,tfidf,all", "--out", str(tmp_path / "out"), "--json"]
    environment = {**os.environ, "COURSE_TIER": "cpu", "PYTHONUNBUFFERED": "1"}
    climb = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert climb.stderr
    heard = []
    for line in climb.stderr:
        heard.append(line)
        if "2/3" in line:
            climb.send_signal(signal.SIGINT)
            break
    out, rest = climb.communicate(timeout=60)
    assert (climb.returncode, out) == (130, ""), "".join(heard) + rest
    assert "Interrupted; 2 finished rungs saved in" in rest
    assert "Traceback" not in rest
    command[command.index("majority,tfidf,all")] = "majority,tfidf"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout)["best"] == "tfidf"


# -- notebooks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of two tiny lessons, found as the current folder's."""
    from course_lib.lessons import catalog
    from tests.small_course import SECOND, small_course

    root = small_course(tmp_path / "course", second=SECOND + "\n# %%\n1 / 0\n")
    monkeypatch.setattr(catalog, "home", lambda: root)
    monkeypatch.chdir(root)
    assert main(["build", "--no-execute"]) == 0
    return root


def test_a_failing_cell_makes_the_run_fail_and_is_shown(course: Captured, small: Path) -> None:
    code, out, err = course("run", "--tier", "smoke", "--out", "results")
    assert code == 1
    rows = [line.split() for line in out.splitlines() if line.strip().startswith("0")]
    assert [(row[0], row[1], row[-1]) for row in rows] == [("01_small", "6", "passed"), ("02_another", "2", "failed")]
    assert "02_another, cell 3: ZeroDivisionError: division by zero" in err
    assert "    1 / 0" in err
    assert json.loads((small / "results" / "run.json").read_text(encoding="utf-8"))["tier"] == "smoke"


def test_a_run_can_be_read_by_a_program(course: Captured, small: Path) -> None:
    code, out, err = course("run", "01", "--tier", "smoke", "--json")
    assert code == 0
    assert [lesson["status"] for lesson in json.loads(out)["lessons"]] == ["passed"]
    assert "01_small" in err


def test_an_author_builds_and_is_told_about_style(course: Captured, small: Path) -> None:
    code, out, _ = course("build", "01", "--instructor", "--no-execute", "--out", "teaching")
    assert code == 0
    assert out.split() == ["teaching/01_small.ipynb", "teaching/01_small.slides.html"]
    code, out, _ = course("style", "01", "--json")
    assert code == 0
    assert json.loads(out)[0]["figures"]["cells"] == 8
    assert "01_small: cells: 8, wanted 40 to 80" in course("style", "01")[1]


def test_a_build_that_fails_shows_the_cell(course: Captured, small: Path) -> None:
    code, _, err = course("build", "02", "--tier", "smoke")
    assert code == 2
    assert "02_another: cell 3 failed with ZeroDivisionError: division by zero" in err
    assert err.strip().endswith("1 / 0")
