"""The tasks that come with the course, each in several wordings (assets/prompts/<kind>.toml).

A file belongs to one kind of record and has a table per task; the first wording, ``main``, is the layout in which a
base model of the course has met that kind most often. Wordings are texts, or tables where they differ from their task
in more than the text:

    [rating]
    about = "How many stars the writer gave"
    choices = ["1", "2", "3", "4", "5"]

    [rating.wordings]
    main = "Review: {{ text }}\\nStars: ||| {{ stars }}"
    short = { text = "{{ text }} ||| {{ stars }}", between = "\\n" }
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.prompts.template import Template


@dataclass(frozen=True)
class Task:
    """Something that can be asked of one kind of record; ``wordings`` by name, the usual one first."""

    name: str  # "reviews/rating"
    about: str
    wordings: Mapping[str, Template]

    @property
    def main(self) -> Template:
        """The usual wording."""
        return next(iter(self.wordings.values()))

    def wording(self, name: str) -> Template:
        """A wording by name. Raises CourseError naming those there are."""
        if name not in self.wordings:
            raise CourseError(f"{self.name} has no wording {name!r}; choose one of {', '.join(self.wordings)}.")
        return self.wordings[name]


@functools.cache
def tasks() -> Mapping[str, Task]:
    """Every task of the course by name, such as ``reviews/rating``."""
    found = {}
    for file in sorted(asset("prompts").glob("*.toml")):
        for name, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
            full = f"{file.stem}/{name}"
            found[full] = Task(full, entry.pop("about"), _wordings(full, entry.pop("wordings"), entry))
    return found


def task(name: str) -> Task:
    """One task. Raises CourseError naming those there are."""
    if name not in tasks():
        raise CourseError(f"There is no task {name!r}; choose one of {', '.join(tasks())}.")
    return tasks()[name]


def _wordings(task: str, entries: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Template]:
    made = {}
    for name, entry in entries.items():
        given = {**shared, **(entry if isinstance(entry, dict) else {"text": entry})}
        lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
        made[name] = Template(f"{task}/{name}", **{**given, **lists})
    return made
