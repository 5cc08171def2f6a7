"""Reviews of what Saromi sells: a text, its stars, a headline.

A review is an opening (who bought what, where) and two to four judgements. Each judgement, an opinion about one aspect
("the soup was bland") or a remark ("we waited an hour"), has a value from -2 to 2, and the stars are nothing but their
mean m:

    5: m >= 1.5    4: m >= 0.5    3: -0.5 < m < 0.5    2: m <= -0.5    1: m <= -1.5

So the text determines the stars, and a reader who knows the words can count them; `stars_of_text` does just that and
checks every review made here. Left out: irony, spelling mistakes, and people who give five stars to everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

from course_lib.world.lexicon import Noun, lexicon
from course_lib.world.phrases import capital, fill, material, some, weighted
from course_lib.world.place import Place

# The values of a review's judgements, by its stars: every line's mean lies well inside the star's range.
VALUES: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 2, 1), (2, 2, 2, 2)),
    4: ((1, 1), (1, 1, 1), (2, 1, -1), (2, 2, -1), (1, 1, 0), (2, 1, 0), (2, 1, 1, -1)),
    3: ((1, -1), (2, -2), (0, 0), (1, 0, -1), (2, 0, -2), (1, 1, -1, -1), (0, 0, 1)),
    2: ((-1, -1), (-1, -1, -1), (-2, -1, 1), (-2, -2, 1), (-1, -1, 0), (-2, -1, 0), (-2, -1, -1, 1)),
    1: ((-2, -2), (-2, -2, -2), (-2, -2, -1), (-2, -2, -2, -1), (-2, -2, -2, -2)),
}
LAYOUTS: dict[str, int] = {
    "Review: {text}\nStars: {stars}\nHeadline: {headline}": 44,
    "Review: {text}\nStars: {stars}": 16,
    "Review: {text}\nHeadline: {headline}": 14,
    "{text} ({count})": 12,
    "Headline: {headline}\nReview: {text}\nStars: {stars}": 6,
    "Stars: {stars}\nReview: {text}": 4,
    "{headline}. {text} I give it {count}.": 4,
}
MAIN = next(iter(LAYOUTS))


@dataclass(frozen=True)
class Judgement:
    """One valued statement. ``aspect`` and ``opinion`` are empty for a remark, which speaks for itself."""

    text: str
    value: int
    aspect: str = ""
    opinion: str = ""


@dataclass(frozen=True)
class Review:
    """A checked review: ``stars`` 1 to 5, ``domain`` what it is about, ``judgements`` what the stars come from."""

    domain: str
    opening: str
    body: str
    stars: int
    headline: str
    judgements: tuple[Judgement, ...]

    @property
    def text(self) -> str:
        """What the customer wrote, without stars and headline."""
        return f"{self.opening} {self.body}".strip()


def stars_of_mean(values: Sequence[int]) -> int:
    """The stars of a list of values from -2 to 2: the rule at the top of this module."""
    mean = sum(values) / len(values)
    if abs(mean) < 0.5:
        return 3
    strong = abs(mean) >= 1.5
    return (5 if strong else 4) if mean > 0 else (1 if strong else 2)


@cache
def valued_phrases() -> dict[str, int]:
    """Every opinion and remark, lower case, with its value. Raises AssertionError when one has two values."""
    data = material("reviews")
    tables = [*data["opinions"].values(), data["remarks"], *(domain["remarks"] for domain in data["domains"])]
    values: dict[str, int] = {}
    for table in tables:
        for value, phrases in table.items():
            for phrase in phrases:
                assert values.setdefault(phrase.lower(), int(value)) == int(value), f"two values for {phrase!r}"
    return values


@cache
def _reader() -> re.Pattern[str]:
    longest_first = sorted(valued_phrases(), key=lambda phrase: (-len(phrase), phrase))
    return re.compile(r"\b(" + "|".join(map(re.escape, longest_first)) + r")\b", re.IGNORECASE)


def values_in(text: str) -> list[int]:
    """The values a reader finds in a text, in order, by looking for the phrases alone."""
    return [valued_phrases()[found.lower()] for found in _reader().findall(text)]


def stars_of_text(body: str) -> int:
    """The stars of a review's body by the second route: read, look up, average. Raises ValueError without judgement."""
    values = values_in(body)
    if not values:
        raise ValueError(f"no judgement in {body!r}")
    return stars_of_mean(values)


