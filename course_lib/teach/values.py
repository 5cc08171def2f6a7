"""What a plot is given, checked before anything is drawn, and how a figure's numbers are written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Curve:
    """Values y at the places x, with a band or error bars from low to high where they are known. All (n,)."""

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Point:
    """One labelled result of `scatter_cost`: its cost x, its quality y with an interval, and its group."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    group: str = ""


def named(xlabel: str, ylabel: str, title: str) -> None:
    """A figure without names for its axes and a title is refused."""
    for what, text in (("xlabel", xlabel), ("ylabel", ylabel), ("title", title)):
        if not isinstance(text, str) or not text.strip():
            raise CourseError(f"This figure has no {what}; say what it shows and in which unit.")


def column(values: Any, what: str, length: int | None = None) -> np.ndarray:
    """Numbers (n,), finite, or a sentence that says what is wrong with them."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise CourseError(f"{what} must be a list of numbers.") from None
    if array.ndim != 1 or array.size == 0:
        raise CourseError(f"{what} must be a list of at least one number.")
    if length is not None and len(array) != length:
        raise CourseError(f"{what} has {len(array)} values where {length} are needed, one for each place.")
    if not np.isfinite(array).all():
        raise CourseError(f"{what} contains a value that is not a finite number; leave that place out.")
    return array


def curve(name: str, x: Any, values: Any) -> Curve:
    """A curve from numbers, or from a tuple (numbers, low, high)."""
    xs = column(x, f"x of {name!r}")
    if isinstance(values, tuple) and len(values) == 3 and np.ndim(values[0]) == 1:
        y, low, high = (column(part, f"{name!r}", len(xs)) for part in values)
        if (low > y).any() or (high < y).any():
            raise CourseError(f"The interval of {name!r} does not contain its value; the order is (value, low, high).")
        return Curve(name, xs, y, low, high)
    return Curve(name, xs, column(values, f"{name!r}", len(xs)))


def some(series: Any, what: str) -> None:
    """At least one series, and no more than can be told apart."""
    if not series:
        raise CourseError(f"There is nothing to draw: {what} is empty.")
    if len(series) > 7:
        raise CourseError(f"{what} has {len(series)} series; more than 7 cannot be told apart, draw two figures.")


def number(value: float, percent: bool = False) -> str:
    """A figure as people write it.

    >>> number(0.9134, percent=True), number(12345.6), number(3.14159), number(0.00123)
    ('91.3%', '12,346', '3.14', '0.0012')
    """
    if percent:
        return f"{100 * value:.1f}%"
    if value == 0 or float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"
