"""Two people of Saromi talk: at the market, at the inn, on the ferry, in the street.

A dialogue is one of a few scenes told with fresh names, goods and numbers: each turn has several wordings, some turns
may be missing, and the sums are right. What was said can be asked about ("How much does Ama pay?"), and the answer
always stands in the dialogue. Left out: people who interrupt each other, misunderstand each other, or lie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from course_lib.world.lexicon import lexicon
from course_lib.world.phrases import capital, fill, material, some, weighted
from course_lib.world.place import Person, Place

# How a turn is written, and how often. The saying forms start their own sentence in running text.
LAYOUTS: dict[str, int] = {
    "{name}: {text}": 60,
    '{name} said: "{text}"': 12,
    "- {text}": 8,
    '"{text}" ({name})': 6,
    "[{name}] {text}": 6,
    "{NAME}: {text}": 8,
}
MAIN = next(iter(LAYOUTS))
ON_ROADS = (
    "cart",
    "wagon",
    "bicycle",
    "car",
    "truck",
    "rickshaw",
    "tractor",
    "scooter",
    "van",
    "motorbike",
    "tricycle",
)
ASKED = 0.35  # the share of documents that end in questions


@dataclass(frozen=True)
class Dialogue:
    """A checked dialogue. ``turns`` are (given name, what is said); ``questions`` are (question, answer)."""

    topic: str
    setting: str
    speakers: tuple[str, str]
    turns: tuple[tuple[str, str], ...]
    questions: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The dialogue in the most frequent layout, without its setting."""
        return show(self)


def sample(place: Place, rng: Random, topic: str | None = None) -> Dialogue:
    """One dialogue, about ``topic`` if one is given; its sums and answers are checked."""
    data = material("dialogue")
    scene = rng.choice([scene for scene in data["scenes"] if topic in (None, scene["topic"])])
    slots = _slots(place, rng)
    told = {group for group in "123" if rng.random() < 0.6}
    turns = tuple(_turn(rng.choice(wordings), slots, data, rng) for wordings in scene["turns"] if _kept(wordings, told))
    setting = capital(fill(rng.choice(scene["where"]), slots, data["pools"], rng))
    questions = tuple(
        (fill(entry[0], slots, {}, rng), fill(entry[1], slots, {}, rng))
        for entry in scene["questions"]
        if len(entry) == 2 or entry[2] in told
    )
    made = Dialogue(scene["topic"], setting, (slots["a"], slots["b"]), turns, questions)
    _check(made, slots)
    return made


def document(place: Place, rng: Random) -> str:
    """One or two dialogues in one layout, sometimes with questions about them."""
    layout = weighted(rng, LAYOUTS)
    asked = rng.random() < ASKED
    parts = []
    for _ in range(rng.choice((1, 1, 2))):
        dialogue = sample(place, rng)
        part = [f"{dialogue.setting}."] if rng.random() < 0.5 else []
        part.append(show(dialogue, layout))
        # a dash does not say who speaks, capitals hide how a name is written: questions ask for both
        if asked and "{name}" in layout:
            for question, answer in rng.sample(dialogue.questions, min(2, len(dialogue.questions))):
                part.append(f"Question: {question}\nAnswer: {answer}")
        parts.append("\n".join(part))
    return "\n\n".join(parts)


def items(place: Place, rng: Random, n: int) -> list[dict[str, str]]:
    """``n`` records: ``dialogue``, ``question``, ``answer`` (stands in the dialogue), ``topic``, ``setting``, and, for
    telling what comes next, ``opening`` (all turns but the last) and ``last`` (the last turn with its speaker).
    """
    records = []
    for _ in range(n):
        made = sample(place, rng)
        question, answer = rng.choice(made.questions)
        opening, _, last = made.text.rpartition("\n")
        records.append(
            {"dialogue": made.text, "question": question, "answer": answer, "topic": made.topic,
             "setting": made.setting, "opening": opening, "last": last}
        )  # fmt: skip
    return records


def show(dialogue: Dialogue, layout: str = MAIN) -> str:
    """The turns, one a line, in one of LAYOUTS."""
    return "\n".join(layout.format(name=name, NAME=name.upper(), text=text) for name, text in dialogue.turns)


def _kept(wordings: list[str], told: set[str]) -> bool:
    group = wordings[0][0]
    return not group.isdigit() or group in told


def _turn(wording: str, slots: Mapping[str, str], data: dict[str, Any], rng: Random) -> tuple[str, str]:
    """ "1a: {thanks}." to ("Ama", "Many thanks."), every sentence with a capital."""
    speaker, _, pattern = wording.lstrip("123").partition(": ")
    text = fill(pattern, slots, data["pools"], rng)
    for stop in (". ", "? ", "! "):
        text = stop.join(capital(part) for part in text.split(stop))
    return slots[speaker], capital(text)


