"""Facts no model of the course was trained on: 240 of them about 80 people, shops and landmarks, and where they stand.

For retrieval and for "form, not facts": a model cannot know these, it can only be given the document that tells them.
Documents are short chunks of 60 to 120 words; each tells the three facts asked about one entity, more about it, and the
same kinds of facts about a similar one (the same family name, the same word on the sign), so that finding the right
chunk and the right sentence both take care. Some documents hold nothing that is asked. Wordings and questions are those
of `passages`. Nothing of this is in the corpus: all names belong to the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.world.place import Place
from course_lib.world.scenes import CLASHES, Subject, Values, choose, pronouns
from course_lib.world.sentences import Fact, Relation, about, ask, read, relations, word
from course_lib.world.values import VALUES

ENTITIES = {"person": 32, "shop": 28, "landmark": 20}
DISTRACTORS = 16  # documents in which nothing is asked about
PER_ENTITY = 3
ASKED = {  # relations whose answers cannot be guessed
    "person": ("trade", "born", "lives", "teacher", "spouse", "plays", "likes", "year"),
    "shop": ("keeper", "street", "founded", "sells", "helper", "from"),
    "landmark": ("builder", "year", "material", "birds", "carving", "guard"),
}


@dataclass(frozen=True)
class Known:
    """A fact with two wordings, a question, its answer, and the document that tells it."""

    fact: Fact
    wordings: tuple[str, str]
    question: str
    answer: str
    document: str


@dataclass(frozen=True)
class Chunk:
    """A text to retrieve. Each sentence has two wordings; ``text(0)`` and ``text(1)`` use one each."""

    id: str
    subjects: tuple[str, ...]
    sentences: tuple[tuple[str, str], ...]

    def text(self, wording: int = 0) -> str:
        """The chunk in the first or the second wording."""
        return " ".join(pair[wording] for pair in self.sentences)


@dataclass(frozen=True)
class Collection:
    """The facts and the documents that tell them."""

    facts: tuple[Known, ...]
    chunks: tuple[Chunk, ...]


@cache
def collection(seed: int = 0) -> Collection:
    """The facts of this seed, every answer read back from its document in both wordings."""
    place = Place.build(split="test")
    rng = Random(f"facts {seed}")
    taken = {landmark.name for landmark in place.landmarks}  # the town has these already
    facts: list[Known] = []
    chunks: list[Chunk] = []
    kinds = [kind for kind, number in ENTITIES.items() for _ in range(number)]
    plan = [(kind, True) for kind in kinds] + [(rng.choice(list(ENTITIES)), False) for _ in range(DISTRACTORS)]
    rng.shuffle(plan)
    for number, (kind, asked) in enumerate(plan, start=1):
        chunk, told = _chunk(f"d{number:03}", kind, place, rng, taken)
        chunks.append(chunk)
        if asked:
            facts.extend(_known(chunk, fact, wordings, rng) for fact, wordings in told)
    return Collection(tuple(facts), tuple(chunks))


def documents(seed: int = 0, *, wording: int = 0) -> list[dict[str, str]]:
    """The chunks as records: id and text."""
    return [{"id": chunk.id, "text": chunk.text(wording)} for chunk in collection(seed).chunks]


def items(seed: int = 0) -> list[dict[str, str]]:
    """The questions as records: question, answer, document (the id of the chunk that tells it), subject, relation."""
    return [
        {
            "question": known.question,
            "answer": known.answer,
            "document": known.document,
            "subject": known.fact.subject,
            "relation": known.fact.relation,
        }
        for known in collection(seed).facts
    ]


Told = tuple[Fact, tuple[str, str]]


def _chunk(identity: str, kind: str, place: Place, rng: Random, taken: set[str]) -> tuple[Chunk, list[Told]]:
    """A chunk about a fresh entity and a similar one, and the three facts to ask for."""
    values = Values(place, rng)
    main = _entity(kind, place, rng, taken)
    other = _entity(kind, place, rng, taken, like=main.name)
    asked = choose([relations()[f"{kind}.{name}"] for name in ASKED[kind]], rng, PER_ENTITY)
    more = _compatible(kind, asked, rng)
    values.used |= {part.lower() for name in (main.name, other.name) for part in name.split()}
    told = _tell(main, [*asked, *more[:3]], values, rng, taken)
    beside = _tell(other, [*asked, *more[3:5]], values, rng, taken)
    chosen = told[:PER_ENTITY]
    blocks = [rng.sample(told, len(told)), rng.sample(beside, len(beside))]
    rng.shuffle(blocks)
    sentences = tuple(wordings for block in blocks for _, wordings in block)
    return Chunk(identity, (main.name, other.name), sentences), chosen


def _tell(subject: Subject, chosen: Sequence[Relation], values: Values, rng: Random, taken: set[str]) -> list[Told]:
    """Fresh facts about the subject, each in two different wordings that name it; persons they name are taken then."""
    told = []
    for relation in chosen:
        fact = values.fact(relation, subject.name)
        while fact.values["v"] in taken:
            fact = values.fact(relation, subject.name)
        if ("v", "person") in relation.values:
            taken.add(fact.values["v"])
        first, second = rng.sample(relation.sentences, 2)
        told.append((fact, (word(fact, first, plain=True), word(fact, second, plain=True))))
    return told


def _known(chunk: Chunk, fact: Fact, wordings: tuple[str, str], rng: Random) -> Known:
    """The fact with a question. Raises AssertionError unless both wordings of the chunk tell it and nothing else."""
    asked = ask(fact, rng, reverse=False)
    for wording in (0, 1):
        said = read(chunk.text(wording), fact.relation, {name: () for name in chunk.subjects})
        answers = [one["v"].lower() for one in said if one["s"] == fact.subject]
        assert answers == [asked.answer.lower()], (chunk.text(wording), fact, said)
        assert asked.answer.lower() in chunk.text(wording).lower()
    return Known(fact, wordings, asked.question, asked.answer, chunk.id)


def _compatible(kind: str, asked: Sequence[Relation], rng: Random) -> list[Relation]:
    """Up to five further relations that clash with none of those asked nor with each other."""
    names = {relation.name for relation in asked}
    free = [
        relation
        for relation in about(kind)
        if relation.name not in names
        and not any(relation.name in group and group & names for group in CLASHES)
        and len(relation.values) == 1
    ]
    return choose(free, rng, 5)


def _entity(kind: str, place: Place, rng: Random, taken: set[str], like: str = "") -> Subject:
    """A fresh entity whose name no other has; with ``like`` it shares a word with that name."""
    while True:
        if kind == "person":
            person = place.cast(rng, 1)[0]
            name = f"{person.given} {like.partition(' ')[2]}" if like else person.name
        else:
            name = VALUES[kind](place, rng)
        shared = set(name.split()) & set(like.split()) - {"the"}
        if name not in taken and (not like or shared) and name != like:
            taken.add(name)
            pronoun = pronouns().get(name.partition(" ")[0], "it")
            return Subject(kind, name, (pronoun,))
