"""The data file of a quiz, validated: whoever writes questions gets a sentence, not a stack trace.

A file is TOML: a ``title``, for each question a table ``[[question]]`` with ``id`` and ``text``, and for each of its
choices a table ``[[question.choice]]`` with ``text``, ``why`` (the explanation, for right and wrong ones alike) and
``right = true`` where it is. Letters follow the order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError

LETTERS = "abcdefgh"


@dataclass(frozen=True)
class Choice:
    """A possible answer and why it is right or wrong."""

    letter: str
    text: str
    why: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A question with its choices; ``id`` keeps answers apart when the order changes."""

    id: str
    text: str
    choices: tuple[Choice, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the choices."""
        return tuple(choice.letter for choice in self.choices)

    @property
    def right(self) -> str:
        """The letters of the right choices, in order."""
        return "".join(choice.letter for choice in self.choices if choice.right)

    @property
    def several(self) -> bool:
        """Whether more than one choice is right."""
        return len(self.right) > 1


@dataclass(frozen=True)
class Questions:
    """A quiz as its file gives it."""

    title: str
    questions: tuple[Question, ...]


def read(path: Path) -> Questions:
    """The questions of a file. Raises CourseError that names the file, the question and what is wrong."""
    name = path.name
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"There is no quiz file {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{name} is not valid TOML: {error}.") from None
    _only(content, {"title", "question"}, name)
    tables = content.get("question")
    if not isinstance(tables, list) or not tables:
        raise CourseError(f"{name} has no questions; begin each with [[question]].")
    questions = tuple(_question(table, f"{name}, question {i}") for i, table in enumerate(tables, 1))
    ids = [question.id for question in questions]
    for id in ids:
        if ids.count(id) > 1:
            raise CourseError(f"{name} has {ids.count(id)} questions with the id {id!r}; give each its own.")
    return Questions(_text(content, "title", name), questions)


def _question(table: Any, where: str) -> Question:
    if not isinstance(table, Mapping):
        raise CourseError(f"{where} is not a table; begin each with [[question]].")
    _only(table, {"id", "text", "choice"}, where)
    id, text, given = _text(table, "id", where), _text(table, "text", where), table.get("choice")
    if not isinstance(given, list) or not 2 <= len(given) <= len(LETTERS):
        raise CourseError(f"{where} ({id}) needs 2 to {len(LETTERS)} choices; begin each with [[question.choice]].")
    choices = tuple(
        _choice(c, letter, f"{where} ({id}), choice {letter}") for c, letter in zip(given, LETTERS, strict=False)
    )
    if not 1 <= sum(choice.right for choice in choices) < len(choices):
        raise CourseError(f"{where} ({id}) needs a right choice and a wrong one; mark right ones with right = true.")
    return Question(id, text, choices)


def _choice(table: Any, letter: str, where: str) -> Choice:
    if not isinstance(table, Mapping):
        raise CourseError(f"{where} is not a table; begin each with [[question.choice]].")
    _only(table, {"text", "why", "right"}, where)
    right = table.get("right", False)
    if not isinstance(right, bool):
        raise CourseError(f"{where}: right must be true or false, not {right!r}.")
    return Choice(letter, _text(table, "text", where), _text(table, "why", where), right)


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise CourseError(f"{where} has no {key!r}; it must be some text.")
    return " ".join(value.split())


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise CourseError(f"{where} has an unknown entry {key!r}; there may be {', '.join(sorted(known))}.")
