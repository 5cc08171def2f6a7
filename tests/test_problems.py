"""Word problems: of the world, of GSM8K on the loopback hub, and of files with every kind of mistake."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from huggingface_hub import constants

from course_lib import hub, problems, records
from course_lib.errors import CourseError
from tests import hub_fixtures
from tests.hub_fixtures import point_at, refusal
from tests.loopback_hub import LoopbackHub

server, loopback = hub_fixtures.server, hub_fixtures.loopback


def questions(found: list[problems.Record]) -> list[str]:
    return [record["question"] for record in found]


def table(path: Path, *rows: tuple[str, str], header: tuple[str, str] = ("question", "answer")) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


# Answers


@pytest.mark.parametrize(
    ("answer", "steps", "number"),
    [
        ("48/2 = <<48/2=24>>24 in May.\n24+48 = <<24+48=72>>72\n#### 72", "48/2 = 24 in May. 24+48 = 72.", "72"),
        ("#### 1,080", "", "1080"),
        ("It costs $5.\n#### $5.50", "It costs $5.", "5.5"),
        ("Down.\r\n\r\n#### -3", "Down.", "-3"),
        ("Half.\n#### .5", "Half.", "0.5"),
        ("Nothing is left!\n####0", "Nothing is left!", "0"),
        ("Some.\n#### 18 kori.", "Some.", "18"),
        ("One #### two.\n#### 2.00", "One #### two.", "2"),
        ("42", "", "42"),
    ],
)
def test_steps_and_number_are_read_from_an_answer(answer: str, steps: str, number: str) -> None:
    record = problems.parse(" How many? ", answer)
    assert record is not None
    assert (record["question"], record["steps"], record["answer"]) == ("How many?", steps, number)


@pytest.mark.parametrize("answer", ["", "####", "#### many", "#### 3/4", "#### 1.2.3", "#### 4th", "It is 5", "5 or 6"])
def test_an_answer_without_one_number_is_none(answer: str) -> None:
    assert problems.parse("How many?", answer) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 + 3 = 8. 8 - 2 = 6.", "6"),
        ("8 - 2", "2"),  # a minus between two numbers belongs to neither
        ("10-3", "3"),
        ("so -4", "-4"),
        ("It costs $1,234.50 in all.", "1234.5"),
        ("#### 7 and then 9", "7"),
        ("-0", "0"),
        ("none at all", None),
        ("", None),
    ],
)
def test_the_final_number_of_a_text_is_compared_as_digits(text: str, number: str | None) -> None:
    assert problems.final_number(text) == number


# The world's


def test_the_worlds_problems_are_the_same_for_a_seed_and_others_in_each_part() -> None:
    test = problems.load("world", "test", 12, seed=3, steps=3)
    assert test == problems.load("world", "test", 12, seed=3, steps=3)
    assert {record["n_steps"] for record in test} == {"3"}
    assert all(record["steps"].endswith(f"= {record['answer']}.") for record in test)
    train = problems.load("world", "train", 12, seed=3, steps=3)
    assert not set(questions(test)) & set(questions(train))
    assert set(questions(test)) != set(questions(problems.load("world", "test", 12, seed=4, steps=3)))


def test_records_of_the_world_and_of_a_data_set_have_the_same_keys(loopback: LoopbackHub) -> None:
    keys = {"question", "steps", "answer", "n_steps"}
    assert keys <= set(problems.load("world", size=1)[0])
    assert keys == set(problems.load("gsm8k", size=1)[0])


# GSM8K


def test_the_data_set_comes_in_its_two_parts_with_steps_and_numbers(loopback: LoopbackHub) -> None:
    parts = {part: problems.load("gsm8k", part) for part in ("train", "test")}
    assert {part: len(found) for part, found in parts.items()} == {"train": 40, "test": 24}
    assert not set(questions(parts["train"])) & set(questions(parts["test"]))
    for record in parts["train"] + parts["test"]:
        each, days, gone = map(int, re.findall(r"makes (\d+) .* for (\d+) days, and (\d+)", record["question"])[0])
        assert record["answer"] == str(each * days - gone)
        assert record["n_steps"] == "2"
        assert not re.search(r"<<|####|\n", record["steps"])
    assert any("," in record["steps"] for record in parts["train"]), "thousands have commas in the steps only"
    assert not loopback.asked_for("socratic/*")


def test_problems_are_drawn_by_seed_and_a_larger_draw_adds_to_a_smaller(loopback: LoopbackHub) -> None:
    few, more = (questions(problems.load("gsm8k", size=size, seed=1)) for size in (5, 12))
    assert more[:5] == few
    assert few != questions(problems.load("gsm8k", size=5, seed=2))
    assert len(problems.load("gsm8k", size=10_000)) == 24
    assert len(problems.load("gsm8k", steps=2)) == 24


def test_the_data_set_is_read_from_the_cache_without_a_network(loopback: LoopbackHub, monkeypatch) -> None:
    assert not hub.data_held("gsm8k")
    online = problems.load("gsm8k")
    assert hub.data_held("gsm8k")
    loopback.log.clear()
    point_at(monkeypatch, "http://127.0.0.1:9")
    assert problems.load("gsm8k") == online
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert problems.load("gsm8k") == online
    assert loopback.log == []


def test_no_network_and_no_cache_is_said_in_one_sentence(loopback: LoopbackHub, monkeypatch) -> None:
    point_at(monkeypatch, "http://127.0.0.1:9")
    assert "COURSE_TIER=cpu" in refusal("gsm8k", problems.load)


def test_a_damaged_table_is_fetched_anew(loopback: LoopbackHub) -> None:
    loopback.fail("main/test-00000-of-00001.parquet", "corrupt")
    assert "checksum" in refusal("gsm8k", problems.load)
    assert len(problems.load("gsm8k")) == 24


def test_another_repository_of_the_hub_is_read_and_cut_into_two_parts(loopback: LoopbackHub) -> None:
    train, test = (questions(problems.load("course-tests/problems", part)) for part in ("train", "test"))
    assert (len(train), len(test)) == (9, 3)
    assert not set(train) & set(test)


def test_wrong_columns_are_named_with_those_that_are_there(loopback: LoopbackHub) -> None:
    sentence = refusal("course-tests/renamed-problems", problems.load)
    assert "no column 'question', it has 'problem', 'solution'" in sentence
    found = problems.load("course-tests/renamed-problems", columns=("problem", "solution"))
    assert len(found) == 12


def test_labelled_texts_are_no_problems_and_problems_no_labelled_texts() -> None:
    sentence = refusal("reviews", problems.load)
    assert "'reviews' holds texts with a class each" in sentence
    assert "choose gsm8k, or a file of yours" in sentence
    sentence = refusal("gsm8k", records.load)
    assert "questions with answers in words" in sentence
    assert "choose reviews or reviews-stars or imdb" in sentence


def test_a_misspelt_data_set_is_answered_with_those_that_hold_problems() -> None:
    assert "did you mean gsm8k?" in refusal("gsm8", problems.load)


# Files of the reader's


def test_a_file_of_ones_own_is_read_each_question_once(tmp_path: Path) -> None:
    rows = [(f"What is {n} + 1?", f"{n} + 1 = {n + 1}\n#### {n + 1}") for n in range(8)]
    name = table(tmp_path / "mine.csv", *rows, *rows[:3])
    train, test = problems.load(name, "train"), problems.load(name, "test")
    assert (len(train), len(test)) == (6, 2)
    assert {record["steps"] for record in train + test} == {f"{n} + 1 = {n + 1}." for n in range(8)}
    (tmp_path / "mine.jsonl").write_text(
        "\n".join(json.dumps({"answer": answer, "question": question}) for question, answer in rows)
    )
    assert problems.load(str(tmp_path / "mine.jsonl"), "test") == test


def test_a_folder_with_two_parts_is_not_cut(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("test", 2)):
        table(tmp_path / f"{part}.csv", *((f"{part} {n}?", str(n)) for n in range(count)))
    assert len(problems.load(str(tmp_path), "train")) == 4
    assert len(problems.load(str(tmp_path), "test")) == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("How many?", "#### 4"), ("And now?", "many")], ["line 3", "'answer'", "does not end with ####"]),
        ([("How many?", "#### 4"), ("", "#### 5")], ["line 3", "'question'", "empty"]),
        ([("How many?", " ")], ["line 2", "'answer'", "empty"]),
    ],
)
def test_a_row_that_is_no_problem_is_named(tmp_path: Path, rows: list[tuple[str, str]], words: list[str]) -> None:
    sentence = refusal(table(tmp_path / "mine.csv", *rows), problems.load)
    assert all(word in sentence for word in ["mine.csv", *words]), sentence


def test_a_misspelt_column_is_named_with_its_file(tmp_path: Path) -> None:
    sentence = refusal(table(tmp_path / "mine.csv", ("a?", "1"), header=("Question", "answer")), problems.load)
    assert "mine.csv has no column 'question'" in sentence
    assert "did you mean 'Question'?" in sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"part": "dev"}, "'train' and 'test', not 'dev'"),
        ({"size": 0}, "ask for 1 or more"),
        ({"steps": 9}, "no test problems of 9 steps"),
    ],
)
def test_what_cannot_be_asked_for_is_said(tmp_path: Path, options: dict[str, int | str], words: str) -> None:
    name = table(tmp_path / "mine.csv", ("a?", "1"), ("b?", "2"))
    with pytest.raises(CourseError, match=words):
        problems.load(name, **options)
    with pytest.raises(CourseError):
        problems.load("world", **options)
