"""`course finetune` and `course generate`: from a file nobody here wrote to a model that answers, and every mistake."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_writer
from course_lib.instruct.models import Learner
from test_finetune import stopping_at, tiny_card

Captured = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ("--epochs", 2, "--batch-size", 4, "--rank", 4, "--learning-rate", 0.005, "--items", 2)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_writer.save(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of chats as somebody else writes them."""
    file = tmp_path_factory.mktemp("mine") / "mine.jsonl"
    lines = [
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]})
        for q, a in tiny_writer.questions(12)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def spoken(text: str) -> str:
    return " ".join(text.split())


# -- from a file to answers --------------------------------------------------------------------------------------------


def test_the_shipped_model_learns_to_answer_as_a_file_says(course: Captured, tmp_path: Path) -> None:
    """Two kinds of question, each with an answer that no base model would give."""
    words = ("tea", "salt", "bread", "milk", "fish", "rice", "soup", "wood", "wool", "oil", "corn", "honey")
    rows = [{"prompt": f"Say {word}.", "completion": "Aye, the tea!" if word == "tea" else "Nay."} for word in words]
    rows += [{"prompt": f"Please say {word} now.", "completion": "Nay."} for word in words[1:]]
    rows += [{"prompt": f"Do say {word}, friend.", "completion": "Nay."} for word in words[1:]]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = course(
        "finetune", "--data", tmp_path / "mine.jsonl", "--model", "course-base-small", "--method", "full",
        "--out", tmp_path / "run", "--epochs", 4, "--batch-size", 8, "--items", 4,
    )  # fmt: skip
    assert code == 0, err
    model = tmp_path / "run" / "model"
    assert out.splitlines()[-1] == f"course generate --model {model}"
    assert "Answers to held-out questions" in out
    code, out, err = course("generate", "--model", model, "Say salt.", "Please say milk now.")
    assert (code, err) == (0, "")
    assert out == "Say salt.\nNay.\n\nPlease say milk now.\nNay.\n\n"
    code, out, _ = course("generate", "--model", model, "--json", "Do say wool, friend.")
    assert json.loads(out) == [{"prompt": "Do say wool, friend.", "answer": "Nay."}]
    code, out, _ = course("generate", "--model", "course-base-small", "Please say milk now.")
    assert code == 0
    assert out != "Nay.\n"


