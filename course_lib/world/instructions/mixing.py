"""Every kind of task in one list, and records of them: one kind alone, or all of them in fixed shares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

from course_lib.errors import CourseError
from course_lib.world.instructions import reading, rewriting, sheets, words
from course_lib.world.instructions.kind import MOST_TRIES, Kind, Record, compiled, plain
from course_lib.world.place import Place

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*words.KINDS, *rewriting.KINDS, *reading.KINDS, *sheets.KINDS)}
"""Every kind of task by name."""
NEW_WORDINGS = 0.25  # of test records


def items(place: Place, rng: Random, kind: str, n: int, *, new_wordings: float | None = None) -> list[Record]:
    """``n`` records of one kind with different inputs; see `mixture`."""
    return mixture(place, rng, n, [kind], new_wordings=new_wordings)


def mixture(
    place: Place,
    rng: Random,
    n: int,
    kinds: Sequence[str] | None = None,
    shares: Mapping[str, float] | None = None,
    *,
    new_wordings: float | None = None,
) -> list[Record]:
    """``n`` records, no input twice, with ``kinds`` (default: all) mixed in their ``shares`` (default: equal ones).

    The next record is always of the kind that is most behind its share, so any beginning of the list has the mixture.
    Every record has task, instruction, input, output, metric and wording ("seen" or "new"), all of them texts, and what
    its metric needs: "choices" or a "form" of the answer, and "create" for SQL. ``new_wordings`` is the share of each
    kind that is asked in wordings kept for tests (default: a quarter when the place is of the test split, else none).

    Raises CourseError for an unknown kind, shares that are not positive, or more records than there are inputs.
    """
    weights = _weights(kinds, shares)
    new = new_wordings if new_wordings is not None else NEW_WORDINGS * (place.split == "test")
    if not 0 <= new <= 1:
        raise CourseError(f"new_wordings is a share from 0 to 1, not {new}.")
    counts = dict.fromkeys(weights, 0)
    seen: set[str] = set()
    records: list[Record] = []
    for k in range(n):
        name = max(weights, key=lambda name: weights[name] * (k + 1) - counts[name])
        counts[name] += 1
        wording = "new" if round(counts[name] * new) > round((counts[name] - 1) * new) else "seen"
        records.append(_fresh(KINDS[name], place, rng, wording, seen))
    return records


def checked(record: Mapping[str, str], answer: str | None = None) -> bool | None:
    """Whether ``answer`` (default: the record's output) is right, worked out again from instruction and input alone.

    None where the text does not tell: an instruction of no known kind, or an input that the world cannot read. A record
    without "task" is recognised by its instruction. Made for examples that a model wrote.
    """
    name = record.get("task") or task_of(record["instruction"])
    if name not in KINDS:
        return None
    given = record["output"] if answer is None else answer
    return KINDS[name].judge(record, given) if given.strip() else False


def task_of(instruction: str) -> str | None:
    """The kind of task that gives this instruction in one of its wordings, None for any other instruction."""
    said = plain(instruction)
    for name, kind in KINDS.items():
        for wording in (*kind.wordings["seen"], *kind.wordings["new"]):
            if compiled(plain(wording), flags=re.IGNORECASE).fullmatch(said):
                return name
    return None


def kind_named(name: str) -> Kind:
    """The kind of this name. Raises CourseError naming those there are."""
    if name not in KINDS:
        raise CourseError(f"There are no tasks of kind {name!r}; choose from {', '.join(KINDS)}.")
    return KINDS[name]


def _weights(kinds: Sequence[str] | None, shares: Mapping[str, float] | None) -> dict[str, float]:
    given = dict.fromkeys(KINDS if kinds is None else kinds, 1.0) if shares is None else dict(shares)
    for name in given:
        kind_named(name)
    if kinds is not None and set(kinds) != set(given):
        raise CourseError(
            f"kinds are {', '.join(kinds) or 'none'} and shares are of {', '.join(given)}: give one of them."
        )
    if not given or any(not share > 0 for share in given.values()):
        raise CourseError(f"Every kind of a mixture needs a share above 0, not {given or 'an empty list'}.")
    raw = {name: given[name] for name in KINDS if name in given}  # in one order, whatever the order they are given in
    total = sum(raw.values())
    return {name: share / total for name, share in raw.items()}


def _fresh(kind: Kind, place: Place, rng: Random, wording: str, seen: set[str]) -> Record:
    for _ in range(MOST_TRIES):
        record = kind.record(place, rng, wording)
        if record["input"].lower() not in seen:
            seen.add(record["input"].lower())
            return record
    raise CourseError(f"There are not that many different inputs of kind {kind.name!r}: ask for fewer records.")
