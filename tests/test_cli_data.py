"""`course data`: a file is looked over, cleaned and converted; what is wrong is said, and the file never changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.cli import show
from course_lib.records import Conversation, read_conversations
from tests import hub_fixtures
from tests.loopback_hub import LoopbackHub

Captured = Callable[..., tuple[int, str, str]]
server, loopback = hub_fixtures.server, hub_fixtures.loopback


def alpaca(*pairs: tuple[str, Any]) -> str:
    return "".join(json.dumps({"instruction": asked, "input": "", "output": said}) + "\n" for asked, said in pairs)


CLEAN = alpaca(("Who runs the mill?", "Ada runs the mill."), ("What is a heron?", "A heron is a bird."))
SPOILT = (
    CLEAN
    + alpaca(("who runs the  mill?", "Ada runs the mill."), ("Say nothing.", ""), ("Count.", " One and two. "))
    + alpaca(("Is it in the test?", "It is."), ("What is a heron?", "A heron is a fish."), ("How many?", 5))
    + "{\n"
)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    (tmp_path / "clean.jsonl").write_text(CLEAN)
    return tmp_path / "clean.jsonl"


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    (tmp_path / "test.jsonl").write_text(alpaca(("Is it in the test?", "No.")))
    (tmp_path / "spoilt.jsonl").write_text(SPOILT)
    return tmp_path / "spoilt.jsonl"


def test_the_group_and_its_commands_have_help_with_an_example(course: Captured) -> None:
    assert "check" in course("data", "--help")[1]
    for name in ("check", "convert"):
        code, out, _ = course("data", name, "--help")
        assert code == 0
        assert f"Example: course data {name}" in out
        code, out, err = course("data", name, "--no-such-option")
        assert (code, out) == (2, "")
        assert "No such option" in err


def test_a_clean_file_is_told_its_lengths_and_its_price(course: Captured, clean: Path) -> None:
    code, out, err = course("data", "check", clean)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "(alpaca): 2 records (2 with 1 answer); messages: 2 user, 2 assistant." in said
    assert "Nothing was found that has to be mended." in said
    assert "Tokens (course-base-small): median" in said
    assert "the limit is 512, 0 would be cut" in said
    assert "padding, packed rows none" in said
    assert "FLOPs with lora" in said
    assert "share being an assumption" in said


def test_figures_for_programs_are_those_of_the_tokenizer(course: Captured, clean: Path) -> None:
    from course_lib import hub
    from course_lib.prompts.chat import Chat

    chat = Chat(hub.load_tokenizer(hub.causal_folder("course-base-small")))
    encoded = [chat.encode(one.dicts()) for one in read_conversations(clean)]
    code, out, _ = course("data", "check", clean, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["lengths"]["max"] == max(len(one.ids) for one in encoded)
    assert report["lengths"]["tokens"] == report["cost"]["tokens"] == sum(len(one.ids) for one in encoded)
    assert report["cost"]["learned"] == sum(one.learned for one in encoded)
    assert (report["format"], report["records"], report["problems"]) == ("alpaca", 2, [])
    shorter = min(len(one.ids) for one in encoded) - 1
    report = json.loads(course("data", "check", clean, "--json", "--limit", shorter)[1])
    assert report["lengths"]["cut"] == report["counts"]["shortened"] == 2


def test_every_mistake_is_found_and_the_exit_code_says_so(course: Captured, spoilt: Path) -> None:
    code, out, _ = course("data", "check", spoilt, "--test", spoilt.parent / "test.jsonl", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["counts"] == {
        "broken": 2, "empty": 1, "duplicate": 1, "overlap": 1, "conflict": 1, "near duplicate": 1, "white space": 1,
    }  # fmt: skip
    places = {(one["kind"], one["where"]) for one in found["problems"]}
    assert {("broken", "spoilt.jsonl, line 8"), ("broken", "spoilt.jsonl, line 9")} <= places
    assert ("duplicate", "spoilt.jsonl, line 3") in places
    code, out, _ = course("data", "check", spoilt)
    assert code == 1
    assert "spoilt.jsonl, line 8, output: a number where text should be: put it in quotes." in out
    assert "exact duplicates" in out


def test_the_cleaned_copy_is_written_and_the_file_stays_as_it_is(course: Captured, spoilt: Path) -> None:
    copy = spoilt.parent / "copy.jsonl"
    test = spoilt.parent / "test.jsonl"
    code, out, _ = course("data", "check", spoilt, "--test", test, "--fix", copy)
    said = " ".join(out.split())
    assert spoilt.read_text() == SPOILT
    assert code == 1, "two answers to one question are left"
    assert "4 records" in said
    assert "1 exact duplicates dropped" in said
    assert "2 records that cannot be read dropped" in said
    assert "1 to mend by hand" in said
    assert [one.reply for one in read_conversations(copy)] == [
        "Ada runs the mill.", "A heron is a bird.", "One and two.", "A heron is a fish.",
    ]  # fmt: skip
    lines = copy.read_text().splitlines()
    copy.write_text("\n".join(lines[:3]))
    code, out, _ = course("data", "check", copy, "--test", test, "--fix", spoilt.parent / "twice.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["fixed"]["done"] == {}
    assert (spoilt.parent / "twice.jsonl").read_text() == copy.read_text() + "\n"


def test_a_copy_never_takes_the_place_of_what_is_read(
    course: Captured, spoilt: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(spoilt.parent))
    link = spoilt.parent / "link.jsonl"
    link.symlink_to(spoilt)
    for out in (spoilt, link, spoilt.parent / "." / spoilt.name, f"~/{spoilt.name}", clean):
        more = ("--test", clean) if out == clean else ()
        code, _, err = course("data", "check", spoilt, "--fix", out, "--force", *more)
        assert code == 2
        assert "is the file that is read" in err
    assert spoilt.read_text() == SPOILT
    assert clean.read_text() == CLEAN
    code, _, err = course("data", "check", spoilt, "--fix", clean)
    assert code == 2
    assert "add --force" in err
    assert course("data", "check", spoilt, "--fix", clean, "--force")[0] == 1
    assert clean.read_text() != CLEAN
    assert "is the file that is read" in course("data", "convert", spoilt, spoilt, "--force")[2]


def test_a_note_may_quote_what_looks_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show.note("An answer ends with [/INST] or [end].")
    assert capsys.readouterr().err == "An answer ends with [/INST] or [end].\n"


def test_records_of_the_test_file_that_cannot_be_read_are_told(course: Captured, clean: Path, spoilt: Path) -> None:
    _, _, err = course("data", "check", clean, "--test", spoilt)
    said = " ".join(err.split())
    assert "2 records of" in said
    assert "spoilt.jsonl cannot be read and are not looked for; the first: spoilt.jsonl, line 8" in said


def test_nothing_is_written_where_nothing_would_be_left(course: Captured, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(alpaca(("Say nothing.", "")))
    code, _, err = course("data", "check", tmp_path / "mine.jsonl", "--fix", tmp_path / "out.jsonl")
    assert code == 2
    assert "Nothing would be left" in err
    assert not (tmp_path / "out.jsonl").exists()


def test_white_space_between_prompt_and_completion_stays(course: Captured, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"prompt": "2 + 2 =", "completion": " 4 it is."}\n' * 2)
    code, _, _ = course("data", "check", tmp_path / "mine.jsonl", "--fix", tmp_path / "out.jsonl")
    assert code == 0
    assert (tmp_path / "out.jsonl").read_text() == '{"prompt": "2 + 2 =", "completion": " 4 it is."}\n'


def test_a_table_with_columns_of_its_own_is_checked_and_converted(course: Captured, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("question,reply,town\nWho?,Ada is.,Elmbrook\nWhere?,At the mill.,\n")
    code, _, err = course("data", "check", table)
    assert code == 2
    assert "prompt=question and completion=reply" in err
    told = ("--prompt", "question", "--answer", "reply")
    assert course("data", "check", table, *told)[0] == 0
    code, out, _ = course("data", "convert", table, tmp_path / "mine.jsonl", "--to", "alpaca", *told)
    assert (code, out.split()[:3]) == (0, ["2", "records", "are"])
    first = json.loads((tmp_path / "mine.jsonl").read_text().splitlines()[0])
    assert first == {"instruction": "Who?", "input": "", "output": "Ada is.", "town": "Elmbrook"}
    wording = "In {{ town }}: {{ question }} ||| {{ reply }}"
    code, out, _ = course("data", "convert", table, tmp_path / "told.jsonl", "--template", wording, "--json")
    assert json.loads(out)["records"] == 2
    assert read_conversations(tmp_path / "told.jsonl")[0].asked == "In Elmbrook: Who?"
    assert course("data", "convert", tmp_path / "mine.jsonl", tmp_path / "back.csv", "--to", "csv")[0] == 0
    assert read_conversations(tmp_path / "back.csv") == read_conversations(tmp_path / "mine.jsonl")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "nowhere.jsonl"), "There is no file"),
        (("check", "clean.jsonl", "--model", "nobody"), "the model 'nobody'"),
        (("check", "clean.jsonl", "--model", "minilm"), "an encoder"),
        (("check", "clean.jsonl", "--gpu", "t5"), "There is no GPU 't5'"),
        (("check", "clean.jsonl", "--limit", "100000"), "beyond the 512 tokens"),
        (("check", "clean.jsonl", "--near", "7"), "--near must lie between 0 and 1"),
        (("check", "clean.jsonl", "--format", "sharegpt"), "the formats are alpaca"),
        (("check", "clean.jsonl", "--template", "no mark"), "needs the mark"),
        (("check", "clean.jsonl", "--test", "nowhere.jsonl"), "There is no file"),
        (("check", "clean.jsonl", "--method", "magic"), "method"),
        (("convert", "clean.jsonl", "out.csv", "--to", "chat"), "no place for the lists"),
        (("convert", "clean.jsonl", "out.jsonl", "--to", "zip"), "the formats are alpaca"),
        (("convert", "spoilt.jsonl", "out.jsonl"), "line 8, field 'output': a number where text should be"),
        (("convert", "clean.jsonl", "spoilt.jsonl"), "exists already"),
    ],
)
def test_mistakes_are_one_sentence(
    course: Captured, clean: Path, spoilt: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(clean.parent)
    code, out, err = course("data", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert spoilt.read_text() == SPOILT


def test_a_data_set_of_the_hub_is_checked_with_a_tokenizer_of_the_hub(
    course: Captured, loopback: LoopbackHub, tmp_path: Path
) -> None:
    code, out, err = course("data", "check", "dolly", "--model", "smollm2-1.7b", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["format"], report["records"], report["lengths"]["limit"]) == ("alpaca", 60, 8192)
    assert not loopback.asked_for("model.safetensors"), "checking data downloads no weights"
    assert "no test part" in course("data", "check", "dolly", "--test", "dolly", "--model", "smollm2-1.7b")[2]
    assert course("data", "convert", "dolly", tmp_path / "dolly.json", "--to", "alpaca")[0] == 0
    assert read_conversations(tmp_path / "dolly.json")[0].fields["category"] == "closed_qa"


def test_a_tokenizer_whose_end_is_its_padding_is_remarked_on(
    course: Captured, loopback: LoopbackHub, clean: Path
) -> None:
    code, out, _ = course("data", "check", clean, "--model", "smollm2-1.7b-instruct", "--json")
    assert code == 0
    assert any("also the pad token" in sentence for sentence in json.loads(out)["tokenizer"])
    assert "also the pad token" in course("data", "check", clean, "--model", "smollm2-1.7b-instruct")[1]


def test_a_conversation_that_says_the_end_token_is_a_problem(course: Captured, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(CLEAN + alpaca(("What is <|end|>?", "It is the end.")))
    code, out, _ = course("data", "check", tmp_path / "mine.jsonl", "--json")
    assert code == 1
    (problem,) = json.loads(out)["problems"]
    assert (problem["kind"], problem["where"]) == ("not encodable", "mine.jsonl, line 3")
    assert "<|end|>" in problem["detail"]
    assert read_conversations(tmp_path / "mine.jsonl")[2] == Conversation.of(
        "What is <|end|>?", output="It is the end."
    )
