"""Training and test records that have no text in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.records.collection import Records, stratified_order
from course_lib.records.duplicates import exact_copies, near_copies


@dataclass(frozen=True)
class Split:
    """Training and test records, and how many records were dropped from training as copies of test records."""

    train: Records
    test: Records
    exact: int = 0
    near: int = 0


def split(records: Records, test: float = 0.25, seed: int = 0, near: float = 0.7) -> Split:
    """Cut off the share ``test`` of the records (between 0 and 1), by class, and drop its copies from the rest.

    ``near`` is the similarity from which a record counts as a copy (see `duplicates`); the test records stay as they
    are. CourseError where a class is too small to be on both sides.
    """
    if not 0 < test < 1:
        raise CourseError(
            f"The test share must lie between 0 and 1, but it is {test}: 0.25 is a quarter of the records."
        )
    order = stratified_order(records.labels, seed)
    cut = min(max(round(test * len(records)), len(set(records.labels))), len(records) - 1)
    kept, held_out = records.subset(sorted(order[cut:])), records.subset(sorted(order[:cut]))
    for name, count in kept.counts().items():
        if count == 0 and records.counts()[name] > 0:
            whole = records.counts()[name]
            raise CourseError(
                f"{records.name}: class {name!r} has only {whole} record{'s' * (whole != 1)}, too few for both "
                "training and test: add records, merge it with another class or remove it."
            )
    return without_copies(kept, held_out, near)


def without_copies(train: Records, test: Records, near: float = 0.7) -> Split:
    """Drop from the training records those that the test records hold too, exactly or nearly."""
    if not 0 < near <= 1:
        raise CourseError(f"The similarity of near copies must lie between 0 and 1, but it is {near}: 0.7 is usual.")
    exact = exact_copies(train.texts, of=test.texts)
    rest = _without(train, exact)
    close = near_copies(rest.texts, of=test.texts, threshold=near)
    clean = _without(rest, close)
    for name, count in clean.counts().items():
        if count == 0 and train.counts()[name] > 0:
            raise CourseError(
                f"{train.name}: every training record of class {name!r} ({train.counts()[name]}) is a copy of a test "
                "record: add different records of this class or remove it."
            )
    return Split(clean, test, exact=len(exact), near=len(close))


def _without(records: Records, indices: Sequence[int]) -> Records:
    dropped = set(indices)
    return records.subset([k for k in range(len(records)) if k not in dropped]) if dropped else records
