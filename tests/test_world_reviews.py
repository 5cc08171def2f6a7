"""Reviews: the text alone gives the stars, the headline says what the text says, and every layout is used."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from course_lib.world import reviews
from course_lib.world.phrases import fill, material
from course_lib.world.place import Place

TRAIN, TEST = Place.build(), Place.build(split="test")


def test_the_stars_of_a_list_of_values_follow_the_rule_worked_out_by_hand() -> None:
    # means: 5/3 = 1.67, 2/3 = 0.67, 0, -1/3 (nearer to 3 than to 2), -1, -1.5
    lists = [(2, 2, 1), (2, 1, -1), (1, -1), (-1, -1, 1), (-1, -1), (-2, -1)]
    assert [reviews.stars_of_mean(values) for values in lists] == [5, 4, 3, 3, 2, 1]


def test_every_line_of_values_gives_the_stars_it_stands_under() -> None:
    for stars, lines in reviews.VALUES.items():
        assert {reviews.stars_of_mean(line) for line in lines} == {stars}


def test_a_reader_counts_each_opinion_once_and_ignores_half_words() -> None:
    assert reviews.values_in(
        "The price was unfair, but the cook was most kind. We stayed until the lamps were lit."
    ) == [-1, 2, 2]
    with pytest.raises(ValueError, match="no judgement"):
        reviews.stars_of_text("We took the ferry.")


def test_a_word_with_two_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = {"opinions": {"food": {"1": ["fresh"], "2": ["fresh"]}}, "remarks": {}, "domains": []}
    monkeypatch.setattr(reviews, "material", lambda name: twice)
    with pytest.raises(AssertionError, match="two values for 'fresh'"):
        reviews.valued_phrases.__wrapped__()


def test_fillers_openings_and_statements_hold_no_opinion_of_their_own() -> None:
    data = material("reviews")
    patterns = [*data["pools"]["filler"], *(text for group in data["statements"].values() for text in group)]
    patterns += [text for domain in data["domains"] for text in domain["openings"]]
    patterns += [aspect for domain in data["domains"] for aspect, _ in domain["aspects"]]
    for pattern in patterns:
        assert reviews.values_in(pattern) == [], pattern


@pytest.mark.parametrize("stars", [1, 2, 3, 4, 5])
def test_the_body_alone_gives_the_stars_asked_for(stars: int) -> None:
    rng = Random(stars)
    for _ in range(200):
        review = reviews.sample(TRAIN, rng, stars)
        assert review.stars == stars == reviews.stars_of_text(review.body)
        assert [j.value for j in review.judgements]
        assert review.text.endswith(".")
        assert "{" not in review.text
        assert review.text.isascii()


def test_most_headlines_name_an_opinion_and_an_aspect_of_their_review() -> None:
    rng = Random(0)
    named = 0
    for _ in range(400):
        review = reviews.sample(TRAIN, rng)
        said = [f"{j.opinion.removeprefix('so ')} {j.aspect}" for j in review.judgements if j.aspect]
        named += any(phrase in review.headline.lower() for phrase in map(str.lower, said))
    assert 0.6 < named / 400 < 0.9


def test_a_document_holds_two_to_four_reviews_in_one_layout() -> None:
    rng = Random(0)
    stars_lines = Counter()
    for _ in range(300):
        text = reviews.document(TRAIN, rng)
        assert text == text.strip()
        assert 25 <= len(text.split()) <= 330
        if text.startswith("Review:"):
            blocks = text.split("\n\n")
            assert 2 <= len(blocks) <= 4
            forms = {tuple(line.split(":")[0] for line in block.split("\n")) for block in blocks}
            assert len(forms) == 1
            stars_lines[forms.pop()] += 1
    assert stars_lines[("Review", "Stars", "Headline")] > stars_lines[("Review", "Stars")] > 10
    assert stars_lines[("Review", "Headline")] > 10


def test_one_star_is_written_without_an_s() -> None:
    rng = Random(0)
    assert "(1 star)" in reviews.show(reviews.sample(TRAIN, rng, 1), "{text} ({count})")
    assert "(2 stars)" in reviews.show(reviews.sample(TRAIN, rng, 2), "{text} ({count})")


def test_items_have_every_rating_equally_often_and_a_seed_means_the_same_twice() -> None:
    records = reviews.items(TEST, Random(5), 100)
    assert Counter(record["stars"] for record in records) == {star: 20 for star in "12345"}
    assert records == reviews.items(TEST, Random(5), 100)
    assert set(records[0]) == {"text", "stars", "headline", "domain"}


def test_no_item_of_the_test_split_is_found_in_training_documents() -> None:
    rng = Random(1)
    seen = set()
    for _ in range(1500):
        words = re.findall(r"\w+", reviews.document(TRAIN, rng).lower())
        seen.update(tuple(words[k : k + 13]) for k in range(len(words) - 12))
    for record in reviews.items(TEST, Random(2), 200):
        words = re.findall(r"\w+", record["text"].lower())
        assert not any(tuple(words[k : k + 13]) in seen for k in range(len(words) - 12)), record["text"]


def test_a_pattern_is_filled_from_slots_first_and_pools_second() -> None:
    pools = {"hello": ["good {time}"]}
    assert fill("{Hello}, {name}.", {"name": "Ama", "time": "day"}, pools, Random(0)) == "Good day, Ama."
    with pytest.raises(KeyError, match="nobody"):
        fill("{nobody}", {}, pools, Random(0))
