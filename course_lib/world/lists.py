"""Lists: shopping lists, price lists, weeks, feasts, journeys, words in order, counting.

The same content is written in one of five forms (dashes, numbers, plain lines, commas, semicolons), so that a model
meets the form of a list apart from what stands in it. Prices and feasts are the fixed town's, everything else is
fresh. Counting, multiples and journeys with a running total can be continued by who understands them: `items` are
such lists without their last entry.

Left out: lists of lists, and lists in answer to a question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from course_lib.errors import CourseError
from course_lib.world.lexicon import lexicon
from course_lib.world.place import MONEY, TOWN, Place

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FORMS = {"dashes": 40, "numbers": 25, "lines": 20, "commas": 10, "semicolons": 5}
SHORT_FORMS = ("commas", "semicolons")
CONTINUED = ("counting", "multiples", "journey")
SHORTEST, LONGEST = 180, 1000  # characters of a document: about 60 to 300 tokens


@dataclass(frozen=True)
class Listing:
    """A title, which may be empty, and entries in their order. ``total`` is what a list with sums adds up to."""

    kind: str
    title: str
    entries: tuple[str, ...]
    total: int = 0

    def text(self, form: str) -> str:
        """The list in one of `FORMS`."""
        if form in SHORT_FORMS:
            line = (", " if form == "commas" else "; ").join(self.entries)
            return f"{self.title}: {line}" if self.title else line
        marked = {
            "dashes": [f"- {entry}" for entry in self.entries],
            "numbers": [f"{number}. {entry}" for number, entry in enumerate(self.entries, 1)],
            "lines": list(self.entries),
        }[form]
        return "\n".join([self.title, *marked] if self.title else marked)


def sample(place: Place, rng: Random, kind: str | None = None) -> Listing:
    """One checked list; ``kind`` is a key of `KINDS`."""
    kind = kind or rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    return KINDS[kind][1](place, rng)


def document(place: Place, rng: Random) -> str:
    """One to four lists of one kind, all in the same form, as one document for pretraining; more if they are short."""
    first = sample(place, rng)
    form = rng.choices(list(FORMS), list(FORMS.values()))[0]
    if form == "commas" and any("," in entry for entry in first.entries):
        form = "semicolons"
    texts = [first.text(form)]
    more = rng.randint(1, 3)
    while more > 0 or sum(map(len, texts)) < SHORTEST:
        text = sample(place, rng, first.kind).text(form)
        if text not in texts and sum(map(len, texts)) + len(text) < LONGEST:
            texts.append(text)
        more -= 1
    return "\n\n".join(texts)


def items(place: Place, rng: Random, n: int, kind: str | None = None) -> list[dict[str, str]]:
    """``n`` lists to be continued by what follows from them.

    Keys: ``question`` (the list up to there), ``answer`` and ``kind`` (counting, multiples or journey; ``kind`` asks
    for one of them). Of a list of numbers the last line is missing, of a journey its sum: "... 2 hours," asks for
    "15 hours in all".
    """
    found = []
    for _ in range(n):
        listing = sample(place, rng, kind or rng.choice(CONTINUED))
        if listing.kind not in CONTINUED:
            raise CourseError(
                f"How a list of kind {kind!r} goes on is not settled; choose one of {', '.join(CONTINUED)}."
            )
        text = listing.text("lines")
        cut = text.rindex("," if listing.kind == "journey" else "\n") + 1
        found.append({"question": text[:cut], "answer": text[cut:].strip(), "kind": listing.kind})
    return found


def _shopping(place: Place, rng: Random) -> Listing:
    person = place.cast(rng, 1)[0]
    goods = rng.sample(place.goods, rng.randint(3, 8))
    occasion = rng.choice((person.given, person.name, rng.choice(DAYS), "the feast"))
    title = rng.choice(("Shopping list", "To buy", "From the market", "Things to bring")) + f" for {occasion}"
    if rng.random() < 0.6:
        return Listing("shopping", title, tuple(good.amount(rng.randint(1, 6)) for good in goods))
    return Listing("shopping", title, tuple(good.noun.plural for good in goods))


def _prices(place: Place, rng: Random) -> Listing:
    """Prices of the fixed town: of one shop, or of some goods by price."""
    if rng.random() < 0.5:
        shop = rng.choice(place.shops)
        goods = list(shop.sells)
        title = rng.choice((f"Prices at {shop.name}", f"{shop.name}, {shop.street}", f"For sale at {shop.name}"))
    else:
        goods = sorted(rng.sample(place.goods, rng.randint(4, 8)), key=lambda good: good.price)
        title = rng.choice(("Prices from low to high", "What things cost, the cheapest first"))
        if rng.random() < 0.4:
            goods.reverse()
            title = rng.choice(("Prices from high to low", "What things cost, the dearest first"))
    shape = rng.choice(("{one}: {price} " + MONEY, "{one} costs {price} " + MONEY, "{price} " + MONEY + " for {one}"))
    return Listing("prices", title, tuple(shape.format(one=good.one, price=good.price) for good in goods))


def _week(place: Place, rng: Random) -> Listing:
    """Seven days, or some of them in their order, each with something to do."""
    person = place.cast(rng, 1)[0]
    days = sorted(rng.sample(range(7), rng.randint(4, 7)))
    spots = rng.sample(lexicon().places_in_town, len(days))
    goods = rng.sample(place.goods, len(days))
    acts = (
        lambda spot, good: f"meet at {spot}",
        lambda spot, good: f"buy {good.noun.plural} at {spot}",
        lambda spot, good: f"bring {good.noun.plural} to {spot}",
        lambda spot, good: f"rest near {spot}",
        lambda spot, good: f"sweep {spot}",
        lambda spot, good: f"sell {good.noun.plural}",
        lambda spot, good: f"carry water to {spot}",
    )
    entries = (
        f"{DAYS[day]}: {rng.choice(acts)(spot, good)}" for day, spot, good in zip(days, spots, goods, strict=True)
    )
    title = rng.choice((f"The week of {person.name}", f"{person.given}'s week", f"A week in {TOWN}"))
    return Listing("week", title, tuple(entries))


def _feasts(place: Place, rng: Random) -> Listing:
    """Feasts of the fixed town in the order of its year."""
    chosen = rng.sample(place.festivals, rng.randint(3, 6))
    chosen.sort(key=lambda feast: place.months.index(feast.month))
    shape = rng.choice(("{0.month}: {0.name}", "{0.name} in {0.month}", "{0.month}: {0.name}, with {0.dish.plural}"))
    title = rng.choice((f"Feasts of {TOWN}", "The feasts of the year", "Calendar of feasts"))
    return Listing("feasts", title, tuple(shape.format(feast) for feast in chosen))


def _journey(place: Place, rng: Random) -> Listing:
    """From village to village with a running total of hours, checked against the sum of the parts."""
    names: list[str] = [TOWN]
    for _ in range(rng.randint(3, 6)):
        names.append(next(name for name in iter(lambda: place.village_name(rng), "") if name not in names))
    hours = [rng.randint(1, 6) for _ in names[1:]]
    entries, walked = [], 0
    for start, end, more in zip(names, names[1:], hours, strict=False):
        walked += more
        entries.append(f"{start} to {end}: {_hours(more)}, {_hours(walked)} in all")
    if walked != sum(hours) or len(set(names)) != len(names):
        raise AssertionError(f"this journey does not add up: {entries}")
    title = rng.choice((f"On foot from {TOWN} to {names[-1]}", f"The way to {names[-1]}", "A long walk"))
    return Listing("journey", title, tuple(entries), walked)


def _hours(number: int) -> str:
    return f"{number} hour" if number == 1 else f"{number} hours"


def _sorted(place: Place, rng: Random) -> Listing:
    """Words of one class from a to z, or in the reverse order."""
    name = rng.choice(sorted(lexicon().nouns))
    words = sorted(noun.singular for noun in rng.sample(lexicon().nouns[name], rng.randint(5, 10)))
    if rng.random() < 0.3:
        return Listing("sorted", f"{name} words from z to a", tuple(reversed(words)))
    return Listing("sorted", rng.choice((f"{name} words from a to z", f"{name} words in order")), tuple(words))


def _counting(place: Place, rng: Random) -> Listing:
    """One mango, 2 mangoes, 3 mangoes; or numbers alone, up or down."""
    length, start = rng.randint(5, 12), rng.randint(1, 5)
    numbers = list(range(start, start + length))
    if rng.random() < 0.35:
        numbers.reverse()
    if rng.random() < 0.6:
        nouns = [noun for group in lexicon().nouns.values() for noun in group if not noun.mass]
        noun = rng.choice(nouns)
        return Listing("counting", "", tuple(noun.counted(number) for number in numbers))
    return Listing("counting", "", tuple(map(str, numbers)))


def _multiples(place: Place, rng: Random) -> Listing:
    """The multiples of a number, or steps of that size from another start; checked by differences."""
    by, length = rng.randint(2, 10), rng.randint(5, 10)
    start = by if rng.random() < 0.6 else rng.randint(0, 9)
    numbers = [start + by * step for step in range(length)]
    if {later - earlier for earlier, later in pairwise(numbers)} != {by}:
        raise AssertionError(f"these are not steps of {by}: {numbers}")
    return Listing("multiples", rng.choice(("", f"by {by}")), tuple(map(str, numbers)))


KINDS: dict[str, tuple[int, Callable[[Place, Random], Listing]]] = {
    "shopping": (22, _shopping),
    "prices": (22, _prices),
    "week": (12, _week),
    "feasts": (6, _feasts),
    "journey": (12, _journey),
    "sorted": (8, _sorted),
    "counting": (10, _counting),
    "multiples": (8, _multiples),
}
"""Every kind with its share of the documents."""
