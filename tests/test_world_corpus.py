"""The corpus: its mixture, its variety, what is kept out of it, and that no test item is in it."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from course_lib.errors import CourseError
from course_lib.world import corpus, dialect, facts, passages, problems, reviews, sql, worksheets
from course_lib.world.place import Place

NGRAM = 13  # words, as in the overlap analysis of GPT-3 (Brown et al. 2020, appendix C)
ITEMS = 100


@pytest.fixture(scope="module")
def documents() -> list[corpus.Document]:
    return list(itertools.islice(corpus.documents(0), 4000))


def ngrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[k : k + NGRAM]) for k in range(len(words) - NGRAM + 1)}


def test_any_beginning_of_the_stream_has_the_mixture(documents):
    for some in (documents[:1000], documents):
        written = Counter()
        for one in some:
            written[one.kind] += len(one.text)
        for kind, share in corpus.SHARES.items():
            assert written[kind] / written.total() == pytest.approx(share, abs=0.01)


def test_the_shares_are_of_one_whole_and_of_kinds_that_exist():
    assert sum(corpus.SHARES.values()) == pytest.approx(1)
    assert list(corpus.SHARES) == list(corpus.KINDS)


def test_the_same_seed_gives_the_same_documents_in_any_process(documents):
    code = (
        "import hashlib, itertools; from course_lib.world.corpus import documents;"
        "print(hashlib.sha256(''.join(d.text for d in itertools.islice(documents(0), 300)).encode()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256("".join(one.text for one in documents[:300]).encode()).hexdigest()


def test_another_seed_and_the_other_split_give_other_documents(documents):
    others = (corpus.documents(1), corpus.documents(0, "test"))
    held = {one.text for one in documents}
    assert all(not held & {one.text for one in itertools.islice(stream, 300)} for stream in others)


def test_the_corpus_has_two_thousand_words_and_more(documents):
    words = Counter(word for one in documents for word in re.findall(r"[a-z]+", one.text.lower()))
    assert sum(count >= 5 for count in words.values()) >= 2000


def test_documents_are_seldom_repeated(documents):
    assert len({one.text for one in documents}) >= 0.99 * len(documents)


def test_there_are_no_instructions(documents):
    order = re.compile(
        r"\b(Translate|Summari[sz]e|Rewrite|Classify|Write an?|List (the|three|five)|Answer (with|in|the))\b"
    )
    assert [one.text for one in documents if order.search(one.text)] == []


def test_what_is_kept_out_is_not_there(documents):
    text = "\n".join(one.text for one in documents)
    assert not re.search(r"\bSELECT\b", text)
    place = Place.build(split="test")
    assert sum(item["dialect"] in text for item in dialect.items(place, random.Random(0), ITEMS)) == 0
    assert sum(item["sql"] in text for item in sql.items(place, random.Random(0), ITEMS)) == 0
    kept_out = [known.fact.subject for known in facts.collection(0).facts]
    assert [subject for subject in kept_out if subject in text] == []


QUESTIONS = {
    "worksheets": lambda place: [i["prompt"] for i in worksheets.items(place, random.Random(7), ITEMS, k=8)],
    "problems": lambda place: [i["question"] for i in problems.items(place, random.Random(7), ITEMS, steps=2)],
    "passages": lambda place: [i["passage"] for i in passages.items(place, random.Random(7), ITEMS)],
    "reviews": lambda place: [i["text"] for i in reviews.items(place, random.Random(7), ITEMS)],
    "facts": lambda place: [i["question"] for i in facts.items()],
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_no_test_item_is_in_a_training_document(documents, kind):
    asked = QUESTIONS[kind](Place.build(split="test"))
    text = "\n".join(one.text for one in documents)
    assert [question for question in asked if question in text] == []


@pytest.mark.parametrize("kind", ["worksheets", "passages", "problems"])
def test_test_items_share_hardly_any_run_of_thirteen_words_with_training_documents(documents, kind):
    seen: set[tuple[str, ...]] = set()
    for one in documents:
        if one.kind == kind:
            seen |= ngrams(one.text)
    asked = [ngrams(question) for question in QUESTIONS[kind](Place.build(split="test"))]
    # How a question ends ("How many kori did she have left?") is the same in many; what it is about has numbers in it.
    asked = [{run for run in runs if kind != "problems" or sum(word.isdigit() for word in run) >= 2} for runs in asked]
    shared = [len(runs & seen) / len(runs) for runs in asked if runs]
    assert len(shared) > ITEMS / 2
    assert sum(shared) / len(shared) < 0.02


def test_an_unknown_kind_is_answered_with_those_there_are():
    with pytest.raises(CourseError, match="worksheets, problems"):
        corpus.document("poems", Place.build(), random.Random(0))
