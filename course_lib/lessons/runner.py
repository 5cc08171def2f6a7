"""Running the lessons from the command line: fresh kernels, one after another, and a record of how it went."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.lessons import build, catalog, kernel, outputs
from course_lib.lessons.build import OnCell
from course_lib.lessons.kernel import Failure


@dataclass(frozen=True)
class LessonRun:
    """One lesson's run; times are in seconds unless they say otherwise."""

    lesson: str
    status: str  # "passed" or "failed"
    cells: int  # code cells executed
    minutes: float
    slowest_cell: int  # counted from 1, markdown cells included
    slowest_seconds: float
    first_picture: float | None
    notebook: str  # the executed notebook
    failure: Failure | None


def run(
    names: Iterable[str] = (),
    tier: str | None = None,
    out: Path = Path("build"),
    *,
    root: Path | None = None,
    on_cell: OnCell | None = None,
) -> list[LessonRun]:
    """Execute lessons as "Run all" does, and keep the executed notebooks and `run.json` below ``out``.

    ``tier`` overrides the choice that the hardware makes. A failing lesson does not keep the others from running. An
    interrupted run leaves the lessons that are complete. Raises CourseError for an unknown lesson or tier.
    """
    chosen = choose_tier(tier)
    selected = [(lesson, build.read(lesson.notebook)) for lesson in catalog.find(names, root)]
    _usable(out)
    done: list[LessonRun] = []
    for lesson, notebook in selected:

        def report(cell: int, cells: int, name: str = lesson.name) -> None:
            if on_cell:
                on_cell(name, cell, cells)

        result = kernel.execute(notebook, {"COURSE_TIER": chosen}, report)
        outputs.clean(notebook)
        path = out / "lessons" / lesson.notebook.name
        build.write(notebook, path)
        done.append(
            LessonRun(
                lesson=lesson.name,
                status="failed" if result.failure else "passed",
                cells=result.cells,
                minutes=result.seconds / 60,
                slowest_cell=result.slowest_cell,
                slowest_seconds=result.slowest_seconds,
                first_picture=result.first_picture,
                notebook=str(path),
                failure=result.failure,
            )
        )
        build.replace(out / "run.json", json.dumps(as_json(chosen, done), indent=2) + "\n")
    return done


def as_json(tier: str, runs: list[LessonRun]) -> dict[str, Any]:
    """What `run.json` holds."""
    return {"tier": tier, "python": platform.python_version(), "lessons": [asdict(entry) for entry in runs]}


def choose_tier(name: str | None) -> str:
    """The name of a tier: the one asked for, or what fits this machine. Raises CourseError for one that is none."""
    from course_lib import tiers

    if name is None:
        return tiers.current().name
    if name not in tiers.TIERS:
        raise CourseError(f"There is no tier {name!r}; choose from {', '.join(tiers.TIERS)}.")
    return name


def _usable(out: Path) -> None:
    """Find out before an hour of work, not after it, that its results cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        build.replace(out / "run.json", "{}\n")
    except OSError as error:
        raise CourseError(f"The results cannot be written to {out} ({error.strerror}); choose another --out.") from None
