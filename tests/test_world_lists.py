"""Lists: sums that add up, prices of the town, one form per document, and continuations that are settled."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random

import pytest

from course_lib.errors import CourseError
from course_lib.world.lists import DAYS, FORMS, KINDS, LONGEST, SHORTEST, Listing, document, items, sample
from course_lib.world.place import Place

TRAIN, TEST = Place.build(), Place.build(split="test")


def listings(kind: str, n: int = 200) -> list[Listing]:
    rng = Random(kind)
    return [sample(TRAIN, rng, kind) for _ in range(n)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_lists_of_distinct_entries(kind: str) -> None:
    for listing in listings(kind):
        assert listing.kind == kind
        assert 1 <= len(listing.entries) == len(set(listing.entries)) <= 12


def test_the_hours_of_a_journey_add_up_and_its_legs_meet() -> None:
    for listing in listings("journey"):
        legs = [re.fullmatch(r"(\w+) to (\w+): (\d+) hours?, (\d+) hours? in all", entry) for entry in listing.entries]
        walked = 0
        for leg in legs:
            assert leg
            walked += int(leg[3])
            assert walked == int(leg[4])
        assert walked == listing.total
        assert all(a and b and a[2] == b[1] for a, b in pairwise(legs))


def test_prices_are_those_of_the_town_and_in_the_order_the_title_says() -> None:
    price = {good.one: good.price for good in TRAIN.goods}
    for listing in listings("prices"):
        found = []
        for entry in listing.entries:
            number = int(re.search(r"(\d+) kori", entry)[1])  # type: ignore[index]
            one = re.sub(r"(: | costs )?\d+ kori( for )?", "", entry)
            assert price[one] == number
            found.append(number)
        if "low to high" in listing.title or "cheapest first" in listing.title:
            assert found == sorted(found)
        if "high to low" in listing.title or "dearest first" in listing.title:
            assert found == sorted(found, reverse=True)


def test_days_and_months_are_in_order() -> None:
    for listing in listings("week"):
        days = [DAYS.index(entry.split(":")[0]) for entry in listing.entries]
        assert days == sorted(days)
    months = {feast.name: TRAIN.months.index(feast.month) for feast in TRAIN.festivals}
    for listing in listings("feasts"):
        order = [next(months[name] for name in months if name in entry) for entry in listing.entries]
        assert order == sorted(order)


def test_words_stand_in_alphabetical_order_or_in_the_reverse() -> None:
    for listing in listings("sorted"):
        assert list(listing.entries) == sorted(listing.entries, reverse="z to a" in listing.title)


def test_documents_have_one_form_a_bounded_length_and_differ() -> None:
    rng = Random(0)
    texts = [document(TRAIN, rng) for _ in range(1000)]
    assert all(text.isascii() and text == text.strip() and SHORTEST <= len(text) <= LONGEST + 50 for text in texts)
    assert len(set(texts)) == len(texts)
    for text in texts:
        lines = [line for part in text.split("\n\n") for line in part.split("\n")]
        assert not (any(line.startswith("- ") for line in lines) and any(line.startswith("1. ") for line in lines))


def test_the_same_list_is_written_in_every_form() -> None:
    listing = Listing("shopping", "To buy", ("2 drums", "rice"))
    assert {form: listing.text(form) for form in FORMS} == {
        "dashes": "To buy\n- 2 drums\n- rice",
        "numbers": "To buy\n1. 2 drums\n2. rice",
        "lines": "To buy\n2 drums\nrice",
        "commas": "To buy: 2 drums, rice",
        "semicolons": "To buy: 2 drums; rice",
    }


def test_what_continues_a_list_follows_from_it() -> None:
    for item in items(TEST, Random(0), 300):
        question, answer = item["question"], item["answer"]
        if item["kind"] == "journey":
            hours = [int(number) for number in re.findall(r": (\d+) hour", question)]
            assert question.endswith(",")
            assert answer.split() == [str(sum(hours)), "hour" if sum(hours) == 1 else "hours", "in", "all"]
        else:
            assert question.endswith("\n")
            numbers = [int(line.split()[0]) for line in (question + answer).split("\n") if not line.startswith("by")]
            assert len({later - earlier for earlier, later in pairwise(numbers)}) == 1


def test_a_list_that_could_go_on_in_any_way_is_not_asked_about() -> None:
    with pytest.raises(CourseError, match="shopping"):
        items(TEST, Random(0), 1, kind="shopping")


def test_the_same_seed_gives_the_same_documents() -> None:
    assert document(TRAIN, Random(5)) == document(Place.build(), Random(5))
