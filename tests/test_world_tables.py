"""Tables: what is said about them is read out of their text and found true by a solver of the test's own."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from course_lib.errors import CourseError
from course_lib.world import tables
from course_lib.world.place import Place
from course_lib.world.table_topics import TOPICS


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build()


def small(place: Place, *rows: tuple[str, str, int], topic: str = "herds") -> tables.Table:
    about = next(one for one in TOPICS if one.name == topic)
    return tables.Table(about, "By hand", rows)


def solved(item: dict[str, str]) -> str:
    """The answer to an item's question from the text of its table, for every kind of question."""
    rows = [line.split(" | ") for line in item["table"].splitlines()[2:]]
    numbers = [int(row[2]) for row in rows]
    question, kind = item["question"], item["kind"]
    named = [row for row in rows if re.search(rf"\b{row[0]}\b", question)]
    if kind in ("most", "least"):
        return rows[numbers.index(max(numbers) if kind == "most" else min(numbers))][0]
    if kind == "value":
        return named[0][2]
    if kind == "more":
        return str(abs(int(named[0][2]) - int(named[1][2])))
    if kind == "total":
        return str(sum(numbers))
    if kind == "above":
        bound = int(re.findall(r"\d+", question)[0])
        return str(len([number for number in numbers if number > bound]))
    words = {row[1] for row in rows if re.search(rf"\b{row[1]}\b", question)}
    assert len(words) == 1, item
    return str([row[1] for row in rows].count(words.pop()))


@pytest.mark.parametrize("kind", tables.KINDS)
def test_answers_follow_from_the_printed_table(kind):
    for item in tables.items(Place.build(split="test"), random.Random(5), 150, kind=kind):
        assert solved(item) == item["answer"], item


def test_a_table_by_hand_is_described_as_a_person_would(place):
    table = small(place, ("Ama", "goats", 9), ("Bo", "yaks", 4), ("Chidi", "goats", 12))
    rng = random.Random(0)
    said = {one.sentence for _ in range(300) for kind in tables.KINDS if (one := tables.claim(table, rng, kind))}
    assert {"Chidi keeps the most animals.", "Bo keeps the fewest animals.", "There are 25 animals in all."} <= said
    assert {"Ama keeps 5 animals more than Bo.", "2 of the owners keep goats.", "Bo keeps 4 animals."} <= said
    assert "2 of the herds have more than 4 animals." in said
    assert not any("1 of the" in sentence for sentence in said)


def test_a_wrong_number_is_noticed(place):
    table = small(place, ("Ama", "goats", 9), ("Bo", "yaks", 4), ("Chidi", "goats", 12))
    with pytest.raises(AssertionError, match="total"):
        tables._check(table, "total", table.rows[0], table.rows[1], 26)
    with pytest.raises(AssertionError, match="most"):
        tables._check(table, "most", table.rows[0], table.rows[1], None)


def test_keys_and_numbers_of_a_table_differ(place):
    rng = random.Random(3)
    for _ in range(500):
        table = tables.sample(place, rng)
        assert 3 <= len(table.rows) <= 6
        assert len({row[0] for row in table.rows}) == len({row[2] for row in table.rows}) == len(table.rows)


def test_every_topic_has_words_for_every_kind_that_it_has_at_all():
    for topic in TOPICS:
        assert set(tables.KINDS) - set(topic.said) <= {"total"}  # nobody adds up ages
        for kind, (sentences, questions) in topic.said.items():
            assert questions
            assert all(question.endswith("?") for question in questions)
            assert bool(sentences) == (kind in tables.KINDS)
            assert all(sentence.endswith(".") for sentence in sentences)


def test_claims_about_a_table_do_not_say_the_same_twice(place):
    rng = random.Random(4)
    for _ in range(300):
        made = tables.claims(tables.sample(place, rng), rng, 6)
        assert len({(one.kind, one.subject) for one in made}) == len(made) >= 3


def test_documents_come_in_five_layouts_of_unequal_weight(place):
    rng, found = random.Random(8), Counter()
    for _ in range(1500):
        text = tables.document(place, rng)
        lines = text.splitlines()
        if text.startswith("Table: "):
            found["lines"] += 1
        elif "\nQuestion: " in text:
            found["asked"] += 1
        elif lines[0].endswith(":"):
            found["commas"] += 1
        elif " | " in lines[1]:
            found["plain"] += 1
        else:
            found["first"] += 1
        assert text.isascii()
        assert not re.search(r"[{}]|  ", text)
        assert 120 <= len(text) <= 1500
    assert max(found, key=found.__getitem__) == "plain"
    assert len(found) == 5
    assert min(found.values()) > 30


def test_documents_are_the_same_for_the_same_seed(place):
    first, second = random.Random(1), random.Random(1)
    assert [tables.document(place, first) for _ in range(30)] == [tables.document(place, second) for _ in range(30)]


def test_roads_do_not_lead_to_the_fixed_villages(place):
    fixed, rng = {village.name for village in place.villages}, random.Random(2)
    for _ in range(200):
        assert not fixed & {row[0] for row in tables.sample(place, rng, topic="roads").rows}


def test_topic_and_rows_can_be_asked_for_and_unknown_ones_are_refused(place):
    rng = random.Random(0)
    table = tables.sample(place, rng, topic="landings", rows=4)
    assert table.columns == ("month", "weather", "boats")
    assert len(table.rows) == 4
    with pytest.raises(CourseError, match="castles"):
        tables.sample(place, rng, topic="castles")
    with pytest.raises(CourseError, match="median"):
        tables.items(place, rng, 1, kind="median")