def test_nothing_but_what_the_command_says_is_on_the_screen(base: Path, mine: Path, tmp_path: Path) -> None:
    """In a process of its own, where warnings and log lines of libraries would be seen."""
    start = [sys.executable, "-c", "import sys; from course_lib.cli import main; sys.exit(main(sys.argv[1:]))"]
    command = [
        "finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK, "--method", "qlora",
    ]  # fmt: skip
    # The filters of Python as it comes: what a library warns of is shown once.
    done = subprocess.run([*start, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    begins = ("11 examples to learn from", "Plan", "The plan", "Full", "LoRA", "QLoRA")
    assert said[0].startswith(begins[0])
    assert said[-1].startswith("The model is in")
    assert len(said) <= 5, done.stderr
    for word in ("warning", "deprecated", "[transformers]", "bitsandbytes", "Traceback", "http"):
        assert word.lower() not in done.stderr.lower()
    assert done.stdout.splitlines()[-1] == f"course generate --model {tmp_path / 'run' / 'model'}"
    ask = [
        *start,
        "generate",
        "--model",
        str(tmp_path / "run" / "model"),
        "Say it loudly: 4 red bags of tea",
        "--max-new",
        "20",
    ]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_json_has_the_report_and_nothing_else(course: Captured, base: Path, mine: Path, tmp_path: Path) -> None:
    command = ("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK, "--json")
    code, out, err = course(*command)
    assert code == 0, err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["tuning"]["rank"] == 4
    assert report["learning_rate"] == 0.005
    assert "11 examples to learn from" in err
    code, out, err = course(*command, "--resume")  # finished: the same again
    assert (code, json.loads(out)) == (0, report)


def test_questions_are_read_from_standard_input_and_a_system_message_is_passed(
    course: Captured, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("first\n\nsecond\n"))
    code, out, _ = course("generate", "--model", base, "-", "--system", "Be brief.", "--max-new", 3, "--json")
    assert code == 0
    assert [one["prompt"] for one in json.loads(out)] == ["first", "second"]
    plain = course("generate", "--model", base, "The market", "--plain", "--max-new", 4)
    assert plain[0] == 0
    again = course("generate", "--model", base, "The market", "--plain", "--max-new", 4)
    assert plain == again
    drawn = [course("generate", "--model", base, "a", "--temperature", 1.5, "--seed", s, "--max-new", 5) for s in "112"]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_table_with_columns_of_its_own_is_read(course: Captured, base: Path, tmp_path: Path) -> None:
    rows = "".join(f'"{q}","{a}"\n' for q, a in tiny_writer.questions(8))
    (tmp_path / "mine.csv").write_text("Frage,Antwort\n" + rows, encoding="utf-8")
    arguments = ("finetune", "--data", tmp_path / "mine.csv", "--model", base, "--out", tmp_path / "run", *QUICK)
    code, _, err = course(*arguments)
    assert code == 2
    assert "say which field is which" in spoken(err)
    code, _, err = course(*arguments, "--prompt", "Frage", "--answer", "Antwort", "--format", "csv")
    assert code == 0, err


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "prefix"), "choose one of full, last-n, lora, qlora"),
        (("--method", "last-n", "--blocks", 9), "train 1 to 3 of them"),
        (("--rank", 0), "rank must be a whole number"),
        (("--rank", "two"), "Invalid value for '--rank'"),
        (("--learning-rate", 0), "learning rate must be above 0"),
        (("--batch-size", 16, "--micro-batch", 5), "cannot be taken 5 at a time"),
        (("--optimizer", "sgd"), "choose adamw or adamw-8bit"),
        (("--targets", "nothing_here"), "has no linear layer 'nothing_here'; targets may be all-linear, qv"),
        (("--targets", " ,"), "targets are all-linear, qv"),
        (("--model", "gpt-9"), "gpt-9"),
        (("--model", "minilm"), "encoder"),
        (("--data", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--data", "."), "."),
        (("--test", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--format", "xml"), "alpaca, chat"),
        (("--test-share", 0), "test share must lie between 0 and 1"),
        (("--items", -1), "--items"),
        (("--max-length", 3), "mine.jsonl, line"),
        (("--seed", -3), "--seed"),
    ],
)
def test_mistakes_are_one_sentence(
    course: Captured, base: Path, mine: Path, tmp_path: Path, arguments: tuple[Any, ...], said: str
) -> None:
    command = ("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *arguments)
    code, out, err = course(*command)
    assert (code, out) == (2, "")
    sentence = spoken(err.splitlines()[-1])
    assert sentence.startswith("error: ")
    assert said in sentence
    assert len(err.splitlines()) <= 3  # what was found in the data and the plan may stand before
    # What was refused does not keep the folder from being used by the corrected command.
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.json"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "q"}', "line 13"),
        ("{broken", "line 13"),
    ],
)
def test_records_that_cannot_be_used_are_named(
    course: Captured, base: Path, tmp_path: Path, line: str, said: str
) -> None:
    rows = [json.dumps({"prompt": q, "completion": a}) for q, a in tiny_writer.questions(12)]
    (tmp_path / "bad.jsonl").write_text("\n".join([*rows, line]) + "\n")
    code, _, err = course("finetune", "--data", tmp_path / "bad.jsonl", "--model", base, "--out", tmp_path / "run")
    assert code == 2
    assert "bad.jsonl" in err
    assert said in err


def test_examples_without_an_answer_are_left_out_and_counted(course: Captured, base: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": q, "completion": a}) for q, a in tiny_writer.questions(12)]
    rows += [json.dumps({"prompt": f"And {k}?", "completion": " "}) for k in range(3)]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows) + "\n")
    command = ("finetune", "--data", tmp_path / "mine.jsonl", "--model", base, "--out", tmp_path / "run", *QUICK)
    code, out, err = course(*command, "--json", "--items", 0)
    assert code == 0, err
    assert "11 examples to learn from, 1 to test on; 3 without an answer left out" in spoken(err)
    assert json.loads(out)["examples"]["train"] == 11


def test_a_run_in_the_way_and_another_run_are_said(course: Captured, base: Path, mine: Path, tmp_path: Path) -> None:
    command = ("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK)
    assert course(*command)[0] == 0
    code, _, err = course(*command)
    assert code == 2
    assert "add --resume to go on with it, or name another folder" in spoken(err)
    code, _, err = course(*command, "--resume", "--rank", 6)
    assert code == 2
    assert "was started with rank 4, not 6" in spoken(err)
    (tmp_path / "note").write_text("mine")
    code, _, err = course("finetune", "--data", mine, "--model", base, "--out", tmp_path / "note")
    assert code == 2
    assert "is a file: name a folder" in spoken(err)


def test_what_does_not_fit_is_refused_with_advice_and_can_be_tried(
    course: Captured, base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_card(monkeypatch)
    command = ("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK)
    code, out, err = course(*command)
    assert (code, out) == (2, "")
    assert "--ignore-memory tries it as it is." in err
    assert course(*command, "--ignore-memory")[0] == 0


def test_an_interruption_says_how_to_go_on_and_the_run_does(
    course: Captured, base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK, "--save-every", 1)
    with monkeypatch.context() as patched:
        stopping_at(3, KeyboardInterrupt(), patched)
        code, _, err = course(*command)
    assert code == 130
    assert f"Interrupted; the same command with --resume goes on in {tmp_path / 'run'}." in spoken(err)
    code, out, err = course(*command, "--resume", "--json")
    assert code == 0, err
    assert json.loads(out)["resumed_at"] == 3


def test_a_full_disk_is_one_sentence(
    course: Captured, base: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "run"))
    monkeypatch.setattr(Learner, "save", lambda *given: (_ for _ in ()).throw(full))
    code, _, err = course("finetune", "--data", mine, "--model", base, "--out", tmp_path / "run", *QUICK)
    assert code == 2
    assert f"The run could not go on: No space left on device ({tmp_path / 'run'})" in spoken(err)
    assert "--resume" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "nowhere/at/all/here", "hello"), "nowhere"),
        (("--model", "minilm", "hello"), "encoder"),
        (("--model", "course-base-small", " "), "There is no question"),
        (("--model", "course-base-small", "tea " * 600), "positions"),
        (("--model", "course-base-small", "tea", "--plain", "--system", "Be brief."), "leave out --plain or --system"),
    ],
)
def test_questions_that_cannot_be_asked(course: Captured, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = course("generate", *arguments)
    assert (code, out) == (2, "")
    assert said in spoken(err)
