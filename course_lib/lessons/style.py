"""How a lesson reads, in numbers: a report for its author, with a few limits that no lesson may break.

The ranges are a matter of taste that has served the course's readers well: cells short enough to be read at a glance,
several words of prose for each line of code, pictures and exercises often enough to keep a reader's hands busy. Only
what makes a notebook unreadable or unopenable is an error.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from course_lib.lessons.outputs import blemishes

LONGEST_CELL = 20
WANTED: Mapping[str, tuple[float, float]] = {
    "cells": (40, 80),
    "median lines of a code cell": (4, 6),
    "words per line of code": (6, 9),
    "plots": (3, 5),
    "exercises": (3, 5),
    "quiz questions": (5, 8),
    "interactive figures": (1, 2),
}
# The first lesson is a tour: nothing is measured there yet, and one exercise shows how exercises work.
TOUR: Mapping[str, tuple[float, float]] = {
    **WANTED,
    "cells": (15, 50),
    "words per line of code": (6, 15),
    "exercises": (1, 1),
}


@dataclass(frozen=True)
class Report:
    """The figures of one notebook, those out of range, and what must be mended."""

    lesson: str
    figures: Mapping[str, float]
    remarks: tuple[str, ...]
    errors: tuple[str, ...]


def report(lesson: str, notebook: Any) -> Report:
    """Judge an executed learner's notebook."""
    figures, longest = measure(lesson, notebook)
    wanted = TOUR if lesson.startswith("00") else WANTED
    remarks = tuple(
        f"{name}: {figures[name]:g}, wanted {low:g} to {high:g}"
        if low != high
        else f"{name}: {figures[name]:g}, wanted {low:g}"
        for name, (low, high) in wanted.items()
        if not low <= figures[name] <= high
    )
    errors = [f"cell {number} has {lines} lines, at most {LONGEST_CELL} are allowed" for number, lines in longest]
    errors += [f"cell {number} shows a picture without alternative text" for number in _without_alt(notebook)]
    return Report(lesson, figures, remarks, (*errors, *blemishes(notebook)))


def measure(lesson: str, notebook: Any) -> tuple[dict[str, float], list[tuple[int, int]]]:
    """The figures of a notebook, and its code cells that are too long as pairs of number and lines."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and "setup" not in _tags(cell)]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lines = [sum(bool(line.strip()) for line in text.splitlines()) for text in code]
    pictures = [len(re.findall(r"<img\b", html)) for html in _html(notebook)]
    everything = "\n".join(code)
    interactive = len(re.findall(r"\b(?:interactive_figure|explorer)\(", everything))
    figures = {
        "cells": len(notebook.cells),
        "median lines of a code cell": statistics.median(lines) if lines else 0,
        "words per line of code": round(len(re.findall(r"\w[\w'’-]*", prose)) / max(1, sum(lines)), 1),
        "plots": sum(pictures) - interactive,
        "exercises": len(set(re.findall(r"exercises\.check\(\s*[\"']([\w-]+)", everything))),
        "quiz questions": _questions(lesson),
        "interactive figures": interactive,
    }
    long = [
        (number, len(cell.source.splitlines()))
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and len(cell.source.splitlines()) > LONGEST_CELL
    ]
    return figures, long


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def _html(notebook: Any) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]


def _without_alt(notebook: Any) -> list[int]:
    """The numbers of cells with a picture that says nothing to somebody who cannot see it."""
    found = []
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            html = "".join(data.get("text/html", ""))
            images = re.findall(r"<img\b[^>]*>", html)
            bare = any(not re.search(r"\balt=[\"'][^\"']", image) for image in images)
            if bare or ("image/png" in data and not images):
                found.append(number)
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(", cell.source):
            found.append(number)
    return found


def _questions(lesson: str) -> int:
    """How many questions the lesson's quiz has."""
    from course_lib.errors import CourseError
    from course_lib.teach.quiz import quiz

    try:
        return int(quiz(lesson[:2]).score()[2])
    except CourseError:
        return 0
