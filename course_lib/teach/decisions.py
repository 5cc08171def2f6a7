"""Decisions about examples, kept in a file to which lines are only ever added.

Each decision is one line of JSON: the example's key, what was decided, the new answer if there is one, and the example
itself, so that the file can be read without the data. The last line about an example counts. Adding a line disturbs
none of the others, so two notebooks can work on one file, and what was decided before can be looked up.

A line that cannot be read (a disk that was full, a hand that slipped) is left out, after the file as it was has been
copied. A file that holds something else is refused. Where nothing can be written, decisions last as long as the kernel,
``trouble`` says so, and the next decision tries to write them all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.teach.example import Example

CHOICES = ("accept", "edit", "reject", "open")  # open: taken back


@dataclass(frozen=True)
class Decision:
    """What was decided about an example: a word of CHOICES, and with "edit" the new answer."""

    choice: str
    text: str = ""


class Decisions:
    """The decisions in a file. ``trouble`` is a sentence where something could not be read or written, else ""."""

    def __init__(self, path: Path) -> None:
        if path.suffix != ".jsonl" or path.is_dir():
            raise CourseError(f"Decisions are kept in a file whose name ends with .jsonl; {path} is none.")
        self.path, self.trouble, self.last = path, "", ""  # last: the key that was decided last
        self._known: dict[str, Decision] = {}
        self._lines: dict[str, str] = {}  # the last line about each key
        self._own: list[str] = []  # what this object decided, written or not
        self._present: set[str] = set()  # the lines of the file when it was read last
        self._stamp: Any = None
        if path.exists():
            try:
                with _locked(path):
                    self._refresh(repair=True)
            except OSError as error:
                self.trouble = f"Decisions could not be read: {error.strerror or error} ({path})."

    def all(self) -> dict[str, Decision]:
        """Every decision by key, those of other notebooks included; what was taken back is left out."""
        with contextlib.suppress(CourseError, OSError):  # `add` says so
            self._refresh()
        return {key: decision for key, decision in self._known.items() if decision.choice != "open"}

    def add(self, example: Example, decision: Decision) -> None:
        """Keep a decision at once. Never raises."""
        self.trouble = ""
        messages = [{"role": role, "content": text} for role, text in example.turns]
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = {"key": example.key, "decision": decision.choice, "text": decision.text, "at": at, "messages": messages}
        self._own.append(json.dumps(line))  # ASCII alone, so half a line is never half a character
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path):
                self._refresh(repair=True)
                self._append()
        except (OSError, CourseError) as error:
            reason = getattr(error, "strerror", None) or error
            self.trouble = f"Decisions are kept only until this kernel stops: {reason} ({self.path})."
        self._take(self._own[-1:])

    def _append(self) -> None:
        """Add this object's decisions that are not in the file; all that is known, if the file has vanished."""
        known = [] if self.path.exists() else [*self._lines.values()]
        there = self._present.union(known)
        lines = [*known, *(line for line in self._own[:-1] if line not in there), self._own[-1]]
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            torn = size and file.read(1) != b"\n"
            file.write((b"\n" if torn else b"") + "".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._present.update(lines)
        self._stamp = _stamp(self.path)

    def _refresh(self, repair: bool = False) -> None:
        """Read the file again if it has changed; what cannot be read is copied and left out, where ``repair``."""
        try:
            stamp = _stamp(self.path)
        except FileNotFoundError:
            self._present, self._stamp = set(), None
            return
        if stamp == self._stamp:
            return
        lines = self.path.read_bytes().decode("utf-8", "replace").split("\n")
        good = [line for line in lines if _parsed(line, self.path)]
        self._present = set(good)
        self._take([*good, *(line for line in self._own if line not in self._present)])
        whole = len(good) == sum(bool(line.strip()) for line in lines)
        if not whole and repair:
            self._repair(good)
        self._stamp = stamp if whole else None  # what is torn is read again, until it is repaired

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            record = json.loads(line)
            self.last = key = record["key"]
            self._known[key], self._lines[key] = Decision(record["decision"], record.get("text", "")), line

    def _repair(self, good: list[str]) -> None:
        """Copy the file as it is, then leave out what could not be read."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.damaged-{number}.jsonl")).exists():
            number += 1
        try:
            shutil.copyfile(self.path, aside)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.stem}-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in good)
            os.replace(name, self.path)
        except OSError as error:
            self.trouble = f"{self.path.name} is damaged and could not be repaired: {error.strerror or error}."
        else:
            self.trouble = f"{self.path.name} was damaged in part; as it was, it is kept as {aside.name}."


def _parsed(line: str, path: Path) -> bool:
    """Whether a line is a decision. CourseError where it is a record of another kind: the file is not ours."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict):
        return False
    if not {"key", "decision"} <= set(record):
        raise CourseError(f"{path} holds records that are no decisions; give save_to the name of another file.")
    key, choice, text = record["key"], record["decision"], record.get("text", "")
    return isinstance(key, str) and isinstance(text, str) and isinstance(choice, str) and choice in CHOICES


def _stamp(path: Path) -> tuple[int, int, int]:
    """What differs when a file has been changed."""
    now = path.stat()
    return now.st_mtime_ns, now.st_size, now.st_ino


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where system and disk can say so."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            lock = stack.enter_context(path.with_name(f".{path.name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
