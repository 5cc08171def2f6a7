"""What a learner has done, kept in one small file that no mishap can take away.

The file is replaced in one step (written beside, flushed, renamed), so a crash leaves the old one or the new one. Each
change reads the file again first, under a lock where the system has one, so two notebooks do not overwrite each other.
A file that cannot be read is moved aside, never overwritten. And since keeping score must not stop a lesson, a folder
that cannot be written to costs little: progress then lasts as long as the kernel, and the learner is told.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def home() -> Path:
    """The learner's own folder: ``COURSE_HOME``, or ``.course`` in the home folder."""
    named = os.environ.get("COURSE_HOME")
    if named:
        return Path(os.path.expanduser(named))
    user = os.path.expanduser("~")
    return Path(user if user != "~" else tempfile.gettempdir()) / ".course"


class Progress:
    """The progress file of one folder. Sections are ``"exercises"`` and ``"quiz"``; keys and records are theirs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.json"
        self.trouble = ""  # a sentence, when the last change could not be written or a file was set aside
        self._unsaved: dict[str, dict[str, Record]] = {}

    def read(self, section: str, key: str) -> Record:
        """What is known under this key; empty when nothing is."""
        try:
            kept = self._everything().get(section, {}).get(key, {})
        except OSError as error:
            self.trouble = f"Progress could not be read: {error.strerror or error} ({self.path})."
            kept = self._unsaved.get(section, {}).get(key, {})
        return kept if isinstance(kept, dict) else {}

    def update(self, section: str, key: str, change: Callable[[Record], Record]) -> Record:
        """Replace a record by ``change(record)``, and return the new one. Never raises."""
        self.trouble = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(self.path.with_suffix(".lock")):
                return self._write(self._everything(), section, key, change)
        except OSError as error:
            record = change(dict(self.read(section, key)))
            self._unsaved.setdefault(section, {})[key] = record
            self.trouble = f"Progress is kept only until this kernel stops: {error.strerror or error} ({self.path})."
            return record

    def _write(self, everything: dict[str, Any], section: str, key: str, change: Callable[[Record], Record]) -> Record:
        kept = everything.setdefault(section, {})
        known = kept.get(key)
        kept[key] = record = change(dict(known) if isinstance(known, dict) else {})
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".progress-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(everything, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._unsaved.clear()
        return record

    def _everything(self) -> dict[str, Any]:
        """The file's content with what could not be written yet on top."""
        content = self._content()
        for section, records in self._unsaved.items():
            content[section] = {**content.get(section, {}), **records}
        return content

    def _content(self) -> dict[str, Any]:
        """What the file says. Raises OSError rather than let a file be overwritten that could not be read."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):  # not JSON, or not text
            content = None
        if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
            self._set_aside()
            return {}
        return content

    def _set_aside(self) -> None:
        """Give a damaged file a name of its own, so that nothing of it is lost."""
        number = 1
        while (aside := self.path.with_name(f"progress.damaged-{number}.json")).exists():
            number += 1
        self.path.rename(aside)
        self.trouble = f"The progress file was damaged; it is kept as {aside.name} and a new one was begun."


def progress() -> Progress:
    """The progress of the learner's folder as it is set now."""
    return _open(home())


@cache
def _open(folder: Path) -> Progress:
    """One object for each folder, because it remembers what could not be written."""
    return Progress(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Only one process at a time, where the system can say so (not on Windows: the rename alone must do)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lesson_key(lesson: str | int) -> str:
    """The two digits that name a lesson, from ``3``, ``"3"``, ``"03"`` or ``"03_classifier_ladder"``."""
    digits = re.match(r"\d{1,2}(?!\d)", str(lesson))
    return f"{int(digits[0]):02d}" if digits else str(lesson)


def count(record: Record, key: str) -> int:
    """A number of a record; 0 where it is missing or someone wrote something else there."""
    value = record.get(key)
    return value if isinstance(value, int) and value > 0 else 0
