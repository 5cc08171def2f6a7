"""What a passage is about: fresh subjects, and facts about them that do not get in each other's way.

There are four kinds of scene: one subject with several facts; two or three subjects of a kind with the same facts; what
two or three persons did; subjects of different kinds. No value is drawn twice in one scene, and two relations that one
question might ask for never belong to one scene.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.world.lexicon import lexicon
from course_lib.world.place import Place
from course_lib.world.sentences import Fact, Relation, about
from course_lib.world.values import VALUES

# Two relations that one question might ask for, and so never of one subject.
CLASHES = (
    {"shop.street", "shop.next"},
    {"shop.opens", "shop.closes"},
    {"person.age", "person.year"},
    {"person.lives", "person.stall", "person.district"},
    {"person.keeps", "person.owns", "person.children"},
    {"person.makes", "person.plays", "person.known"},
    {"village.direction", "village.landscape", "village.known"},
    {"village.landscape", "village.distance"},
    {"landmark.where", "landmark.stands"},
    {"landmark.stands", "landmark.far", "landmark.material"},
    {"contest.winner", "contest.judge"},
)
KINDS = {
    **{"person": 30, "shop": 20, "village": 15, "landmark": 9, "boat": 8},
    **{"festival": 6, "contest": 6, "pet": 6, "dish": 5},
}
STAND_INS = {
    "shop": ("the shop",),
    "village": ("the village",),
    "boat": ("the boat",),
    "festival": ("the feast",),
    "dish": ("the dish",),
    "pet": ("the animal",),
}
NAMES = {"dish": "dish_name"}  # the kind of value that names a subject, where it differs from the subject's kind
# Words that two values of one passage may share.
COMMON = frozenset(
    (
        *("the", "a", "an", "of", "at", "in", "on", "to", "early", "late", "before", "after", "each"),
        *("kori", "years", "hours", "houses", "children", "days", "paces", "month"),
    )
)


@dataclass(frozen=True)
class Subject:
    """What a passage is about: its kind, its name, and the words that may stand for it later on."""

    kind: str
    name: str
    stand_ins: tuple[str, ...] = ()  # "she" or "it", "the shop"

    @property
    def possessive(self) -> str:
        """The possessive pronoun: "her"."""
        return {"she": "her", "he": "his"}.get(self.stand_ins[0], "its") if self.stand_ins else ""


@cache
def pronouns() -> dict[str, str]:
    """Given name, "she", "he" or "they"; who may be either, or has a made-up name, is always named in full."""
    words = lexicon()
    return {name.text: name.pronoun for name in (*words.given_names_train, *words.given_names_test)}


class Values:
    """Draws values, none of them twice in one passage."""

    def __init__(self, place: Place, rng: Random) -> None:
        self.place, self.rng = place, rng
        self.used: set[str] = set()

    def draw(self, kind: str) -> str:
        """A value that shares no word that counts with those drawn before."""
        while True:
            value = VALUES[kind](self.place, self.rng)
            words = {word for word in value.lower().split() if word not in COMMON}
            if not words & self.used:
                self.used |= words
                return value

    def subject(self, kind: str) -> Subject:
        """A fresh subject of the kind."""
        name = self.draw(NAMES.get(kind, kind))
        if kind == "person":
            pronoun = pronouns().get(name.partition(" ")[0], "they")
            return Subject(kind, name, () if pronoun == "they" else (pronoun,))
        if kind == "landmark":
            return Subject(kind, name, ("it", "the " + name.rpartition(" ")[2].lower()))
        if kind == "contest":
            return Subject(kind, name, ("it", "the " + name.rpartition(" ")[2]))
        return Subject(kind, name, ("it", *STAND_INS.get(kind, ())))

    def fact(self, relation: Relation, subject: str) -> Fact:
        """The relation with fresh values."""
        return Fact(relation.name, (("s", subject), *((slot, self.draw(kind)) for slot, kind in relation.values)))


def choose(pool: Iterable[Relation], rng: Random, number: int) -> list[Relation]:
    """Up to ``number`` relations, no two of them a clash."""
    found: list[Relation] = []
    candidates = list(pool)
    rng.shuffle(candidates)
    for relation in candidates:
        clash = any({relation.name, other.name} <= group for other in found for group in CLASHES)
        if len(found) < number and not clash:
            found.append(relation)
    return found


def scene(place: Place, rng: Random, size: tuple[int, int]) -> tuple[list[Subject], list[Fact]]:
    """The subjects of a passage and its facts, ``size`` of them (at least, at most; a little fewer when shared out)."""
    return rng.choices((_one, _several, _events, _mixed), (38, 34, 14, 14))[0](place, rng, size)


def _kind(rng: Random) -> str:
    return rng.choices(list(KINDS), list(KINDS.values()))[0]


def _one(place: Place, rng: Random, size: tuple[int, int]) -> tuple[list[Subject], list[Fact]]:
    """One subject, several facts."""
    values = Values(place, rng)
    kind = _kind(rng)
    subject = values.subject(kind)
    return [subject], [values.fact(relation, subject.name) for relation in choose(about(kind), rng, rng.randint(*size))]


def _several(place: Place, rng: Random, size: tuple[int, int]) -> tuple[list[Subject], list[Fact]]:
    """Two or three subjects of one kind with the same facts, subject by subject or fact by fact."""
    values = Values(place, rng)
    kind = _kind(rng)
    subjects = [values.subject(kind) for _ in range(rng.choice((2, 2, 3)))]
    each = max(1, rng.randint(*size) // len(subjects))
    chosen = choose(about(kind), rng, each)
    facts = [values.fact(relation, subject.name) for subject in subjects for relation in chosen]
    if rng.random() < 0.5:
        facts = [facts[at] for start in range(len(chosen)) for at in range(start, len(facts), len(chosen))]
    return subjects, facts


def _events(place: Place, rng: Random, size: tuple[int, int]) -> tuple[list[Subject], list[Fact]]:
    """What two or three persons did."""
    values = Values(place, rng)
    subjects = [values.subject("person") for _ in range(rng.choice((1, 2, 2, 3)))]
    facts = [
        values.fact(relation, rng.choice(subjects).name) for relation in choose(about("event"), rng, rng.randint(*size))
    ]
    told = {fact.subject for fact in facts}
    return [subject for subject in subjects if subject.name in told], facts


def _mixed(place: Place, rng: Random, size: tuple[int, int]) -> tuple[list[Subject], list[Fact]]:
    """Two or three subjects of different kinds."""
    values = Values(place, rng)
    kinds: list[str] = []
    while len(kinds) < rng.choice((2, 2, 3)):
        if (kind := _kind(rng)) not in kinds:
            kinds.append(kind)
    subjects, facts = [], []
    for kind in kinds:
        subject = values.subject(kind)
        subjects.append(subject)
        for relation in choose(about(kind), rng, max(1, rng.randint(*size) // len(kinds))):
            facts.append(values.fact(relation, subject.name))
    return subjects, facts
