"""Scores of texts against numbers derived by hand, what they must be for any texts, and texts that are very long."""

from __future__ import annotations

import doctest
import random
import time
from decimal import Decimal

import pytest

from course_lib.errors import CourseError
from course_lib.metrics import forms, perplexity, sql, text
from course_lib.metrics.forms import in_format
from course_lib.metrics.text import (
    common_subsequence,
    contains,
    exact_match,
    last_number,
    numeric_match,
    rouge_l,
    squad_words,
    token_f1,
)

SCORES = {"exact": exact_match, "contains": contains, "f1": token_f1, "rouge": rouge_l, "numeric": numeric_match}
WORDS = ("the", "a", "red", "heron", "Heron.", "sits,", "12", "1,200", "$5", "-3.5", "naïve", "東京", "é", "…", "don't")


@pytest.mark.parametrize("module", [forms, perplexity, sql, text])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).attempted
    assert doctest.testmod(module).failed == 0


# -- words -----------------------------------------------------------------------------------------------------------


def test_token_f1_by_hand():
    # prediction  red heron sits in (the) reeds      5 words without the article
    # reference   (a) red heron stands in reeds red  6 words
    # in common   red, heron, in, reeds: 4 (the second red has no partner): F1 = 2 * 4 / (5 + 6)
    assert token_f1("Red heron sits in the reeds.", "A red heron stands in reeds, red") == pytest.approx(8 / 11)


def test_token_f1_is_the_harmonic_mean_of_precision_and_recall():
    # 2 of 3 words of the prediction are in the reference, 2 of 4 of the reference in the prediction
    precision, recall = 2 / 3, 2 / 4
    assert token_f1("one two five", "one two three four") == pytest.approx(2 / (1 / precision + 1 / recall))


def test_words_are_those_of_squad():
    # as its evaluation does it: punctuation goes without leaving a space, articles go as whole words
    assert squad_words("The ferryman's U.S. boat—an old one") == ["ferrymans", "us", "boat—", "old", "one"]
    assert squad_words("another theatre a an the") == ["another", "theatre"]


def test_rouge_l_by_hand():
    # Lin's example: reference "police killed the gunman"
    #   "police kill the gunman":  police, the, gunman in order: l = 3 of 4 and 4:  F = 3/4
    #   "the gunman kill police":  the, gunman in order:         l = 2 of 4 and 4:  F = 1/2
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == 3 / 4
    assert rouge_l("the gunman kill police", reference) == 1 / 2
    # 2 words against 4, both in order: P = 1, R = 1/2: F = 2/3
    assert rouge_l("police gunman", reference) == pytest.approx(2 / 3)
    assert rouge_l("Gunman, police!", reference) == pytest.approx(1 / 3)


def naive(first: list[str], second: list[str]) -> int:
    """The table of the textbook, row by row."""
    row = [0] * (len(second) + 1)
    for one in first:
        before = row
        row = [0]
        for k, other in enumerate(second):
            row.append(before[k] + 1 if one == other else max(row[k], before[k + 1]))
    return row[-1]


@pytest.mark.parametrize("seed", range(40))
def test_the_longest_common_subsequence_is_that_of_the_textbook(seed):
    draw = random.Random(seed)
    letters = "abcdefgh"[: draw.randint(1, 8)]
    first, second = ([draw.choice(letters) for _ in range(draw.randint(0, 90))] for _ in range(2))
    assert common_subsequence(first, second) == common_subsequence(second, first) == naive(first, second)


def test_exact_match_forgives_form_and_nothing_else():
    for same in (" The  Red Heron. ", "the red heron", "THE\nRED HERON"):
        assert exact_match(same, "the red heron") == 1.0
    for other in ("red heron", "the red heron!", "the red heron. It sits", "the redheron", ""):
        assert exact_match(other, "the red heron") == 0.0
    assert exact_match("$1,200.", "1200") == 1.0
    assert exact_match("e\u0301", "\u00e9") == 1.0  # an accent as a character of its own


def test_contains_looks_for_whole_words():
    assert contains("It was the ferryman's Goat, I think.", "ferryman's goat") == 1.0
    assert contains("a goatherd", "goat") == 0.0
    assert contains("goat", "the ferryman's goat") == 0.0


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("name", SCORES)
def test_every_score_lies_between_0_and_1_and_a_text_agrees_with_itself(name, seed):
    draw, score = random.Random(seed), SCORES[name]
    first, second = (" ".join(draw.choices(WORDS, k=draw.randint(0, 12))) for _ in range(2))
    assert 0.0 <= score(first, second) <= 1.0
    if name != "contains":
        assert score(first, second) == score(second, first)
    assert score(first, first) == 1.0 or (name == "numeric" and last_number(first) is None)
    assert score(f"  {first}\n", second) == score(first, second)


