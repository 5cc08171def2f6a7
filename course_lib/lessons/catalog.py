"""Which lessons there are, what they are called, and where their files lie."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from course_lib.assets import PACKAGE
from course_lib.errors import CourseError

NAME = re.compile(r"\d\d_\w+")


@dataclass(frozen=True, order=True)
class Lesson:
    """One lesson of the course in the checkout ``root``."""

    name: str  # for example "03_classifier_ladder"
    root: Path

    @property
    def number(self) -> str:
        """The two digits it is called by."""
        return self.name[:2]

    @property
    def source(self) -> Path:
        """What authors edit."""
        return self.root / "notebooks" / "source" / f"{self.name}.py"

    @property
    def notebook(self) -> Path:
        """What readers open."""
        return self.root / "notebooks" / f"{self.name}.ipynb"


def home() -> Path:
    """The folder with the course's `notebooks`: the checkout, or the current folder when the package is a wheel.

    Raises CourseError when there is none.
    """
    for root in (PACKAGE.parent, Path.cwd()):
        if any(NAME.fullmatch(path.stem) for path in (root / "notebooks").glob("*.ipynb")):
            return root
        if (root / "notebooks" / "source").is_dir():
            return root
    raise CourseError("There are no notebooks here: they come with a clone of the course, so run this in its folder.")


def lessons(root: Path | None = None) -> tuple[Lesson, ...]:
    """All lessons, in order."""
    folder = (root or home()) / "notebooks"
    names = {path.stem for pattern in ("*.ipynb", "source/*.py") for path in folder.glob(pattern)}
    return tuple(Lesson(name, folder.parent) for name in sorted(names) if NAME.fullmatch(name))


def find(names: Iterable[str] = (), root: Path | None = None) -> tuple[Lesson, ...]:
    """The lessons that are meant by ``names``: "03", "3", the whole name or its file; no names mean all lessons.

    Raises CourseError with the choices for a name that fits none.
    """
    known = lessons(root)
    chosen = set()
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb").removesuffix(".py")
        found = [lesson for lesson in known if stem in (lesson.name, lesson.number, lesson.name[3:])]
        found = found or [lesson for lesson in known if stem.isdigit() and int(stem) == int(lesson.number)]
        if not found:
            choices = ", ".join(lesson.name for lesson in known)
            raise CourseError(f"There is no lesson {name!r}; choose from {choices}.")
        chosen.update(found)
    return tuple(sorted(chosen)) or known


def repository(root: Path | None = None) -> str | None:
    """The repository's address, from its one place: `project.urls` in pyproject.toml; None while there is none."""
    path = (root or home()) / "pyproject.toml"
    if not path.exists():
        return None
    urls = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("urls", {})
    address: str = urls.get("Repository", "")
    return address.rstrip("/").removesuffix(".git") or None
