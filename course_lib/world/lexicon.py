"""The words of Saromi: which there are, what they belong to, and how they bend.

A small model learns what is frequent and regular, so the town has few words, each in one word class, and every
generator draws from here. ``assets/world/words.toml`` holds them in a short notation that is expanded on loading:

    nouns    mango/mangoes    the plural is given;   rice=   a mass noun without plural;   pot   a regular plural
    verbs    go/went          the past is given;     stop/stopped/stopping   and the ing-form;   walk   a regular verb
    trades   name; plural; place; tool; verb object; what it makes (word classes or single nouns)

Names come in two lists, ``train`` for what a model is trained on and ``test`` for what it is examined on; no name
stands in both. Left out: every word that is a name of a real person, and grammar beyond plural and tense.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError

VOWELS = "aeiou"
SPOKEN_Y_OR_W = ("use", "usual", "uni", "eu", "one")  # written with a vowel, spoken without: a useful thing
SILENT_H = ("hour", "honest", "heir")


@dataclass(frozen=True)
class Noun:
    """A thing. A mass noun ("rice") has no plural of its own: ``plural`` equals ``singular``."""

    singular: str
    plural: str
    mass: bool = False

    def counted(self, number: int) -> str:
        """``3`` and mango: "3 mangoes"; ``1``: "1 mango"."""
        return f"{number} {self.singular if number == 1 else self.plural}"

    @property
    def a(self) -> str:
        """The noun as one thing: "a mango", "an apron", and a mass noun as it is: "rice"."""
        return self.singular if self.mass else article(self.singular)


@dataclass(frozen=True)
class Verb:
    """Something done: ``walk, walks, walked, walking``."""

    base: str
    third: str
    past: str
    ing: str


@dataclass(frozen=True)
class Trade:
    """A way to earn a living. ``work`` is the verb and ``object`` what it is done to: "fires pots"."""

    name: str  # "potter"
    plural: str  # "potters"
    place: str  # where it is done: "pottery", without article
    tool: str  # "wheel", without article
    work: Verb
    object: str
    makes: tuple[Noun, ...] = field(
        repr=False
    )  # what such a person makes, grows, catches or sells; empty: sells work, not things

    @property
    def does(self) -> str:
        """Third person: "bakes bread"."""
        return f"{self.work.third} {self.object}"

    @property
    def did(self) -> str:
        """The past: "baked bread"."""
        return f"{self.work.past} {self.object}"

    @property
    def a(self) -> str:
        """With its article: "a potter", "an innkeeper"."""
        return article(self.name)


@dataclass(frozen=True)
class Name:
    """A given name and who bears it: "she", "he", or "they" for a name that suits anyone."""

    text: str
    pronoun: str


@dataclass(frozen=True)
class FestivalWord:
    """A festival as data: its name, when it is, what people do ("people float lamps on the lake") and what they eat."""

    name: str
    month: str
    custom: str
    dish: str


@dataclass(frozen=True)
class Measure:
    """How goods of one word class are sold: the unit ("basket", or "each") and the range of prices in kori."""

    unit: str
    low: int
    high: int


@dataclass(frozen=True)
class Builder:
    """What landmarks a trade builds, and of what."""

    kinds: tuple[str, ...]
    materials: tuple[Noun, ...]


@dataclass(frozen=True)
class Lexicon:
    """All words. Lists keep the order of the file, so that a seed means the same everywhere."""

    nouns: Mapping[str, tuple[Noun, ...]]
    colours: tuple[str, ...]
    adjectives: tuple[str, ...]
    opposites: tuple[tuple[str, str], ...]
    verbs: tuple[Verb, ...]
    adverbs: tuple[str, ...]
    feelings: tuple[str, ...]
    places_in_town: tuple[str, ...]  # "the fish market"
    weather: tuple[str, ...]
    times: tuple[str, ...]  # "at dawn"
    trades: tuple[Trade, ...]
    measures: Mapping[str, Measure]  # by word class, or by singular where one noun differs from its class
    given_names_train: tuple[Name, ...]
    given_names_test: tuple[Name, ...]
    family_names_train: tuple[str, ...]
    family_names_test: tuple[str, ...]
    village_names_train: tuple[str, ...]
    village_names_test: tuple[str, ...]
    shop_adjectives: tuple[str, ...]  # "Red" of "The Red Heron"
    shop_words: tuple[str, ...]  # "Heron"
    street_words: tuple[str, ...]  # "Salt" of "Salt Street"
    street_kinds: tuple[str, ...]
    districts: tuple[str, ...]
    months: tuple[str, ...]
    festivals: tuple[FestivalWord, ...]
    festival_words: tuple[str, ...]
    directions: tuple[str, ...]
    known_for: tuple[str, ...]  # goes after "is known for"
    syllables: tuple[str, ...]
    builders: Mapping[str, Builder]  # by name of the trade
    topics: Mapping[str, tuple[str, ...]]  # further ordinary words and phrases, by subject
    function_words: tuple[str, ...]

    @cached_property
    def class_of(self) -> dict[str, str]:
        """Word class by singular: ``class_of["mango"] == "fruit"``."""
        return {noun.singular: name for name, nouns in self.nouns.items() for noun in nouns}

    @cached_property
    def noun_of(self) -> dict[str, Noun]:
        """Noun by singular."""
        return {noun.singular: noun for nouns in self.nouns.values() for noun in nouns}

    @cached_property
    def verb_of(self) -> dict[str, Verb]:
        """Verb by base form."""
        return {verb.base: verb for verb in self.verbs}

    @cached_property
    def landmark_kinds(self) -> tuple[str, ...]:
        """Every kind of landmark that some trade builds."""
        return tuple(dict.fromkeys(kind for builder in self.builders.values() for kind in builder.kinds))

    @cached_property
    def words(self) -> frozenset[str]:
        """Every distinct lower-case word, bent forms included; names are not among them."""
        found: set[str] = set()
        for entry in fields(self):
            if entry.name != "syllables":
                for text in _texts(getattr(self, entry.name)):
                    found.update(word for word in text.split() if word.isalpha() and word.islower())
        return frozenset(found)


def article(phrase: str) -> str:
    """The phrase after "a" or "an": "a mango", "an apron", "a useful mat", "an honest potter"."""
    word = phrase.lower()
    sounds_open = word.startswith(SILENT_H) or (word[0] in VOWELS and not word.startswith(SPOKEN_Y_OR_W))
    return f"{'an' if sounds_open else 'a'} {phrase}"


def plural_of(word: str) -> str:
    """The regular plural: pot, pots; dish, dishes; berry, berries."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def parse_noun(entry: str) -> Noun:
    """``mango/mangoes``, ``rice=`` or ``pot``."""
    if entry.endswith("="):
        return Noun(entry[:-1], entry[:-1], mass=True)
    singular, _, plural = entry.partition("/")
    return Noun(singular, plural or plural_of(singular))


