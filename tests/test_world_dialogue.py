"""Dialogues: two speakers in turn, sums that are right, answers that were said."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from course_lib.world import dialogue
from course_lib.world.phrases import material
from course_lib.world.place import Place

TRAIN, TEST = Place.build(), Place.build(split="test")
TOPICS = [scene["topic"] for scene in material("dialogue")["scenes"]]


@pytest.mark.parametrize("topic", TOPICS)
def test_both_speak_and_every_answer_was_said(topic: str) -> None:
    rng = Random(0)
    for _ in range(60):
        made = dialogue.sample(TRAIN, rng, topic)
        assert {name for name, _ in made.turns} == set(made.speakers)
        assert made.speakers[0] != made.speakers[1]
        assert "{" not in made.text
        assert made.text.isascii()
        assert 2 <= len(made.questions) <= 5
        for question, answer in made.questions:
            assert question.endswith("?")
            assert answer.lower() in made.text.lower()


def test_every_sentence_begins_with_a_capital() -> None:
    rng = Random(0)
    for _ in range(300):
        for _, text in dialogue.sample(TRAIN, rng).turns:
            assert not re.search(r"(^|[.?!] )[a-z]", text), text
            assert text[-1] in ".?!"


def test_what_is_paid_is_the_count_times_the_price() -> None:
    rng = Random(0)
    found = 0
    for _ in range(200):
        said = dialogue.sample(TRAIN, rng, "buying").text
        if sale := re.search(r"(\d+) times (\d+)(?:,| is)(?: so)? (\d+)", said):
            count, price, total = map(int, sale.groups())
            assert count * price == total
            found += 1
    assert found > 100


def test_a_wrong_sum_is_noticed() -> None:
    made = dialogue.sample(TRAIN, Random(0), "buying")
    slots = {
        "count": "2",
        "price": "3",
        "total": "7",
        "money": "10",
        "change": "3",
        "low": "1",
        "deal": "2",
        "high2": "3",
    }
    with pytest.raises(AssertionError):
        dialogue._check(made, slots)


def test_documents_use_one_layout_and_some_end_in_questions() -> None:
    rng = Random(0)
    asked, kinds = 0, Counter()
    for _ in range(300):
        text = dialogue.document(TRAIN, rng)
        assert text == text.strip()
        assert 30 <= len(text.split()) <= 330
        asked += "\nQuestion: " in text
        kinds["said" if " said: " in text else "dash" if "\n- " in text else "other"] += 1
    assert 60 < asked < 130
    assert kinds["said"] > 15
    assert kinds["dash"] > 8


def test_items_are_about_people_of_the_test_split_and_repeat_with_their_seed() -> None:
    records = dialogue.items(TEST, Random(3), 50)
    assert records == dialogue.items(TEST, Random(3), 50)
    assert set(records[0]) == {"dialogue", "question", "answer", "topic", "setting", "opening", "last"}
    training_names = {name.text for name in TRAIN.lexicon.given_names_train}
    for record in records:
        assert record["answer"].lower() in record["dialogue"].lower()
        assert f"{record['opening']}\n{record['last']}" == record["dialogue"]
        assert record["last"].split(":")[0] not in training_names