@pytest.mark.parametrize("score", [exact_match, contains, token_f1, rouge_l])
def test_nothing_agrees_with_nothing_only(score):
    assert score("", "") == score(" \n", ".") == 1.0
    assert score("", "heron") == 0.0
    assert score("東京", "東京") == 1.0
    assert score("東京", "京都") == 0.0


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("48 / 2 = 24 clips, 1,072 altogether.", "1072"),
        ("It costs $1,072.50", "1072.50"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("−5 degrees", "-5"),
        ("#### 12", "12"),
        ("**7**", "7"),
        ("x=-2", "-2"),
        ("10-4", "4"),
        ("10 - 4", "4"),
        (".5", "0.5"),
        ("5kg", "5"),
        ("50%", "50"),
        ("1, 2, 3", "3"),
        ("12,345,678", "12345678"),
        ("+7", "7"),
        ("７", "7"),
    ],
)
def test_the_last_number_is_read_as_people_write_it(said, number):
    assert last_number(said) == Decimal(number)


@pytest.mark.parametrize(
    "said", ["", "seven", "3/4", "it is 2 3/4", "1e5", "3.1.2", "1,23", "v2", "1.072,5", "9" * 101, "-", "$"]
)
def test_what_is_no_plain_number_is_none(said):
    assert last_number(said) is None
    assert numeric_match(said, said) == 0.0


def test_numbers_agree_within_a_millionth_and_no_more():
    assert numeric_match("So it is 3.5000001.", "7 / 2 = 3.5") == 1.0
    assert numeric_match("3.50001", "3.5") == 0.0
    assert numeric_match("2000001", "2,000,000") == 1.0
    assert numeric_match("200001", "200,000") == 0.0
    assert numeric_match("0.0000005", "0") == 1.0
    assert numeric_match("3.1", "3", tolerance=0.1) == 1.0
    assert numeric_match("12", "-12") == 0.0
    assert numeric_match("9" * 100, "1") == 0.0


# -- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("text", ["x", "two\nlines"], ["", " \n"]),
        ("line", ["one line", " one line\n"], ["", "two\nlines", "two\u2028lines"]),
        ("sentence", ["It sits.", "Does it?", "“It sits!”", 'He said "no."'], ["It sits", "It.\nIt.", "", "So,"]),
        ("number", ["5", "-3.5", " $1,072.50.", "1,072"], ["5 kg", "five", "", "1 2", "3/4", "x 5", "1,07", "--5"]),
        ("choice: good | not so bad", ["good", "Good.", "NOT so  bad"], ["goodness", "good, I think", "", "bad"]),
        ("fields: name, age", ["name: Ada; age: 7", "Name:Ada;age:7.", "name: a: b; age: 7;"],
         ["age: 7; name: Ada", "name: Ada", "name: ; age: 7", "name: Ada, age: 7", "", "name: Ada; age: 7; town: X"]),
        ("json: a, b", ['{"a": 1, "b": [2], "c": null}'], ['{"a": 1}', "[1]", "{a: 1, b: 2}", "", '"a, b"']),
        ("json", ["{}"], ["{", "1", "null", "[" * 100_000, "9" * 10_000]),
        ("sql", ["SELECT a FROM t;", "select 1"], ["SELECT", "DROP TABLE t", "I do not know.", ""]),
    ],
)  # fmt: skip
def test_a_form_admits_what_it_says(form, good, bad):
    assert [in_format(one, form) for one in good] == [1.0] * len(good)
    assert [in_format(one, form) for one in bad] == [0.0] * len(bad)


@pytest.mark.parametrize("form", ["poem", "", "choice", "fields:", "choice: |"])
def test_a_form_that_says_nothing_is_refused_with_what_to_write(form):
    with pytest.raises(CourseError, match="write"):
        in_format("x", form)


# -- perplexity ------------------------------------------------------------------------------------------------------


def test_perplexity_by_hand():
    # 3 tokens of 1/2, 1/4, 1/8 and 1 of 1/4: the product is 2^-8, over 4 tokens: 2^2
    from math import inf, log

    assert perplexity.perplexity([log(1 / 64), log(1 / 4)], [3, 1]) == pytest.approx(4)
    assert perplexity.perplexity([0.0], [5]) == 1.0
    assert perplexity.perplexity([-inf], [1]) == perplexity.perplexity([-1e9], [1]) == inf


@pytest.mark.parametrize(
    ("values", "tokens"), [([], []), ([-1.0], [1, 2]), ([-1.0], [0]), ([0.5], [1]), ([float("nan")], [1])]
)
def test_perplexity_of_nothing_is_refused(values, tokens):
    with pytest.raises(CourseError, match="give"):
        perplexity.perplexity(values, tokens)


# -- very long texts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece", ["9", "1,", "1.", "- ", "$ ", "1/", " ", "'", "[", "`", "heron ", "1e", "```sql\n", "{"]
)
def test_a_very_long_text_takes_no_longer_than_its_length(piece):
    long = piece * (200_000 // len(piece))
    began = time.process_time()
    for score in SCORES.values():
        assert 0.0 <= score(long, "heron 5") <= 1.0
        assert 0.0 <= score("heron 5", long) <= 1.0
    for form in forms.FORMS:
        in_format(long, forms.EXAMPLES.get(form, form))
    assert sql.bare(long)
    assert time.process_time() - began < 20  # minutes or hours if any pattern went back and forth


def test_two_long_texts_are_compared_in_good_time():
    draw = random.Random(0)
    first, second = (" ".join(draw.choices("abcdefghij", k=20_000)) for _ in range(2))
    began = time.process_time()
    assert 0.4 < rouge_l(first, second) < 0.7
    assert time.process_time() - began < 20  # the textbook's table would have 400 million cells
