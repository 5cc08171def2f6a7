"""What the held-out facts promise: told by exactly one document each, in two wordings, with names no corpus has."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from course_lib.world import encyclopedia, passages
from course_lib.world.facts import ENTITIES, PER_ENTITY, Collection, collection, documents, items
from course_lib.world.place import Place


@pytest.fixture(scope="module")
def facts() -> Collection:
    return collection()


def test_there_are_three_facts_about_each_of_eighty_entities(facts):
    counts = Counter(known.fact.subject for known in facts.facts)
    assert len(counts) == sum(ENTITIES.values()) == 80
    assert set(counts.values()) == {PER_ENTITY}


def test_the_document_of_a_fact_and_no_other_names_its_subject(facts):
    texts = {record["id"]: record["text"].lower() for record in documents()}
    for record in items():
        naming = [name for name, text in texts.items() if re.search(rf"\b{record['subject'].lower()}\b", text)]
        assert naming == [record["document"]]
        assert record["answer"].lower() in texts[record["document"]]
        assert record["subject"].lower() in record["question"].lower()


def test_each_fact_has_two_wordings_and_each_stands_in_its_document(facts):
    chunks = {chunk.id: chunk for chunk in facts.chunks}
    for known in facts.facts:
        first, second = known.wordings
        assert first != second
        assert first in chunks[known.document].text(0)
        assert second in chunks[known.document].text(1)


def test_documents_are_short_and_some_answer_nothing(facts):
    lengths = [len(chunk.text(wording).split()) for chunk in facts.chunks for wording in (0, 1)]
    assert min(lengths) >= 55
    assert max(lengths) <= 120
    assert 60 <= len(facts.chunks) <= 100
    assert len({known.document for known in facts.facts}) < len(facts.chunks)


def test_each_document_also_speaks_of_a_similar_entity(facts):
    for chunk in facts.chunks:
        main, other = (set(name.split()) - {"the"} for name in chunk.subjects)
        assert main & other
        assert main != other


def test_questions_are_distinct_and_their_answers_cannot_be_guessed():
    records = items()
    assert len({record["question"] for record in records}) == len(records)
    assert max(Counter(record["answer"] for record in records).values()) <= 8


def test_no_entity_of_the_facts_occurs_in_training_documents(facts):
    train = Place.build(split="train")
    rng = Random(0)
    corpus = "\n".join(kind.document(train, rng) for kind in (passages, encyclopedia) for _ in range(150)).lower()
    assert not [known.fact.subject for known in facts.facts if known.fact.subject.lower() in corpus]


def test_the_collection_is_the_same_every_time_and_differs_by_seed(facts):
    again = collection.__wrapped__(0)
    assert again == facts
    assert collection(1) != facts
