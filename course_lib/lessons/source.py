"""Reading a lesson's source: cells with their tags, and the two readings of a solution."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import CourseError

SLIDES = ("slide", "subslide", "fragment", "skip", "notes")
TAGS = frozenset({"setup", "solution", "instructor", *SLIDES})
STUB = re.compile(r"^\s*# stub:[ ]?", re.MULTILINE)
EXERCISE = re.compile(r"# exercise: (\S+)")


@dataclass(frozen=True)
class Cell:
    """A cell as its author wrote it."""

    kind: str  # "code" or "markdown"
    source: str
    tags: frozenset[str]
    where: str  # file and number of the cell, for messages


def read(path: Path) -> list[Cell]:
    """The cells of a source file.

    Raises CourseError for a file that is missing, an unknown tag, or a cell that is neither code nor markdown.
    """
    import jupytext

    if not path.exists():
        raise CourseError(f"There is no source {path}.")
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    cells = []
    for number, raw in enumerate(notebook.cells, 1):
        where = f"{path.name}, cell {number}"
        tags = frozenset(raw.metadata.get("tags", ()))
        if unknown := tags - TAGS:
            raise CourseError(f"{where}: unknown tag {min(unknown)!r}; the tags are {', '.join(sorted(TAGS))}.")
        if raw.cell_type not in ("code", "markdown"):
            raise CourseError(f"{where}: a {raw.cell_type} cell; a lesson has code and markdown cells only.")
        cells.append(Cell(raw.cell_type, raw.source, tags, where))
    return cells


def solution(cell: Cell, *, instructor: bool) -> str:
    """The text of a solution cell as the instructor or the learner gets it."""
    if cell.kind != "code":
        raise CourseError(f"{cell.where}: only a code cell can be a solution.")
    if named := EXERCISE.fullmatch(cell.source.strip()):
        from course_lib.teach.exercises import exercise

        task = exercise(named[1])
        return (task.code if instructor else task.stub).strip("\n")
    lines = cell.source.splitlines()
    stub = [line for line in lines if STUB.match(line)]
    if not stub:
        raise CourseError(f"{cell.where}: a solution needs its stub in lines that begin with '# stub:'.")
    if instructor:
        return "\n".join(line for line in lines if line not in stub).strip("\n")
    return "\n".join(STUB.sub("", line, count=1) for line in stub)
