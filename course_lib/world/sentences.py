"""One relation, several wordings: how a fact is told, asked for and read back.

A fact is a relation ("shop.keeper") with a value for every slot (s, the subject: "the Red Heron"; v: "Ama Okoro"). It
is told by one of the relation's sentences ("{v} keeps {s}.") and asked for by one of its questions, whose answer is one
of the slots. Reading goes the other way: the same sentences as regular expressions find the slots in a text, and that
is how every generated answer is checked by a second route. The relations stand in ``assets/world/relations.toml``;
passages, encyclopedia and facts all use them, so what a model learned to find in one kind of text it can find in all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from random import Random

from course_lib.assets import asset
from course_lib.world.lexicon import article

SLOT = re.compile(r"\{(\w+)(:a)?\}")
# Values that reading might not tell from their neighbours.
SHAPES = {
    "price": r"\d+ kori",
    "year": r"\d{4}",
    "age": r"\d+ years",
    "houses": r"\d+ houses",
    "children": r"\w+ children",
    "village": r"\w+",
}


@dataclass(frozen=True)
class Question:
    """A wording, and which slot answers it."""

    wording: str
    slot: str


@dataclass(frozen=True)
class Relation:
    """Something that can be said about a subject of one kind ("shop"); ``values`` names what may fill each slot."""

    name: str  # "shop.keeper"
    values: tuple[tuple[str, str], ...]  # slot, value kind
    sentences: tuple[str, ...]
    questions: tuple[Question, ...]

    @property
    def subject(self) -> str:
        """The kind of the subject: "shop"."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Fact:
    """A relation and the value of each of its slots; slot ``s`` is the subject."""

    relation: str
    slots: tuple[tuple[str, str], ...]

    @cached_property
    def values(self) -> dict[str, str]:
        """Slot, value."""
        return dict(self.slots)

    @property
    def subject(self) -> str:
        """What the fact is about: "the Red Heron"."""
        return self.values["s"]


@dataclass(frozen=True)
class Asked:
    """A question about a fact, and the answer."""

    question: str
    answer: str


@cache
def relations() -> Mapping[str, Relation]:
    """Every relation by name, in the order of the file."""
    table = tomllib.loads(asset("world/relations.toml").read_text(encoding="utf-8"))
    found = {}
    for subject, group in table.items():
        for name, entry in group.items():
            found[f"{subject}.{name}"] = Relation(
                name=f"{subject}.{name}",
                values=tuple(entry["values"].items()),
                sentences=tuple(entry["sentences"]),
                questions=tuple(Question(wording, slot) for wording, slot in entry["questions"]),
            )
    return found


@cache
def about(subject: str) -> tuple[Relation, ...]:
    """The relations of one kind of subject for which fresh values can be drawn: ``about("shop")``."""
    return tuple(relation for relation in relations().values() if relation.subject == subject and relation.values)


def fill(pattern: str, slots: Mapping[str, str]) -> str:
    """The pattern with its slots filled, the first letter in upper case."""

    def value(match: re.Match[str]) -> str:
        text = slots[match[1]]
        return article(text) if match[2] else text

    text = SLOT.sub(value, pattern)
    return text[0].upper() + text[1:]


def tell(
    fact: Fact, rng: Random, *, name: str | None = None, possessive: str | None = None, plain: bool = False
) -> str:
    """The fact as a sentence in one of its wordings.

    ``name`` and ``possessive`` ("he", "his") stand for the subject where the wording begins with it; elsewhere, and
    with ``plain``, the subject is named in full.
    """
    pattern = rng.choice(relations()[fact.relation].sentences)
    return word(fact, pattern, name=name, possessive=possessive, plain=plain)


def word(
    fact: Fact, pattern: str, *, name: str | None = None, possessive: str | None = None, plain: bool = False
) -> str:
    """The fact in the given wording; see `tell`."""
    if not plain and possessive and pattern.startswith("{s}'s "):
        pattern = possessive + pattern[len("{s}'s") :]
    elif not plain and name and pattern.startswith("{s} ") and not pattern.startswith("{s} and "):
        pattern = name + pattern[len("{s}") :]
    return fill(pattern, fact.values)


def ask(fact: Fact, rng: Random, *, subject: str | None = None, reverse: bool = True) -> Asked:
    """One of the questions about the fact; ``subject`` ("the shop") may stand for its name.

    Without ``reverse`` none asks for the subject itself ("Who plays the drum?"), which only a passage makes unique.
    """
    questions = relations()[fact.relation].questions
    if subject is not None or not reverse:
        questions = tuple(question for question in questions if question.slot != "s")
    question = rng.choice(questions)
    slots = fact.values if subject is None else {**fact.values, "s": subject}
    return Asked(fill(question.wording, slots), fact.values[question.slot])


def read(text: str, relation: str, subjects: Mapping[str, Iterable[str]]) -> list[dict[str, str]]:
    """Every statement of the relation in the text, as slots: the second route to an answer.

    ``subjects`` gives the names a statement may be about, each with the words that may stand for it ("it", "the shop").
    A stand-in means the subject that was named last.
    """
    stand_ins = {word.lower() for words in subjects.values() for word in words}
    spoken = "|".join(re.escape(word) for word in (*(name.lower() for name in subjects), *sorted(stand_ins)))
    names = {name.lower(): name for name in subjects}
    shapes = {slot: SHAPES[kind] for slot, kind in relations()[relation].values if kind in SHAPES}
    patterns = [_pattern(sentence, {**shapes, "s": spoken}) for sentence in relations()[relation].sentences]
    found: list[dict[str, str]] = []
    last = next(iter(subjects)) if len(subjects) == 1 else ""
    for sentence in re.split(r"(?<=\.)\s+", text):
        named = [name for name in subjects if re.search(rf"\b{re.escape(name)}\b", sentence, re.IGNORECASE)]
        last = named[0] if named else last
        matches = [match for pattern in patterns if (match := re.fullmatch(pattern, sentence, re.IGNORECASE))]
        if matches:
            # "sells the best figs in the street" fits two wordings; the one that leaves less to the slots is meant.
            slots = min((match.groupdict() for match in matches), key=lambda slots: sum(map(len, slots.values())))
            subject = slots.get("s", "").lower().removesuffix("'s")
            slots["s"] = names.get(subject, last)
            if slots["s"] and slots not in found:
                found.append(slots)
    return found


def _pattern(sentence: str, shapes: Mapping[str, str]) -> str:
    """A sentence as a regular expression; a possessive subject at its start may also be "her", "his" or "its"."""
    parts = []
    position = 0
    for match in SLOT.finditer(sentence):
        parts.append(re.escape(sentence[position : match.start()]))
        parts.append(("an? " if match[2] else "") + f"(?P<{match[1]}>{shapes.get(match[1], '.+?')})")
        position = match.end()
    pattern = "".join([*parts, re.escape(sentence[position:])])
    possessive = f"(?P<s>{shapes['s']})" + re.escape("'s ")
    if pattern.startswith(possessive):
        pattern = f"(?P<s>(?:{shapes['s']})'s|her|his|its) " + pattern[len(possessive) :]
    return pattern
