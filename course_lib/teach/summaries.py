"""What a figure shows, said in one line: for those who do not see it and for those who read too fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.teach.values import Curve, Point, number


def of_line(curves: list[Curve], xlabel: str, percent: bool) -> str:
    """Where each line begins, ends and is highest."""
    told = []
    for one in curves:
        best = int(np.argmax(one.y))
        inside = 0 < best < len(one.y) - 1
        told.append(
            f"{one.name} goes from {number(one.y[0], percent)} at {without_unit(xlabel)} {number(one.x[0])} to"
            f" {number(one.y[-1], percent)} at {number(one.x[-1])}"
            + (f", highest {number(one.y[best], percent)} at {number(one.x[best])}" if inside else "")
        )
    return listed(told)


def of_bar(names: Sequence[str], curves: list[Curve], percent: bool) -> str:
    """Every value of each series."""
    return listed(
        [
            f"{one.name}: " + ", ".join(f"{name} {number(y, percent)}" for name, y in zip(names, one.y, strict=True))
            for one in curves
        ]
    )


def of_cost(points: Sequence[Point], xlabel: str, percent: bool) -> str:
    """The best, the cheapest, and the cheapest that the best one's interval includes."""
    best, cheapest = max(points, key=lambda p: p.y), min(points, key=lambda p: p.x)
    cost = without_unit(xlabel)

    def told(point: Point) -> str:
        return f"{point.label} ({number(point.y, percent)} at {cost} {number(point.x)})"

    near = [p for p in points if p is not best and best.low is not None and p.y >= best.low and p.x < best.x]
    text = f"Best of {len(points)}: {told(best)}; cheapest: {told(cheapest)}"
    if near:
        text += f"; cheapest within the best one's interval: {told(min(near, key=lambda p: p.x))}"
    return text + "."


def of_confusion(counts: np.ndarray, classes: Sequence[str]) -> str:
    """How many are right and which mistake is the most frequent."""
    right, total = int(np.trace(counts)), int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    text = f"{right:,} of {total:,} right"
    if wrong.sum():
        row, at = divmod(int(np.argmax(wrong)), len(classes))
        text += f"; the most frequent mistake is {classes[row]} taken for {classes[at]} ({int(wrong[row, at]):,} times)"
    return text + "."


def of_histogram(columns: Mapping[str, np.ndarray], xlabel: str) -> str:
    """Count, range and median of each series."""
    what = without_unit(xlabel)
    return listed(
        [
            f"{name}: {len(v):,} values of {what} between {number(v.min())} and {number(v.max())},"
            f" median {number(float(np.median(v)))}"
            for name, v in columns.items()
        ]
    )


def without_unit(label: str) -> str:
    """An axis label's name: ``"Time (s)"`` is ``"time"``."""
    name = label.split(" (")[0].strip()
    return name if len(name) > 1 and name[1].isupper() else name[:1].lower() + name[1:]


def listed(parts: Sequence[str]) -> str:
    """The parts as one sentence."""
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."
