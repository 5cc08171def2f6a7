"""Where the course's own files lie: `assets/` in a checkout, inside the package when it was installed from a wheel."""

from __future__ import annotations

from pathlib import Path

from course_lib.errors import CourseError

PACKAGE = Path(__file__).parent


def asset(name: str) -> Path:
    """The path of one of the course's own files, for example ``asset("reviews.csv")``.

    Raises CourseError when the installation is incomplete.
    """
    for folder in (PACKAGE.parent / "assets", PACKAGE / "_assets"):
        path = folder / name
        if path.exists():
            return path
    raise CourseError(
        f"The course's file {name!r} is missing from this installation; clone or install the course again."
    )
