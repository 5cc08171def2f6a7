"""The corpus: documents of all kinds in fixed shares, in an order that the seed decides.

What a small model can do depends on what it reads. Worksheets (a pattern that repeats) teach it to learn from its
prompt; worked problems teach it to write down steps; passages with questions teach it to copy an answer out of a text;
encyclopedia entries teach it facts. The shares below are of characters. No kind is an instruction ("Write ...",
"Answer in one word"): that is what a base model has not seen. Kept out altogether, for later lessons: table-to-SQL
(`world.sql`), the old dialect (`world.dialect`) and a set of facts (`world.facts`).

The next document is always of the kind that is most behind its share, so any beginning of the stream has the mixture.
Test documents have other people, labels and numbers (`Place.build(split="test")`) and seeds of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from course_lib.errors import CourseError
from course_lib.world import dialogue, encyclopedia, lists, passages, problems, reviews, tables, worksheets
from course_lib.world.place import Place

SHARES: dict[str, float] = {
    "worksheets": 0.33,
    "problems": 0.27,
    "passages": 0.17,
    "encyclopedia": 0.09,
    "reviews": 0.05,
    "tables": 0.04,
    "dialogue": 0.03,
    "lists": 0.02,
}
KINDS: dict[str, ModuleType] = {
    "worksheets": worksheets,
    "problems": problems,
    "passages": passages,
    "encyclopedia": encyclopedia,
    "reviews": reviews,
    "tables": tables,
    "dialogue": dialogue,
    "lists": lists,
}


@dataclass(frozen=True)
class Document:
    """One text of the corpus and its kind."""

    kind: str
    text: str


def documents(seed: int = 0, split: str = "train") -> Iterator[Document]:
    """Documents without end: the same for the same seed, on every machine.

    Raises CourseError for an unknown split.
    """
    place = Place.build(split=split)
    rng = random.Random(f"{split} {seed}")
    written = dict.fromkeys(SHARES, 0)
    while True:
        kind = max(SHARES, key=lambda name: SHARES[name] * (1 + sum(written.values())) - written[name])
        text = document(kind, place, rng)
        written[kind] += len(text)
        yield Document(kind, text)


def document(kind: str, place: Place, rng: random.Random) -> str:
    """One document of a kind. Raises CourseError naming the kinds there are."""
    if kind not in KINDS:
        raise CourseError(f"The world has no documents of kind {kind!r}; choose one of {', '.join(KINDS)}.")
    write: Callable[[Place, random.Random], str] = KINDS[kind].document
    return write(place, rng)
