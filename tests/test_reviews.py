"""What `assets/reviews.csv` promises: enough reviews, all kinds of them, none twice, and something left to learn."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter

import pytest

from course_lib.assets import asset
from course_lib.records import load, read

COLUMNS = ["product", "category", "stars", "headline", "body"]
STATES_STARS = re.compile(
    r"\b(one|two|three|four|five|zero|half|[0-5](\.5)?)[ -]?stars?\b|\b[0-5]\s?/\s?5\b|\bout of (5|five)\b|★|⭐", re.I
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    content = asset("reviews.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(content, newline=""), strict=True))


def test_the_file_is_utf_8_with_unix_line_ends():
    content = asset("reviews.csv").read_bytes()
    content.decode("utf-8")
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in content
    assert content.endswith(b"\n")


def test_every_field_is_filled_and_clean(rows):
    assert list(rows[0]) == COLUMNS
    for row in rows:
        for value in row.values():
            assert value == unicodedata.normalize("NFC", " ".join(value.split()))
            assert value
            assert not [letter for letter in value if unicodedata.category(letter) in ("Cc", "Co", "Cn")]
            assert not re.search("\ufffd|https?:|www\\.|@\\w|<\\w", value)


def test_there_are_enough_reviews(rows):
    assert len(rows) >= 2400


def test_bodies_have_10_to_80_words(rows):
    lengths = [len(row["body"].split()) for row in rows]
    assert min(lengths) >= 10
    assert max(lengths) <= 80


def test_every_category_has_every_star(rows):
    cells = Counter((row["category"], row["stars"]) for row in rows)
    categories = {category for category, _ in cells}
    assert len(categories) >= 12
    assert set(cells) == {(category, star) for category in categories for star in "12345"}
    assert min(cells.values()) >= 10


def test_both_sides_have_about_the_same_number_of_reviews(rows):
    counts = Counter(row["stars"] for row in rows)
    assert 0.45 < (counts["1"] + counts["2"]) / (counts["1"] + counts["2"] + counts["4"] + counts["5"]) < 0.55


def test_no_headline_stands_more_than_three_times(rows):
    headline, times = Counter(row["headline"].casefold() for row in rows).most_common(1)[0]
    assert times <= 3, headline


def test_no_opening_is_a_template(rows):
    opening, times = Counter(" ".join(row["body"].casefold().split()[:4]) for row in rows).most_common(1)[0]
    assert times <= 0.005 * len(rows), opening


def test_no_body_states_its_stars(rows):
    assert [row["body"] for row in rows if STATES_STARS.search(row["body"])] == []


def test_at_most_one_percent_are_near_duplicates(rows):
    from datasketch import MinHash, MinHashLSH

    words = [re.findall(r"\w+", row["body"].casefold()) for row in rows]
    sets = [[" ".join(one[k : k + 3]).encode() for k in range(len(one) - 2)] for one in words]
    signatures = MinHash.bulk(sets, num_perm=128)
    table = MinHashLSH(threshold=0.7, num_perm=128)
    near = 0
    for position, signature in enumerate(signatures):
        near += any(signature.jaccard(signatures[earlier]) >= 0.7 for earlier in table.query(signature))
        table.insert(position, signature)
    assert near <= 0.01 * len(rows)


def test_counting_words_gets_between_75_and_90_percent(rows):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
    from sklearn.pipeline import make_pipeline

    clear = [row for row in rows if row["stars"] != "3"]
    texts, positive = [row["body"] for row in clear], [row["stars"] in "45" for row in clear]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression())
    folds = StratifiedShuffleSplit(5, test_size=0.25, random_state=0)  # one split alone is off by 1.5 points
    assert 0.75 <= cross_val_score(model, texts, positive, cv=folds).mean() <= 0.90


def test_the_course_reads_them_without_a_single_copy_to_drop(rows):
    parts = load("reviews")
    counts = Counter(row["stars"] for row in rows)
    assert parts.train.classes == ("negative", "positive")
    assert len(parts.train) + len(parts.test) == len(rows) - counts["3"]
    assert (parts.exact, parts.near) == (0, 0)
    assert read(asset("reviews.csv"), "body", "category").counts() == Counter(row["category"] for row in rows)


def test_the_data_card_states_the_numbers_of_the_file(rows):
    card = asset("reviews.md").read_text(encoding="utf-8")
    stars = Counter(row["stars"] for row in rows)
    numbers = {
        "reviews": len(rows),
        "products": len({row["product"] for row in rows}),
        "categories": len({row["category"] for row in rows}),
        **{f"{star} stars": stars[star] for star in "2345"},
        "1 star": stars["1"],
    }
    numbers |= Counter(row["category"] for row in rows)
    for what, number in numbers.items():
        assert f"| {what} | {number:,} |" in card, f"{what}: {number:,}"
    assert "CC0" in card
