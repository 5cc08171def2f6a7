"""The fixed part of Saromi: what there is in the town, and how a seed puts it together.

The parts fit each other: a shop's owner has the shop's trade and everything sold there belongs to it; a village is
known for a good that comes from it; landmarks are the work of grown-ups, of what their trade works with. Which signs
and streets may be drawn is a rule over the positions of their parts in the lexicon (`label_split`): a combination is
kept for testing when the positions add up to a multiple of 5, so all parts are familiar and only the pair is new.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from course_lib.world.lexicon import Name, Noun, Trade, lexicon, plural_of

Split = Literal["train", "test"]

TEST_EVERY = 5  # one combination in so many is kept for testing
OPENING = ("at dawn", "at sunrise", "early in the morning", "in the morning", "at eight", "at nine", "at noon")
CLOSING = ("at dusk", "at sunset", "in the evening", "at six", "at seven", "late in the evening")
WHERE = ("at the end of", "at the start of", "in the middle of", "near")
IRREGULAR_UNITS = {"loaf": "loaves"}
LIKED = ("fruit", "drink", "dish", "instrument", "flower", "bird", "sweet")


@dataclass(frozen=True)
class Pronoun:
    """``she, her, her`` or ``he, him, his``."""

    subject: str
    object: str
    possessive: str


PRONOUNS = {"she": Pronoun("she", "her", "her"), "he": Pronoun("he", "him", "his")}


@dataclass(frozen=True)
class Person:
    """Somebody of the town. ``district`` and ``village`` (of birth) are names; ``born`` is a year."""

    name: str  # given and family name
    given: str
    family: str
    pronoun: Pronoun
    trade: Trade
    district: str  # "the Reed Quarter"
    village: str
    born: int
    likes: Noun
    known_for: str  # goes after "is known for"


@dataclass(frozen=True)
class Good:
    """Something for sale: 6 kori a basket, from a village."""

    noun: Noun
    kind: str  # its word class
    unit: str  # "basket", or "each"
    price: int  # kori for one unit, 1 to 40
    village: str
    trade: Trade  # who sells it

    @property
    def one(self) -> str:
        """What one unit is called: "a basket of mangoes", "a drum"."""
        return self.noun.a if self.unit == "each" else f"a {self.unit} of {self.noun.plural}"

    def amount(self, number: int) -> str:
        """``3``: "3 baskets of mangoes", "3 drums"."""
        if self.unit == "each":
            return self.noun.counted(number)
        return f"{number} {_units(self.unit, number)} of {self.noun.plural}"


@dataclass(frozen=True)
class Shop:
    """A shop; its owner has its trade, and all it sells belongs to that trade."""

    name: str  # "The Red Heron"
    owner: Person
    trade: Trade
    street: str
    district: str
    founded: int
    sells: tuple[Good, ...]
    opens: str  # "at dawn"
    closes: str


@dataclass(frozen=True)
class Village:
    """A village around the town: ``hours`` on foot to the ``direction``, known for a good that comes from there."""

    name: str
    direction: str  # "north"
    hours: int
    known_for: Good
    landscape: str  # "in the hills"


@dataclass(frozen=True)
class Landmark:
    """A bridge, well, gate, tower: who built it, when, of what, and where it stands."""

    name: str  # "the Heron Bridge"
    kind: str  # "bridge"
    where: str  # "near Salt Street"
    built: int
    builder: Person
    material: Noun


@dataclass(frozen=True)
class Festival:
    """A feast of the local year: ``custom`` is a sentence without capital and full stop."""

    name: str
    month: str
    custom: str
    dish: Noun


@dataclass(frozen=True)
class Town:
    """All that is fixed."""

    seed: int
    people: tuple[Person, ...]
    shops: tuple[Shop, ...]
    goods: tuple[Good, ...]
    villages: tuple[Village, ...]
    landmarks: tuple[Landmark, ...]
    festivals: tuple[Festival, ...]
    districts: tuple[str, ...]
    streets: tuple[str, ...]
    months: tuple[str, ...]


def label_split(last_two: tuple[int, int]) -> Split:
    """The split of a label by the positions of its last two syllables; the rule for shop signs and streets too."""
    return "test" if sum(last_two) % TEST_EVERY == 0 else "train"


def drawn_pair(rng: random.Random, left: Sequence[str], right: Sequence[str], split: str) -> tuple[str, str]:
    """One of each such that the pair belongs to the split."""
    while True:
        first, second = rng.randrange(len(left)), rng.randrange(len(right))
        if label_split((first, second)) == split:
            return left[first], right[second]


def _units(unit: str, number: int) -> str:
    return unit if number == 1 else IRREGULAR_UNITS.get(unit) or plural_of(unit)


@cache
def fixed_town(seed: int) -> Town:
    """The town of this seed, built once per process."""
    rng = random.Random(seed)
    words = lexicon()
    names = rng.sample(words.village_names_train, 30)
    goods = _goods(rng, names)
    streets = _streets(rng)
    builders, owners, others = _people(rng, names)
    return Town(
        seed=seed,
        people=(*owners, *others, *builders),
        shops=_shops(rng, owners, streets, goods),
        goods=goods,
        villages=tuple(
            make_village(rng, name, rng.choice([good for good in goods if good.village == name])) for name in names
        ),
        landmarks=_landmarks(rng, builders, streets),
        festivals=tuple(
            Festival(feast.name, feast.month, feast.custom, words.noun_of[feast.dish]) for feast in words.festivals
        ),
        districts=words.districts,
        streets=streets,
        months=words.months,
    )


@cache
def selling_trades() -> tuple[Trade, ...]:
    """The trades that make something to sell."""
    return tuple(trade for trade in lexicon().trades if trade.makes)


def _goods(rng: random.Random, villages: Sequence[str]) -> tuple[Good, ...]:
    """Four goods of every trade that sells things (eight where there is much to choose from), no good twice.

    Every village supplies some.
    """
    words = lexicon()
    found: list[Good] = []
    seen: set[str] = set()
    for trade in selling_trades():
        made = [noun for noun in trade.makes if noun.singular not in seen]
        for noun in rng.sample(made, min(8 if len(made) > 30 else 4, len(made))):
            kind = words.class_of[noun.singular]
            measure = words.measures.get(noun.singular) or words.measures[kind]
            village = villages[len(found) % len(villages)]
            found.append(Good(noun, kind, measure.unit, rng.randint(measure.low, measure.high), village, trade))
            seen.add(noun.singular)
    return tuple(found)


def _streets(rng: random.Random) -> tuple[str, ...]:
    """Thirty streets, no two with the same first word."""
    words = lexicon()
    found: dict[str, str] = {}
    while len(found) < 30:
        first, kind = drawn_pair(rng, words.street_words, words.street_kinds, "train")
        found.setdefault(first, f"{first} {kind}")
    return tuple(found.values())


def _people(rng: random.Random, villages: Sequence[str]) -> tuple[list[Person], list[Person], list[Person]]:
    """Builders (20, born early), shop owners (60) and others (40), all with different given names."""
    words = lexicon()
    given = rng.sample(words.given_names_train, 120)
    selling = selling_trades()
    building = [trade for trade in words.trades if trade.name in words.builders]

    def make(names: Sequence[Name], trades: Sequence[Trade], born: tuple[int, int]) -> list[Person]:
        return [
            make_person(rng, name, rng.choice(words.family_names_train), trades[index % len(trades)], words.districts,
                    rng.choice(villages), born)
            for index, name in enumerate(names)
        ]  # fmt: skip

    builders = make(given[:20], building, (1890, 1930))
    owners = make(given[20:80], rng.sample(selling, len(selling)), (1930, 1985))
    others = make(given[80:], rng.sample(words.trades, len(words.trades)), (1915, 1985))
    return builders, owners, others


def make_person(
    rng: random.Random,
    name: Name,
    family: str,
    trade: Trade,
    districts: Sequence[str],
    village: str,
    born: tuple[int, int],
) -> Person:
    """A person of that name. A name for anyone gets a pronoun by lot, so that verbs always agree in the singular."""
    words = lexicon()
    pronoun = PRONOUNS[name.pronoun if name.pronoun in PRONOUNS else rng.choice(("she", "he"))]
    return Person(
        name=f"{name.text} {family}",
        given=name.text,
        family=family,
        pronoun=pronoun,
        trade=trade,
        district=rng.choice(districts),
        village=village,
        born=rng.randint(*born),
        likes=rng.choice(words.nouns[rng.choice(LIKED)]),
        known_for=rng.choice(words.known_for),
    )


def _shops(
    rng: random.Random, owners: Sequence[Person], streets: Sequence[str], goods: Sequence[Good]
) -> tuple[Shop, ...]:
    """One shop per owner, no two signs alike in their second word."""
    words = lexicon()
    signs: dict[str, str] = {}
    while len(signs) < len(owners):
        first, second = drawn_pair(rng, words.shop_adjectives, words.shop_words, "train")
        signs.setdefault(second, f"The {first} {second}")
    return tuple(
        make_shop(rng, sign, owner, rng.choice(streets), goods)
        for sign, owner in zip(signs.values(), owners, strict=True)
    )


def make_shop(rng: random.Random, name: str, owner: Person, street: str, goods: Sequence[Good]) -> Shop:
    """A shop that sells what its owner's trade makes, founded when the owner was grown up."""
    fitting = [good for good in goods if good.trade == owner.trade]
    return Shop(
        name=name,
        owner=owner,
        trade=owner.trade,
        street=street,
        district=owner.district,
        founded=owner.born + rng.randint(20, 35),
        sells=tuple(rng.sample(fitting, min(len(fitting), rng.randint(2, 4)))),
        opens=rng.choice(OPENING),
        closes=rng.choice(CLOSING),
    )


def make_village(rng: random.Random, name: str, good: Good) -> Village:
    """A village somewhere within nine hours on foot, known for a good."""
    words = lexicon()
    return Village(name, rng.choice(words.directions), rng.randint(1, 9), good, rng.choice(words.topics["landscapes"]))


def _landmarks(rng: random.Random, builders: Sequence[Person], streets: Sequence[str]) -> tuple[Landmark, ...]:
    """One landmark per builder, built by the grown-up builder of what that trade works with, no two names alike."""
    words = lexicon()
    signs = rng.sample([sign for sign in words.shop_words if sign.lower() not in words.landmark_kinds], len(builders))
    found = []
    for builder, sign in zip(builders, signs, strict=True):
        trade = words.builders[builder.trade.name]
        kind = rng.choice(trade.kinds)
        where = f"{rng.choice(WHERE)} {rng.choice(streets)}"
        built = builder.born + rng.randint(22, 50)
        found.append(Landmark(f"the {sign} {kind.title()}", kind, where, built, builder, rng.choice(trade.materials)))
    return tuple(found)