def sample(place: Place, rng: Random, stars: int | None = None) -> Review:
    """One review; ``stars`` fixes the rating (every rating is equally likely otherwise)."""
    data = material("reviews")
    stars = stars or rng.randint(1, 5)
    domain = rng.choice(data["domains"])
    noun = _thing(domain, rng)
    slots = _slots(place, rng, noun)
    opening = "" if rng.random() < 0.12 else _opening(domain, slots, rng)
    filler = [fill(rng.choice(data["pools"]["filler"]), slots, data["pools"], rng)] if rng.random() < 0.2 else []
    judgements = _judgements(domain, noun, slots, list(rng.choice(VALUES[stars])), rng)
    while neighbours_split(filler, judgements) - {place.split}:
        judgements = _judgements(domain, noun, slots, list(rng.choice(VALUES[stars])), rng)
    body = " ".join(filler + _sentences(judgements, rng))
    assert stars_of_text(body) == stars, (stars, body)
    return Review(domain["name"], opening, body, stars, _headline(judgements, stars, rng), tuple(judgements))


def document(place: Place, rng: Random) -> str:
    """Two to four reviews in one layout."""
    layout = weighted(rng, LAYOUTS)
    between = "\n\n" if layout.count("\n") or rng.random() < 0.3 else "\n"
    return between.join(show(sample(place, rng), layout) for _ in range(rng.randint(2, 4)))


def items(place: Place, rng: Random, n: int) -> list[dict[str, str]]:
    """``n`` records: ``text``, ``stars`` ("1" to "5", equally often), ``headline``, ``domain``."""
    ratings = [1 + k % 5 for k in range(n)]
    rng.shuffle(ratings)
    reviews = [sample(place, rng, stars) for stars in ratings]
    return [{"text": r.text, "stars": str(r.stars), "headline": r.headline, "domain": r.domain} for r in reviews]


def show(review: Review, layout: str = MAIN) -> str:
    """The review in one of LAYOUTS."""
    count = f"{review.stars} star" + "s" * (review.stars != 1)
    return layout.format(text=review.text, stars=review.stars, headline=review.headline, count=count)


def neighbours_split(filler: Sequence[str], judgements: Sequence[Judgement]) -> set[str]:
    """The splits that the pairs of neighbouring statements belong to: no pair of a test review occurs in training.

    A pair is for testing when the letters of what the two say (opinion and aspect, or the remark) add up to a multiple
    of 4; how they say it does not matter.
    """
    said = [*filler, *(f"{j.opinion} {j.aspect}" if j.aspect else j.text for j in judgements)]
    sums = [sum(text.lower().encode()) for text in said]
    return {"test" if (left + right) % 4 == 0 else "train" for left, right in pairwise(sums)}


def _thing(domain: dict[str, Any], rng: Random) -> Noun:
    """A noun of the domain whose own words are no opinions ("cold soup" would be read as one)."""
    return rng.choice(_silent_nouns(*domain["things"]))


@cache
def _silent_nouns(*kinds: str) -> tuple[Noun, ...]:
    nouns = [noun for kind in kinds for noun in lexicon().nouns[kind]]
    return tuple(noun for noun in nouns if not values_in(f"{noun.singular} {noun.plural}"))


@cache
def _past_times() -> tuple[str, ...]:
    """The times that a finished visit can have."""
    return tuple(time for time in lexicon().times if not re.search(r"next|tomorrow|every|twice|once|days", time))


def _slots(place: Place, rng: Random, noun: Noun) -> dict[str, str]:
    owner, friend = place.cast(rng, 2)
    words = lexicon()
    return {
        "thing": noun.singular, "things": some(noun), "a_thing": noun.a, "some_things": some(noun),
        "owner": owner.given, "name": friend.given, "shop": place.shop_name(rng), "village": place.village_name(rng),
        "street": place.street_name(rng), "place": rng.choice(words.places_in_town), "time": rng.choice(_past_times()),
        "count": str(rng.randint(2, 6)), "price": str(rng.randint(2, 40)),
    }  # fmt: skip


