"""What may stand in a slot of a sentence, drawn fresh for every passage: persons, streets, prices, blue shawls.

One small function per kind of value. Proper names come from the place's own split, so a test passage has names no
training passage has; a quarter of them are made-up words, because copying a word nobody has seen is what a passage
trains. Numbers in words stay below thirteen, numbers in figures are short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from course_lib.world.lexicon import Noun, lexicon
from course_lib.world.phrases import some
from course_lib.world.place import CLOSING, WHERE, Place, label_split

Value = Callable[[Place, Random], str]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
CLOCK = ("at ", "early ", "late ", "before ", "after ", "in the m", "in the a", "in the e")
KEPT = ("goat", "sheep", "cow", "horse", "donkey", "mule", "camel", "llama", "yak", "pig", "dog", "cat", "rabbit")
FEASTS = ("Feast", "Night", "Dance", "Walk", "Parade", "Song", "Fair")
CONTESTS = ("race", "contest", "game")
OBJECTS = ("vessel", "tool", "toy", "jewel", "container", "instrument")
MADE_UP = 0.25  # the share of proper names that are made-up words


def person(place: Place, rng: Random) -> str:
    """A full name, a given name alone, or a made-up one."""
    style = rng.random()
    if style < MADE_UP:
        return place.label(rng).capitalize()
    fresh = place.cast(rng, 1)[0]
    return fresh.name if style < 0.75 else fresh.given


def village(place: Place, rng: Random) -> str:
    """The name of a village."""
    return place.label(rng).capitalize() if rng.random() < 2 * MADE_UP else place.village_name(rng)


def shop(place: Place, rng: Random) -> str:
    """A shop's name inside a sentence: "the Red Heron"."""
    return "the" + place.shop_name(rng).removeprefix("The")


def boat(place: Place, rng: Random) -> str:
    """A boat's name: "the Zomek", or a sign as shops have."""
    return f"the {place.label(rng).capitalize()}" if rng.random() < 2 * MADE_UP else shop(place, rng)


def landmark(place: Place, rng: Random) -> str:
    """A bridge, well or tower that is none of the fixed ones: those are named after shop signs, this after a street."""
    words = lexicon()
    kinds = list(dict.fromkeys(kind for builder in words.builders.values() for kind in builder.kinds))
    return f"the {_pair(place, rng, words.street_words, kinds).title()}"


def festival(place: Place, rng: Random) -> str:
    """A feast that is none of the fixed ones: "the Copper Feast"."""
    fixed = {feast.name for feast in place.festivals}
    while (name := f"the {_pair(place, rng, lexicon().street_words, FEASTS)}") in fixed:
        pass
    return name


def contest(place: Place, rng: Random) -> str:
    """Such as "the donkey race"."""
    nouns = lexicon().nouns
    things = [noun.singular for kind in ("animal", "instrument", "vehicle", "dish") for noun in nouns[kind]]
    return f"the {_pair(place, rng, things, CONTESTS)}"


def dish_name(place: Place, rng: Random) -> str:
    """Such as "ginger soup"."""
    nouns = lexicon().nouns
    flavours = [noun.singular for kind in ("vegetable", "nut", "fruit") for noun in nouns[kind]]
    return _pair(place, rng, flavours, [noun.singular for noun in nouns["dish"]])


def pet(place: Place, rng: Random) -> str:
    """An animal's name."""
    return place.label(rng).capitalize() if rng.random() < 2 * MADE_UP else place.cast(rng, 1)[0].given


def street(place: Place, rng: Random) -> str:
    """Such as "Salt Lane"."""
    return place.street_name(rng)


def object_(place: Place, rng: Random) -> str:
    """Something one person can own: "copper bowl", "blue kite"."""
    noun = rng.choice([noun for noun in lexicon().nouns[rng.choice(OBJECTS)] if not noun.mass])
    return f"{rng.choice((_metal, _colour, _material))(rng)} {noun.singular}"


def garment(place: Place, rng: Random) -> str:
    """Such as "blue shawl"."""
    return f"{_colour(rng)} {rng.choice([n for n in lexicon().nouns['garment'] if not n.mass]).singular}"


def coloured_beast(place: Place, rng: Random) -> str:
    """Such as "grey mule"."""
    return f"{_colour(rng)} {rng.choice(KEPT)}"


def wares(place: Place, rng: Random) -> str:
    """Goods in the plural: "mangoes", "silk"."""
    return some(rng.choice(place.goods).noun)


def unit(place: Place, rng: Random) -> str:
    """One unit of a good: "a basket of mangoes"."""
    return rng.choice(place.goods).one


