"""Saromi, a market town on Lake Oru at the foot of the hills: its people, shops, goods, villages, feasts and landmarks.

``Place.build()`` makes the same fixed town every time. What is fixed is what a model can come to know by heart, because
many documents tell it. Everything else is fresh: ``cast`` brings persons nobody has read about, ``label`` a word that
means nothing, and a model can only answer about them from what its prompt says. The ``test`` split keeps the fixed town
and draws all that is fresh from names, villages, shop signs and labels that training never shows.

Shop signs, streets and labels are combinations of parts that both splits share; `town.label_split` tells which
combination belongs to which (for labels, the last two syllables decide). Money is the kori (plural: kori).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from functools import cache

from course_lib.errors import CourseError
from course_lib.world.lexicon import Lexicon, lexicon
from course_lib.world.town import (
    CLOSING,
    WHERE,
    Festival,
    Good,
    Landmark,
    Person,
    Pronoun,
    Shop,
    Split,
    Town,
    Village,
    drawn_pair,
    fixed_town,
    label_split,
    make_person,
    make_shop,
    make_village,
    selling_trades,
)

__all__ = [
    "CLOSING",
    "LAKE",
    "MONEY",
    "TOWN",
    "WHERE",
    "Festival",
    "Good",
    "Landmark",
    "Person",
    "Place",
    "Pronoun",
    "Shop",
    "Split",
    "Town",
    "Village",
    "label_split",
]

TOWN, LAKE, MONEY = "Saromi", "Lake Oru", "kori"


@dataclass(frozen=True)
class Place(Town):
    """The town as one split sees it; only what is drawn fresh differs between splits."""

    split: Split = "train"

    @staticmethod
    def build(seed: int = 0, split: str = "train") -> Place:
        """The town of this seed, for ``split`` "train" or "test". Raises CourseError for any other split."""
        if split not in ("train", "test"):
            raise CourseError(f"There is no split {split!r}; ask for 'train' or 'test'.")
        town = fixed_town(seed)
        parts = {field.name: getattr(town, field.name) for field in fields(town)}
        return Place(**parts, split="test" if split == "test" else "train")

    @property
    def lexicon(self) -> Lexicon:
        """The words everything is made of."""
        return lexicon()

    def cast(self, rng: random.Random, n: int) -> tuple[Person, ...]:
        """``n`` fresh persons of this split with distinct given names; none is one of ``people``."""
        words = lexicon()
        given = words.given_names_train if self.split == "train" else words.given_names_test
        family = words.family_names_train if self.split == "train" else words.family_names_test
        taken = _full_names(self.seed)
        persons = []
        for name in rng.sample(given, n):
            surname = rng.choice(family)
            while f"{name.text} {surname}" in taken:
                surname = rng.choice(family)
            trade = rng.choice(words.trades)
            persons.append(make_person(rng, name, surname, trade, self.districts, self.village_name(rng), (1925, 1985)))
        return tuple(persons)

    def village_name(self, rng: random.Random) -> str:
        """The name of a village that is none of ``villages``."""
        return rng.choice(_free_villages(self.seed) if self.split == "train" else lexicon().village_names_test)

    def shop_name(self, rng: random.Random) -> str:
        """A shop sign such as "The Red Heron" that no shop of ``shops`` has."""
        words = lexicon()
        taken = {shop.name for shop in self.shops}
        while True:
            first, second = drawn_pair(rng, words.shop_adjectives, words.shop_words, self.split)
            if (name := f"The {first} {second}") not in taken:
                return name

    def street_name(self, rng: random.Random) -> str:
        """A street such as "Salt Lane" that is none of ``streets``."""
        words = lexicon()
        while True:
            name = " ".join(drawn_pair(rng, words.street_words, words.street_kinds, self.split))
            if name not in self.streets:
                return name

    def label(self, rng: random.Random) -> str:
        """A made-up word of two or three syllables such as "zomek", which is no word of the lexicon."""
        words = lexicon()
        while True:
            last = "".join(drawn_pair(rng, words.syllables, words.syllables, self.split))
            label = last if rng.random() < 0.7 else rng.choice(words.syllables) + last
            if label not in words.words:
                return label

    def labels(self, rng: random.Random, n: int) -> tuple[str, ...]:
        """``n`` distinct labels that begin differently, so that they can be told apart by their first letters."""
        found: list[str] = []
        while len(found) < n:
            label = self.label(rng)
            if label[:2] not in {other[:2] for other in found}:
                found.append(label)
        return tuple(found)

    def shop(self, rng: random.Random) -> Shop:
        """A fresh shop with a fresh owner."""
        trade = rng.choice(selling_trades())
        owner = replace(self.cast(rng, 1)[0], trade=trade)
        return make_shop(rng, self.shop_name(rng), owner, self.street_name(rng), self.goods)

    def village(self, rng: random.Random) -> Village:
        """A fresh village."""
        name = self.village_name(rng)
        return make_village(rng, name, replace(rng.choice(self.goods), village=name))

    def number(self, rng: random.Random, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included, small ones more often."""
        number = rng.randint(low, high)
        return min(number, rng.randint(low, high)) if rng.random() < 0.5 else number


@cache
def _full_names(seed: int) -> frozenset[str]:
    return frozenset(person.name for person in fixed_town(seed).people)


@cache
def _free_villages(seed: int) -> tuple[str, ...]:
    fixed = {village.name for village in fixed_town(seed).villages}
    return tuple(name for name in lexicon().village_names_train if name not in fixed)
