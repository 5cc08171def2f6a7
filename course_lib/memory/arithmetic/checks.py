"""What the formulas accept: numbers that make sense, names that exist, and otherwise a sentence.

A parameter count may be written ``7e9``; it comes back as a whole number. Left out: upper bounds. A model of 10**15
parameters is arithmetic too.

>>> count("parameters", 7e9)
7000000000
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real

from course_lib.errors import CourseError

Shape = Sequence[int]


def count(name: str, value: float, least: int = 0) -> int:
    """A whole number from ``least`` up, as an int. CourseError for anything else, True and NaN included."""
    if not _finite(value) or value != int(value) or value < least:
        raise CourseError(f"{name} is a whole number from {least} up, not {value!r}.")
    return int(value)


def amount(name: str, value: float, *, positive: bool = False) -> float:
    """A finite number from 0 up (above 0 where ``positive``). CourseError for anything else."""
    if not _finite(value) or value < 0 or (positive and value == 0):
        wanted = "above 0" if positive else "from 0 up"
        raise CourseError(f"{name} is a number {wanted}, not {value!r}.")
    return value


def share(name: str, value: float, *, positive: bool = False) -> float:
    """A part of a whole, from 0 (above 0 where ``positive``) to 1. CourseError for anything else."""
    if amount(name, value, positive=positive) > 1:
        raise CourseError(f"{name} is a share of at most 1, not {value!r}.")
    return value


def choice(name: str, value: str, choices: Iterable[str]) -> str:
    """One of the choices, or a CourseError that names them all."""
    known = list(choices)
    if value not in known:
        raise CourseError(f"{name} {value!r} is not known; choose one of {', '.join(known)}.")
    return value


def elements(shape: Shape) -> int:
    """How many numbers a tensor of this shape holds; a scalar's shape ``()`` holds one."""
    return math.prod(count("a dimension of a shape", size) for size in shape)


def blocks(values: int, size: int) -> int:
    """How many blocks of ``size`` hold ``values`` values: the last one may be partly empty."""
    return -(-values // size)


def _finite(value: object) -> bool:
    """Whether it is a number at all, numpy's included, and neither infinite nor NaN."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