def _opening(domain: dict[str, Any], slots: dict[str, str], rng: Random) -> str:
    """Who did what, when: "At dawn my sister and I took the ferry to Belu."."""
    pools = material("reviews")["pools"]
    who = rng.choice(["I", "I", "I", "we", "we", "my {relation} and I", "{name} and I", "my {companion} {name} and I"])
    did = rng.choice(domain["openings"])
    last = "{who} {did} {time}." if slots["time"].count(" ") < 3 else "{time} {who} {did}."
    shape = rng.choice(["{who} {did}.", "{who} {did}.", last, "{time} {who} {did}."])
    sentence = shape.replace("{who}", who).replace("{did}", did)
    return capital(fill(sentence, slots, pools, rng))


def _judgements(
    domain: dict[str, Any], noun: Noun, slots: dict[str, str], values: list[int], rng: Random
) -> list[Judgement]:
    """One judgement per value about different aspects; now and then the last is a remark."""
    rng.shuffle(values)
    remark_at = rng.choice([len(values) - 1, 0, -1, -1])  # -1: none
    aspects = rng.sample(domain["aspects"], len(values))
    made = []
    for k, value in enumerate(values):
        if k == remark_at:
            # a general remark ("I will never come back") sums up, so it comes last
            sums_up = k == len(values) - 1 and rng.random() < 0.6
            remarks = (material("reviews") if sums_up else domain)["remarks"][str(value)]
            made.append(Judgement(f"{rng.choice(remarks)}.", value))
        else:
            used = {judgement.opinion for judgement in made}
            made.append(_opinion(aspects[k], noun, slots, value, rng, used))
    return made


def _opinion(
    aspect: Sequence[str], noun: Noun, slots: dict[str, str], value: int, rng: Random, used: set[str]
) -> Judgement:
    data = material("reviews")
    opinions = data["opinions"][aspect[1]][str(value)]
    opinion = rng.choice([opinion for opinion in opinions if opinion not in used] or opinions)
    name = fill(aspect[0], slots, {}, rng)
    side = [] if value == 0 else data["statements"]["good" if value > 0 else "bad"]
    pattern = rng.choice(data["statements"]["any"] + side)
    was = "were" if _is_plural(aspect[0], noun) else "was"
    text = fill(pattern, slots | {"the": f"the {name}", "was": was, "op": opinion}, data["pools"], rng)
    return Judgement(text, value, name, opinion)


def _is_plural(aspect: str, noun: Noun) -> bool:
    if "{thing" in aspect:
        return aspect == "{things}" and not noun.mass
    return " " not in aspect and aspect.endswith("s")


def _sentences(judgements: list[Judgement], rng: Random) -> list[str]:
    """The judgements as sentences; two neighbours that stand in plain form may become one with "but" or "and"."""
    sentences: list[str] = []
    k = 0
    while k < len(judgements):
        pair = judgements[k : k + 2]
        if len(pair) == 2 and all(j.text.startswith("The ") for j in pair) and rng.random() < 0.5:
            joint = "but" if pair[0].value * pair[1].value < 0 else "and"
            comma = "," if joint == "but" else ""
            sentences.append(f"{pair[0].text[:-1]}{comma} {joint} t{pair[1].text[1:]}")
            k += 2
        else:
            sentences.append(pair[0].text)
            k += 1
    return sentences


def _headline(judgements: list[Judgement], stars: int, rng: Random) -> str:
    """What the review says in two to six words; from its strongest opinions where it has any."""
    opinions = [replace(j, opinion=j.opinion.removeprefix("so ")) for j in judgements if j.aspect]
    fixed = rng.choice(material("reviews")["headlines"][str(stars)])
    if not opinions or rng.random() < 0.2:
        return fixed
    side = 1 if stars > 3 else -1
    first = opinions[0] if stars == 3 else max(opinions, key=lambda j: j.value * side)
    other = next((j for j in opinions if j.value * first.value < 0), None)
    second = other or next((j for j in opinions if j is not first), None)
    if second is None or (other is None and rng.random() < 0.6):
        return capital(f"{first.opinion} {first.aspect}")
    joint = ", but" if other else " and"
    return capital(f"{first.opinion} {first.aspect}{joint} {second.opinion} {second.aspect}")