def load(place: Place, rng: Random) -> str:
    """A counted load: "four sacks of rice"."""
    good = rng.choice([good for good in place.goods if good.unit != "each"])
    number = rng.randrange(len(NUMBERS))
    return f"{NUMBERS[number]} {good.amount(number + 2).partition(' ')[2]}"


def time(place: Place, rng: Random) -> str:
    """A time of day: "at dawn"."""
    return rng.choice([text for text in lexicon().times if text.startswith(CLOCK)])


def animals(place: Place, rng: Random) -> str:
    """Such as "four goats"."""
    return f"{rng.choice(NUMBERS)} {lexicon().noun_of[rng.choice(KEPT)].plural}"


def _colour(rng: Random) -> str:
    return rng.choice(lexicon().colours)


def _metal(rng: Random) -> str:
    return rng.choice(lexicon().nouns["metal"]).singular


def _material(rng: Random) -> str:
    return rng.choice(("wooden", "glass", "clay", "leather", "stone", "bamboo", "painted", "carved", "old", "small"))


def _noun(kind: str, plural: bool = False) -> Value:
    """A noun of a word class; without ``plural`` only those that can be counted or are mass nouns as they are."""
    return lambda place, rng: (some if plural else _singular)(rng.choice(lexicon().nouns[kind]))


def _singular(noun: Noun) -> str:
    return noun.singular


def _one_of(*values: str) -> Value:
    return lambda place, rng: rng.choice(values)


def _number(low: int, high: int, pattern: str) -> Value:
    return lambda place, rng: pattern.format(rng.randint(low, high))


def _foods(place: Place, rng: Random) -> str:
    return some(rng.choice(lexicon().nouns[rng.choice(("fruit", "vegetable", "nut", "sweet", "dish", "fish"))]))


def _pair(place: Place, rng: Random, left: object, right: object) -> str:
    """One word of each list, the combination belonging to the place's split."""
    firsts, seconds = list(left), list(right)  # type: ignore[call-overload]
    while True:
        first, second = rng.randrange(len(firsts)), rng.randrange(len(seconds))
        if label_split((first, second)) == place.split:
            return f"{firsts[first]} {seconds[second]}"


VALUES: Mapping[str, Value] = {
    "person": person,
    "event": person,
    "village": village,
    "shop": shop,
    "boat": boat,
    "landmark": landmark,
    "festival": festival,
    "contest": contest,
    "dish": lambda place, rng: some(rng.choice(lexicon().nouns["dish"])),
    "dish_name": dish_name,
    "pet": pet,
    "street": street,
    "district": lambda place, rng: rng.choice(place.districts),
    "known_for": lambda place, rng: rng.choice(lexicon().known_for),
    "landscape": lambda place, rng: rng.choice(lexicon().topics["landscapes"]),
    "position": lambda place, rng: f"{rng.choice(WHERE)} {place.street_name(rng)}",
    "closing": lambda place, rng: rng.choice(CLOSING),
    "object": object_,
    "garment": garment,
    "coloured_beast": coloured_beast,
    "wares": wares,
    "unit": unit,
    "load": load,
    "time": time,
    "animals": animals,
    "herd": lambda place, rng: lexicon().noun_of[rng.choice(KEPT)].plural,
    "foods": _foods,
    "trade": lambda place, rng: rng.choice(lexicon().trades).name,
    "month": lambda place, rng: rng.choice(place.months),
    "day": _one_of(*DAYS),
    "direction": lambda place, rng: rng.choice(lexicon().directions),
    "spot": lambda place, rng: rng.choice(lexicon().places_in_town),
    "colour": lambda place, rng: _colour(rng),
    "material": lambda place, rng: (
        rng.choice([noun for builder in lexicon().builders.values() for noun in builder.materials]).singular
    ),
    "year": _number(1900, 1999, "{}"),
    "age": _number(18, 90, "{} years"),
    "price": _number(2, 40, "{} kori"),
    "hours": _number(2, 9, "{} hours"),
    "days": _number(2, 9, "{} days"),
    "houses": _number(12, 99, "{} houses"),
    "paces": _number(20, 99, "{} paces"),
    "children": lambda place, rng: f"{rng.choice(NUMBERS)} children",
    "instrument": _noun("instrument"),
    "drink": _noun("drink", plural=True),
    "bird": _noun("bird"),
    "birds": _noun("bird", plural=True),
    "beast": _noun("animal"),
    "beasts": lambda place, rng: some(rng.choice(lexicon().nouns[rng.choice(("animal", "insect"))])),
    "tree": _noun("tree"),
    "flowers": _noun("flower", plural=True),
    "spice": _noun("spice"),
    "tool": lambda place, rng: rng.choice([noun for noun in lexicon().nouns["tool"] if not noun.mass]).singular,
    "things": lambda place, rng: some(rng.choice(rng.choice([t for t in lexicon().trades if t.makes]).makes)),
}
