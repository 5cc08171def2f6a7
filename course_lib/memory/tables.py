"""The two tables of facts, read once, and what to say when a name is in neither."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError

FEW = 20  # names that a sentence can hold


def read(name: str) -> dict[str, dict[str, Any]]:
    """One of the course's TOML tables, by the name of its file: an entry of settings under each name."""
    with asset(name).open("rb") as file:
        return tomllib.load(file)


def unknown(kind: str, name: str, known: Collection[str]) -> CourseError:
    """The sentence for a name that is in no table: what begins like it, or else what comes near."""
    wanted = name.strip().lower()
    begins = [one for one in known if wanted and one.startswith(wanted)]
    near = (begins or difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.55))[:3]
    all_of_few = f"choose one of {', '.join(known)}; " if len(known) <= FEW else ""
    advice = f"did you mean {' or '.join(near)}? " if near else all_of_few
    return CourseError(f"There is no {kind} {name!r}; {advice}`course plan --list` shows them all.")
