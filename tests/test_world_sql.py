"""Questions with SELECT statements, whose answer sqlite gives and Python finds without it."""

from __future__ import annotations

import random

import pytest

from course_lib.errors import CourseError
from course_lib.world import sql
from course_lib.world.place import Place
from course_lib.world.table_topics import TOPICS
from course_lib.world.tables import Table

PRICES = Table(
    next(topic for topic in TOPICS if topic.name == "prices"),
    "By hand",
    (("mangoes", "Orosu", 4), ("drums", "Natumi", 17), ("figs", "Orosu", 6)),
)
BY_HAND = {
    "most": ("SELECT good FROM prices ORDER BY price DESC LIMIT 1", "drums"),
    "least": ("SELECT good FROM prices ORDER BY price LIMIT 1", "mangoes"),
    "highest": ("SELECT MAX(price) FROM prices", "17"),
    "total": ("SELECT SUM(price) FROM prices", "27"),
    "groups": ("SELECT village, COUNT(*) FROM prices GROUP BY village ORDER BY village", "Natumi, 1; Orosu, 2"),
}


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build(split="test")


@pytest.mark.parametrize("kind", BY_HAND)
def test_a_question_by_hand_has_the_statement_and_result_a_person_would_write(kind):
    made = sql.query(PRICES, random.Random(0), kind)
    assert (made.sql, made.result) == BY_HAND[kind]


def test_questions_about_a_row_or_a_word_name_it():
    results = {}
    for seed in range(60):
        for kind in ("value", "count", "some", "which", "above"):
            made = sql.query(PRICES, random.Random(seed), kind)
            results[made.sql] = made.result
    assert results["SELECT price FROM prices WHERE good = 'figs'"] == "6"
    assert results["SELECT COUNT(*) FROM prices WHERE village = 'Orosu'"] == "2"
    assert results["SELECT SUM(price) FROM prices WHERE village = 'Orosu'"] == "10"
    assert results["SELECT good FROM prices WHERE village = 'Orosu' ORDER BY good"] == "figs; mangoes"
    assert results["SELECT COUNT(*) FROM prices WHERE price > 6"] == "1"


def test_every_topic_answers_every_form_it_has_words_for(place):
    rng = random.Random(1)
    made = {(one.table.topic.name, one.kind) for one in (sql.sample(place, rng) for _ in range(2500))}
    assert made == {(topic.name, kind) for topic in TOPICS for kind in sql.FORMS if kind in topic.said}


def test_items_are_distinct_and_their_results_come_back_from_sqlite(place):
    found = sql.items(place, random.Random(2), 400)
    assert len({(item["create"], item["question"]) for item in found}) == 400
    for item in found:
        assert set(item) == {"schema", "table", "create", "question", "sql", "result", "kind"}
        assert sql.written(sql.execute(item["create"], item["sql"])) == item["result"]
        assert not set("{}") & set(item["question"] + item["sql"])


def test_a_wrong_form_is_noticed(monkeypatch):
    monkeypatch.setattr(sql, "FORMS", {**sql.FORMS, "most": "SELECT {key} FROM {table} ORDER BY {number} LIMIT 1"})
    with pytest.raises(AssertionError, match="by hand"):
        sql.query(PRICES, random.Random(0), "most")


def test_texts_are_quoted_and_results_written_on_one_line():
    assert sql.quoted("the ferryman's goat") == "'the ferryman''s goat'"
    assert sql.written([("a", 1), ("b", 2)]) == "a, 1; b, 2"
    assert sql.written([]) == "nothing"
    table = Table(PRICES.topic, "Quoted", (("o'clock hats", "Orosu", 3), ("figs", "Orosu", 5)))
    assert sql.execute(sql.create(table), "SELECT good FROM prices WHERE price = 3") == [("o'clock hats",)]


def test_documents_show_one_table_and_several_questions_and_are_reproducible(place):
    first, second = random.Random(1), random.Random(1)
    for _ in range(200):
        text = sql.document(place, first)
        assert text == sql.document(place, second)
        assert text.count("SELECT") == text.count("?") >= 2


def test_an_unknown_kind_is_refused(place):
    with pytest.raises(CourseError, match="median"):
        sql.sample(place, random.Random(0), kind="median")
