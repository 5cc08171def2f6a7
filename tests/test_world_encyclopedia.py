"""What the encyclopedia promises: facts of the fixed town, always the same, told and asked for in many wordings."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from course_lib.world.encyclopedia import document, entries, items, known, paragraph, sample
from course_lib.world.place import Place
from course_lib.world.sentences import ask


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build()


def test_an_entry_says_what_the_place_says(place):
    by_name = {entry.name: {f.relation: f.values["v"] for f in entry.facts} for entry in entries()}
    shop = place.shops[0]
    entry = by_name["the" + shop.name.removeprefix("The")]
    assert entry["shop.keeper"] == shop.owner.name
    assert entry["shop.founded"] == str(shop.founded)
    village = place.villages[0]
    assert by_name[village.name]["village.direction"] == village.direction
    good = place.goods[0]
    assert by_name[good.noun.plural]["good.price"] == f"{good.price} kori"
    landmark = place.landmarks[0]
    assert by_name[landmark.name]["landmark.builder"] == landmark.builder.name


def test_every_kind_of_thing_in_town_has_entries():
    kinds = Counter(entry.kind for entry in entries())
    assert set(kinds) == {"person", "shop", "village", "landmark", "festival", "good", "trade"}
    assert min(kinds.values()) >= 10


def test_one_question_never_has_two_answers():
    answers: dict[str, set[str]] = {}
    for fact in known():
        for seed in range(6):
            asked = ask(fact, Random(seed), reverse=False)
            answers.setdefault(asked.question, set()).add(asked.answer)
    assert len(answers) > 3000
    assert [question for question, found in answers.items() if len(found) > 1] == []


def test_a_paragraph_names_the_entity_and_tells_every_fact():
    for seed, entry in enumerate(entries()[:80]):
        text = paragraph(entry, Random(seed))
        assert text.count(".") == len(entry.facts)
        assert entry.kind == "good" or entry.name.lower() in text.lower()


def test_some_entries_come_up_far_more_often_than_others(place):
    rng = Random(0)
    counts = Counter(sample(place, rng).name for _ in range(20_000))
    names = [entry.name for entry in entries()]
    front, back = (sum(counts[name] for name in part) for part in (names[:60], names[-60:]))
    assert front > 4 * back > 0


def test_documents_are_the_same_for_both_splits(place):
    other = Place.build(split="test")
    assert [document(place, Random(seed)) for seed in range(20)] == [
        document(other, Random(seed)) for seed in range(20)
    ]


def test_documents_ask_in_the_layout_of_passages_without_a_passage(place):
    rng = Random(1)
    texts = [document(place, rng) for _ in range(100)]
    assert sum("Question: " in text and "Answer: " in text for text in texts) > 30
    assert not any("Passage:" in text for text in texts)
    assert all(text == text.strip() and text.isascii() for text in texts)
    assert all(40 <= len(text.split()) <= 320 for text in texts)


def test_items_come_with_a_sentence_that_tells_the_answer(place):
    records = items(place, Random(2), 200, first=50)
    front = {entry.name for entry in entries()[:50]}
    assert {record["subject"] for record in records} <= front
    assert all(record["answer"].lower() in record["passage"].lower() for record in records)