def parse_verb(entry: str) -> Verb:
    """``walk``, ``go/went`` or ``stop/stopped/stopping``; what is missing is built by rule."""
    base, past, ing = [*entry.split("/"), "", ""][:3]
    third = base + "es" if base.endswith("o") else plural_of(base)
    stem = base[:-1] if base.endswith("e") and not base.endswith(("ee", "ye", "oe")) else base
    if not past:
        past = base[:-1] + "ied" if base.endswith("y") and base[-2] not in VOWELS else base.removesuffix("e") + "ed"
    return Verb(base, third, past, ing or stem + "ing")


@cache
def lexicon() -> Lexicon:
    """The lexicon of ``assets/world/words.toml``, read once. Raises CourseError when the file is missing or broken."""
    path = asset("world/words.toml")
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, KeyError, ValueError) as error:
        raise CourseError(f"The word list {path} cannot be read ({error}); restore the file.") from error


def parse(table: Mapping[str, Any]) -> Lexicon:
    """A lexicon from the tables of the file. Raises KeyError or ValueError for entries that do not fit."""
    nouns = {name: tuple(map(parse_noun, _split(text))) for name, text in table["nouns"].items()}
    known = {noun.singular: noun for group in nouns.values() for noun in group}
    verbs = tuple(map(parse_verb, _split(table["verbs"])))
    by_base = {verb.base: verb for verb in verbs}
    names = table["names"]
    lists = {name: _split(table["lists"][name]) for name in _LISTS}
    pairs = (pair.split("/") for pair in _split(table["opposites"]))
    return Lexicon(
        nouns=nouns,
        verbs=verbs,
        opposites=tuple((left, right) for left, right in pairs),
        trades=tuple(_trade(entry, nouns, known, by_base) for entry in table["trades"]),
        measures={name: Measure(unit, low, high) for name, (unit, low, high) in table["measures"].items()},
        given_names_train=_given(names["train"]),
        given_names_test=_given(names["test"]),
        family_names_train=_split(names["train"]["family"]),
        family_names_test=_split(names["test"]["family"]),
        village_names_train=_split(names["train"]["villages"]),
        village_names_test=_split(names["test"]["villages"]),
        festivals=tuple(FestivalWord(*(part.strip() for part in entry.split(";"))) for entry in table["festivals"]),
        builders={name: _builder(entry, known) for name, entry in table["builders"].items()},
        topics={name: _split(text) for name, text in table["topics"].items()},
        **lists,
    )


_LISTS = (
    *("colours", "adjectives", "adverbs", "feelings", "places_in_town", "weather", "times", "shop_adjectives"),
    *("shop_words", "street_words", "street_kinds", "districts", "months", "festival_words"),
    *("directions", "known_for", "syllables", "function_words"),
)


def _split(text: str) -> tuple[str, ...]:
    """The entries of a comma separated text, over any number of lines."""
    return tuple(entry for part in text.split(",") if (entry := " ".join(part.split())))


def _given(table: Mapping[str, str]) -> tuple[Name, ...]:
    return tuple(Name(text, pronoun) for pronoun in ("she", "he", "they") for text in _split(table[pronoun]))


def _trade(
    entry: str, nouns: Mapping[str, tuple[Noun, ...]], known: Mapping[str, Noun], verbs: Mapping[str, Verb]
) -> Trade:
    name, plural, place, tool, work, makes = (part.strip() for part in entry.split(";"))
    verb, _, thing = work.partition(" ")
    made: list[Noun] = []
    for word in _split(makes):
        made.extend(nouns[word] if word in nouns else (known[word],))
    return Trade(name, plural, place, tool, verbs[verb], thing, tuple(made))


def _builder(entry: Mapping[str, str], known: Mapping[str, Noun]) -> Builder:
    return Builder(_split(entry["kinds"]), tuple(known[word] for word in _split(entry["materials"])))


def _texts(value: Any) -> Iterable[str]:
    """Every string inside a value of the lexicon."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _texts(inner)
    elif hasattr(value, "__dataclass_fields__"):
        for entry in fields(value):
            yield from _texts(getattr(value, entry.name))