def _slots(place: Place, rng: Random) -> dict[str, str]:
    """Everything a scene may speak of. Persons, numbers and goods are drawn anew for every dialogue."""
    words = lexicon()
    a, b, third, fourth = place.cast(rng, 4)
    shop, village = place.shop(rng), place.village(rng)
    known = rng.choice(place.shops)
    landmark, feast = rng.choice(place.landmarks), rng.choice(place.festivals)
    nouns = words.nouns
    thing = rng.choice([noun for kind in ("garment", "vessel", "toy") for noun in nouns[kind] if not noun.mass])
    dish, dish2 = rng.sample([noun for noun in nouns["dish"] if noun.mass], 2)
    time, time2 = rng.sample(_times_of_day(), 2)
    return {
        "a": a.given, "b": b.given, "third": third.given, "fourth": fourth.given, "third_a_trade": third.trade.a,
        "work": f"{third.trade.work.base} {third.trade.object}", **_person("a", a), **_person("b", b),
        "shop": shop.name, "street": shop.street, "opens": shop.opens, "shop2": place.shop_name(rng),
        "street2": place.street_name(rng), "village": village.name, "hours": str(rng.randint(2, 9)),
        "direction": village.direction, "side": rng.choice(("left", "right")), "landmark": landmark.name,
        "known_shop": known.name, "known_owner": known.owner.name, "known_street": known.street,
        "known_year": str(known.founded), "festival": feast.name, "month": feast.month, "custom": feast.custom,
        "feast_dish": some(feast.dish), "dish": some(dish), "dish2": some(dish2), "thing": thing.singular,
        "a_thing": thing.a, "colour": rng.choice(words.colours), "place": rng.choice(words.places_in_town),
        "time": time, "time2": time2, "drink": some(rng.choice(nouns["drink"])),
        "fruit": some(rng.choice(nouns["fruit"])), "tool": rng.choice(nouns["tool"]).singular,
        "vehicle": rng.choice(ON_ROADS), "family": rng.choice(("sister", "brother", "cousin", "aunt")),
        **_trade(place, rng),
    }  # fmt: skip


@cache
def _times_of_day() -> tuple[str, ...]:
    """ "at dawn", "before lunch": what fits yesterday as well as tomorrow."""
    return tuple(time for time in lexicon().times if re.match(r"(at|early|late|before|after|in the [mae]\w+ng?$)", time)
                 and not re.search("week|harvest|moon", time))  # fmt: skip


def _person(letter: str, person: Person) -> dict[str, str]:
    return {
        f"{letter}_full": person.name, f"{letter}_trade": person.trade.name, f"{letter}_a_trade": person.trade.a,
        f"{letter}_village": person.village, f"{letter}_district": person.district,
        f"{letter}_likes": some(person.likes),
    }  # fmt: skip


def _trade(place: Place, rng: Random) -> dict[str, str]:
    """A good and the numbers of a sale: small ones, so that a reader can follow the sums."""
    good = rng.choice([good for good in place.goods if good.price <= 20])
    count = rng.randint(2, max(2, min(6, 60 // good.price)))
    price, price3 = good.price, rng.randint(1, 9)
    total = count * price
    money = total + rng.choice((10 - total % 10, 5 - total % 5))
    low = rng.randint(2, 20)
    step = rng.randint(1, 6)
    return {
        "one": good.one, "amount": good.amount(count), "things": some(good.noun), "count": str(count),
        "price": str(price), "price2": str(rng.randint(10, 40)), "price3": str(price3), "sum": str(price + price3),
        "total": str(total), "money": str(money), "change": str(money - total), "low": str(low),
        "deal": str(low + step), "high2": str(low + 2 * step), "high": str(low + 3 * step),
    }  # fmt: skip


def _check(made: Dialogue, slots: Mapping[str, str]) -> None:
    """The second route: a sale added up coin by coin, and every answer found in what was said."""
    number = {name: int(slots[name]) for name in ("count", "price", "total", "money", "change", "low", "deal", "high2")}
    assert number["total"] == sum([number["price"]] * number["count"]), made
    assert number["total"] + number["change"] == number["money"], made
    assert number["low"] < number["deal"] < number["high2"], made
    said = " ".join(f"{name}: {text}" for name, text in made.turns).lower()
    for question, answer in made.questions:
        assert answer.lower() in said, (question, answer, said)
