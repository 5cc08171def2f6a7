"""Tasks on a text: its stars, its mood, a headline, an answer, what it names.

Reviews and passages are the world's own; notes (a person, a place, a price) are made here from the sentences in
``assets/world/instructions.toml`` and read back through the same sentences as patterns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random

from course_lib.world import passages, reviews
from course_lib.world.instructions.kind import Kind, Task, body, read_slots, same
from course_lib.world.instructions.questions import answer_in
from course_lib.world.instructions.words import near_number
from course_lib.world.lexicon import lexicon
from course_lib.world.phrases import capital, fill, material
from course_lib.world.place import Place
from course_lib.world.values import DAYS

LONGEST = 320  # characters of a review or passage: about 90 tokens
MOODS = {True: "happy", False: "unhappy"}
NAME = r"[A-Z][a-z]+(?: [A-Z][a-z]+)?"
SHAPES = {"person": NAME, "place": r"the [a-z ]+?", "price": r"\d+", "day": "|".join(DAYS)}
WHAT = ("person", "place", "price")
PARTS = re.compile(r",? (?:but|and) ")


# ---- reviews ---------------------------------------------------------------------------------------------------------


def _review(place: Place, rng: Random, stars: int) -> reviews.Review:
    """A short review whose opening has no word that might be an opinion ("in the dry season")."""
    while True:
        review = reviews.sample(place, rng, stars)
        if len(review.text) <= LONGEST and reviews.values_in(review.text) == reviews.values_in(review.body):
            return review


def _rating(place: Place, rng: Random) -> Task:
    review = _review(place, rng, rng.randint(1, 5))
    return Task(f"Review: {review.text}", str(review.stars), fields={"choices": "1, 2, 3, 4, 5"})


def _stars(text: str) -> int | None:
    return reviews.stars_of_text(text) if reviews.values_in(text) else None


def _judge_rating(record: Mapping[str, str], answer: str) -> bool | None:
    stars = _stars(body(record))
    return None if stars is None else same(re.sub(r"(?i) stars?\b", "", answer), str(stars))


def _near_rating(record: Mapping[str, str], rng: Random) -> str:
    return "4" if record["output"] == "5" else near_number(record, rng)


def _mood(place: Place, rng: Random) -> Task:
    review = _review(place, rng, rng.choice((1, 2, 4, 5)))
    return Task(f"Review: {review.body}", MOODS[review.stars > 3], fields={"choices": ", ".join(MOODS.values())})


def _judge_mood(record: Mapping[str, str], answer: str) -> bool | None:
    stars = _stars(body(record))
    return None if stars in (None, 3) else same(answer, MOODS[stars > 3])


def _near_mood(record: Mapping[str, str], rng: Random) -> str:
    return MOODS[record["output"] != MOODS[True]]


def _headline(place: Place, rng: Random) -> Task:
    """The strongest opinion that agrees with the stars; with three stars, one of each side."""
    while True:
        review = _review(place, rng, rng.randint(1, 5))
        opinions = [judgement for judgement in review.judgements if judgement.aspect and judgement.value]
        sides = (1, -1) if review.stars == 3 else (1 if review.stars > 3 else -1,)
        best = [max(opinions, key=lambda one: one.value * side) for side in sides] if opinions else []
        if best and all(one.value * side > 0 for one, side in zip(best, sides, strict=True)):
            named = [f"{one.opinion.removeprefix('so ')} {one.aspect}" for one in best]
            return Task(f"Review: {review.text}", capital(", but ".join(named)))


def _judge_headline(record: Mapping[str, str], answer: str) -> bool | None:
    """Every "opinion aspect" of the headline must be in the text, and its mood must be the text's.

    None for a headline without opinions ("Never again"), which may be fine.
    """
    stars = _stars(body(record))
    said = [_opinion(part.lower()) for part in PARTS.split(answer.strip(" .!"))]
    values = [value for _, _, value in said]
    if stars is None or not all(values):
        return None
    if not all(_says(body(record), opinion, aspect) for opinion, aspect, _ in said):
        return False
    return min(values) < 0 < max(values) if stars == 3 else all((value > 0) == (stars > 3) for value in values)


def _opinion(part: str) -> tuple[str, str, int]:
    """ "fair prices": the opinion, what it is about, its value (0 where there is no opinion)."""
    known = {phrase.removeprefix("so "): value for phrase, value in reviews.valued_phrases().items()}
    opinion = max((phrase for phrase in known if part.startswith(f"{phrase} ")), key=len, default="")
    return opinion, part.removeprefix(opinion).strip(), known.get(opinion, 0)


def _says(text: str, opinion: str, aspect: str) -> bool:
    """Whether the text has the opinion behind its aspect: "I found the prices fair", "The prices were fair"."""
    link = r"(?: there)?(?: (?:was|were|seemed))?(?: so)? "
    return bool(re.search(rf"(?i)\bthe {re.escape(aspect)}{link}{re.escape(opinion)}\b", text))


# ---- passages --------------------------------------------------------------------------------------------------------


def _passage(place: Place, rng: Random) -> Task:
    """A passage of two to four sentences with a question that can be answered from the text alone."""
    while True:
        (item,) = passages.items(place, rng, 1, facts=(2, 4))
        text = f"Passage: {item['passage']}\nQuestion: {item['question']}"
        found = answer_in(item["passage"], item["question"])
        if len(text) <= LONGEST and found is not None and same(found, item["answer"]):
            return Task(text, item["answer"])


def _judge_passage(record: Mapping[str, str], answer: str) -> bool | None:
    slots = read_slots("{passage}\nQuestion: {question}", body(record))
    found = answer_in(slots["passage"], slots["question"]) if slots else None
    return None if found is None else same(answer, found)


# ---- notes -----------------------------------------------------------------------------------------------------------


def _note(place: Place, rng: Random) -> tuple[str, dict[str, str]]:
    person, data = place.cast(rng, 1)[0], material("instructions")["notes"]
    good = rng.choice(place.goods)
    slots = {
        "person": person.name if rng.random() < 0.25 else person.given,
        "place": rng.choice(lexicon().places_in_town),
        "price": str(rng.randint(2, 40)),
        "good": good.amount(rng.randint(1, 6)),
        "day": rng.choice(DAYS),
    }
    sentences = [fill(rng.choice(data["sentences"]), slots, {}, rng)]
    if rng.random() < 0.4:
        sentences.insert(rng.randint(0, 1), rng.choice(data["fillers"]))
    named = {what: slots[what] for what in WHAT}
    named["price"] += " kori"
    return " ".join(sentences), named


def _named_in(text: str) -> dict[str, str] | None:
    """Person, place and price of a note, None where it is none."""
    data = material("instructions")["notes"]
    sentences = [one for one in re.split(r"(?<=\.) ", text) if one not in data["fillers"]]
    found = [slots for pattern in data["sentences"] for one in sentences if (slots := read_slots(pattern, one, SHAPES))]
    if len(found) != 1:
        return None
    return {"person": found[0]["person"], "place": found[0]["place"], "price": f"{found[0]['price']} kori"}


def _extraction(place: Place, rng: Random) -> Task:
    text, named = _note(place, rng)
    what = rng.choice(WHAT)
    return Task(f"Text: {text}", named[what], slots={"what": what}, fields={"what": what})


def _judge_extraction(record: Mapping[str, str], answer: str) -> bool | None:
    named = _named_in(body(record))
    asked = [what for what in WHAT if re.search(rf"\b{what}\b", record["instruction"])]
    return None if named is None or len(asked) != 1 else same(answer, named[asked[0]])


def _near_extraction(record: Mapping[str, str], rng: Random) -> str:
    """Something else that the text names."""
    others = [value for value in (_named_in(body(record)) or {}).values() if value != record["output"]]
    return rng.choice(others) if others else ""


def _fields(place: Place, rng: Random) -> Task:
    text, named = _note(place, rng)
    answer = "; ".join(f"{key}: {named[what]}" for what, key in _keys().items())
    return Task(f"Text: {text}", answer, fields={"form": f"fields: {', '.join(_keys().values())}"})


def _judge_fields(record: Mapping[str, str], answer: str) -> bool | None:
    named = _named_in(body(record))
    parts = dict(part.split(": ", 1) for part in answer.strip(" .").split("; ") if ": " in part)
    return None if named is None else parts == {key: named[what] for what, key in _keys().items()}


@cache
def _keys() -> dict[str, str]:
    """What the fixed form calls the parts of a note."""
    return {"person": "name", "place": "place", "price": "price"}


KINDS = (
    Kind("rating", "A review's stars, 1 to 5.", "exact", _rating, _judge_rating, _near_rating),
    Kind("mood", "Is a customer happy or unhappy?", "exact", _mood, _judge_mood, _near_mood),
    Kind("headline", "A headline for a review.", "rouge", _headline, _judge_headline),
    Kind("passage-question", "A question on a passage.", "exact", _passage, _judge_passage),
    Kind("extraction", "The person, place or price in a text.", "exact", _extraction, _judge_extraction,
         _near_extraction),
    Kind("fields", "Name, place and price in a fixed form.", "f1", _fields, _judge_fields),
)  # fmt: skip
