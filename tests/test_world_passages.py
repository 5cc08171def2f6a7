"""What passages promise: an answer that stands in the text, one answer per question, and names nobody has read."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from random import Random

import pytest

from course_lib.world import passages
from course_lib.world.passages import Asked, Passage, check, document, items, sample
from course_lib.world.place import Place
from course_lib.world.scenes import CLASHES, NAMES, Subject, choose
from course_lib.world.sentences import Fact, about, ask, read, relations, word
from course_lib.world.values import VALUES


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build(split="test")


def fact(relation: str, **slots: str) -> Fact:
    return Fact(relation, tuple(slots.items()))


def test_a_fact_is_told_and_asked_for_in_the_words_of_its_relation():
    told = fact("shop.keeper", s="the Red Heron", v="Ama Okoro")
    assert word(told, "{s} is kept by {v}.") == "The Red Heron is kept by Ama Okoro."
    assert word(told, "{s} is kept by {v}.", name="it") == "It is kept by Ama Okoro."
    assert word(fact("person.wears", s="Ama", v="indigo sari"), "{s} wears {v:a}.") == "Ama wears an indigo sari."
    asked = ask(told, Random(0), subject="the shop")
    assert "the shop" in asked.question
    assert asked.answer == "Ama Okoro"


def test_without_reverse_no_question_asks_for_the_subject():
    told = fact("person.plays", s="Ama", v="kora")
    assert {ask(told, Random(seed)).answer for seed in range(40)} == {"Ama", "kora"}
    assert {ask(told, Random(seed), reverse=False).answer for seed in range(40)} == {"kora"}


def test_every_wording_of_every_relation_reads_back_as_what_was_told(place):
    rng = Random(0)
    for name, relation in relations().items():
        for wording in relation.sentences if relation.values else ():
            subject = VALUES[NAMES.get(relation.subject, relation.subject)](place, rng)
            values = {slot: VALUES[kind](place, rng) for slot, kind in relation.values}
            text = word(fact(name, s=subject, **values), wording)
            expected = {slot: value.lower() for slot, value in {"s": subject, **values}.items()}
            found = [{slot: value.lower() for slot, value in one.items()} for one in read(text, name, {subject: ()})]
            assert found == [expected], text


def test_a_pronoun_means_the_subject_named_last():
    text = (
        "The Red Heron stands in Salt Lane. It opens at dawn. The Old Kite stands in Mill Row. The shop opens at noon."
    )
    subjects = {"the Red Heron": ("it", "the shop"), "the Old Kite": ("it", "the shop")}
    assert read(text, "shop.opens", subjects) == [
        {"s": "the Red Heron", "v": "at dawn"},
        {"s": "the Old Kite", "v": "at noon"},
    ]


def test_a_question_with_two_answers_is_refused():
    shops = tuple(Subject("shop", name, ("it",)) for name in ("the Red Heron", "the Old Kite"))
    told = [fact("shop.door", s=shop.name, v="blue") for shop in shops]
    text = "The Red Heron has a blue door. The Old Kite has a blue door."
    by_name = Asked("What colour is the Old Kite's door?", "blue")
    by_colour = Asked("Which shop has a blue door?", "the Old Kite")
    assert check(Passage(text, (by_name,), (told[1],), shops), told) is not None
    assert check(Passage(text, (by_colour,), (told[1],), shops), told) is None


def test_a_text_that_does_not_say_what_was_meant_is_an_error():
    shop = Subject("shop", "the Red Heron", ("it",))
    told = fact("shop.keeper", s=shop.name, v="Ama Okoro")
    asked = Asked("Who keeps the Red Heron?", "Ama Okoro")
    with pytest.raises(AssertionError):
        check(Passage("The Red Heron is kept by Kofi Rao.", (asked,), (told,), (shop,)), [told])


def test_an_answer_is_spelt_as_in_the_text_and_short(place):
    rng = Random(1)
    for _ in range(150):
        passage = sample(place, rng)
        assert passage.asked
        for asked in passage.asked:
            assert asked.answer in passage.text
            assert 1 <= len(asked.answer.split()) <= 6
            assert asked.question.endswith("?")
        assert passage.text.isascii()


def test_no_two_relations_of_one_scene_share_a_question():
    for one, other in itertools.combinations(relations().values(), 2):
        if one.subject == other.subject and not any({one.name, other.name} <= group for group in CLASHES):
            shared = {question.wording for question in one.questions} & {q.wording for q in other.questions}
            assert not shared, (one.name, other.name)


def test_relations_that_clash_are_never_chosen_together():
    for seed in range(30):
        names = {relation.name for relation in choose(about("person"), Random(seed), 20)}
        assert not any(len(group & names) > 1 for group in CLASHES)


def test_every_relation_has_several_wordings_and_questions():
    for relation in relations().values():
        assert len(relation.sentences) >= 2
        assert len(relation.questions) >= 2 or relation.name == "festival.custom"
        for pattern in (*relation.sentences, *(question.wording for question in relation.questions)):
            slots = set(re.findall(r"\{(\w+)", pattern))
            assert slots <= {"s", "u", *dict(relation.values), "v"}


def test_items_name_their_subject_and_cannot_be_guessed(place):
    records = items(place, Random(2), 300)
    assert [list(record) for record in records[:1]] == [["passage", "question", "answer", "relation"]]
    assert all(record["answer"] in record["passage"] for record in records)
    counts = Counter(record["answer"] for record in records)
    assert max(counts.values()) <= 9, counts.most_common(3)
    assert not any(" the shop" in record["question"] or " the village" in record["question"] for record in records)


def test_test_passages_have_names_that_training_lacks(place):
    train = Place.build(split="train")
    seeds = range(200)
    known = {subject.name for seed in seeds for subject in sample(train, Random(seed)).subjects}
    fresh = {subject.name for seed in seeds for subject in sample(place, Random(seed)).subjects}
    assert not known & fresh


def test_documents_have_one_layout_each_and_every_layout_occurs(place):
    rng = Random(3)
    texts = [document(place, rng) for _ in range(120)]
    marks = ("Passage: ", "\nQ: ", "\n- ", "Questions:\n", "Question: ")
    assert all(any(text.startswith(mark) or mark in text for text in texts) for mark in marks)
    assert not any("Question:" in text and "\nQ: " in text for text in texts)
    assert all(text == text.strip() and text.isascii() for text in texts)
    assert all(40 <= len(text.split()) <= 360 for text in texts)
    assert len(passages.LAYOUTS) >= 4


def test_the_same_seed_gives_the_same_document(place):
    assert document(place, Random(5)) == document(place, Random(5)) != document(place, Random(6))
