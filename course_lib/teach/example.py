"""One training example in whichever form it comes: what it says, what it is known by, and itself with another answer.

Instruction and output, prompt and completion, a list of chat messages: each is a conversation whose last turn is the
answer that a model will learn. An example is known by the hash of its turns, not by its place or its form: sorted anew,
converted or mixed with others, it is still the same example. Two with equal turns are one for this purpose.

Left out: answers in the middle of a conversation, which are shown but cannot be changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.errors import CourseError

# The fields of question and answer, in the order in which they are looked for.
FORMS = (("instruction", "output"), ("instruction", "response"), ("prompt", "completion"), ("question", "answer"))
HEADINGS = {"system": "System", "user": "User", "assistant": "Assistant"}


@dataclasses.dataclass(frozen=True)
class Example:
    """An example. ``turns`` are (role, text), the last one the answer; ``parts`` are (heading, text) before it."""

    record: Any
    turns: tuple[tuple[str, str], ...]
    parts: tuple[tuple[str, str], ...]

    @property
    def answer(self) -> str:
        """What the model should learn to say."""
        return self.turns[-1][1]

    @property
    def key(self) -> str:
        """The hash of the turns, 20 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.turns).encode()).hexdigest()[:20]

    def with_answer(self, text: str) -> Any:
        """The record in its own form with this answer; the record itself stays as it is."""
        return _with_answer(self.record, text)

    def __str__(self) -> str:
        return "\n\n".join(f"{heading}:\n{text}" for heading, text in (*self.parts, ("Answer", self.answer)))


def read(record: Any, name: str) -> Example:
    """The example in a record: a mapping, a list of messages, or an object with ``dicts()`` such as a Conversation.

    ``name`` says in the CourseError of a record that is no example which one it is.
    """
    if callable(getattr(record, "dicts", None)):
        return _of_messages(record, record.dicts(), name)
    if isinstance(record, Mapping):
        if "messages" in record:
            return _of_messages(record, record["messages"], name)
        for question, answer in FORMS:
            if question in record and answer in record:
                return _of_fields(record, question, answer, name)
        fields = ", ".join(map(str, record)) or "no fields"
        raise CourseError(f"{name} has {fields}; an example has instruction and output, prompt and completion, or"
                          " messages.")  # fmt: skip
    return _of_messages(record, record, name)


def _of_fields(record: Mapping[str, Any], question: str, answer: str, name: str) -> Example:
    asked, given = _text(record, question, name), _text(record, answer, name)
    more = _text(record, "input", name) if record.get("input") else ""
    turns, parts = [], []
    if record.get("system"):
        turns.append(("system", _text(record, "system", name)))
    for pair in record.get("history") or ():
        if isinstance(pair, str) or not isinstance(pair, Sequence) or [type(text) for text in pair] != [str, str]:
            raise CourseError(f"{name}: the field 'history' must be a list of pairs of texts (question, answer).")
        turns += [("user", pair[0]), ("assistant", pair[1])]
    parts = [*((HEADINGS[role], text) for role, text in turns), (question.capitalize(), asked)]
    parts += [("Input", more)] if more else []
    turns += [("user", f"{asked}\n\n{more}" if more else asked), ("assistant", given)]
    return Example(record, tuple(turns), tuple(parts))


def _of_messages(record: Any, messages: Any, name: str) -> Example:
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise CourseError(f"{name} is no example; it must be a record with fields or a list of messages.")
    turns = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise CourseError(f"{name}, message {number} must have the fields role and content.")
        turns.append((_text(message, "role", f"{name}, message {number}"),
                      _text(message, "content", f"{name}, message {number}")))  # fmt: skip
    if turns[-1][0] != "assistant":
        raise CourseError(f"{name} ends with a message of {turns[-1][0]!r}; the last one must be the assistant's.")
    return Example(record, tuple(turns), tuple((HEADINGS.get(role, role), text) for role, text in turns[:-1]))


def _with_answer(record: Any, text: str) -> Any:
    if isinstance(record, Mapping) and "messages" in record:
        return {**record, "messages": _with_answer(record["messages"], text)}
    if isinstance(record, Mapping):
        field = next(answer for question, answer in FORMS if question in record and answer in record)
        return {**record, field: text}
    if dataclasses.is_dataclass(record) and not isinstance(record, type):  # a Conversation of Messages
        turns: Any = record.messages  # type: ignore[attr-defined]
        return dataclasses.replace(record, messages=(*turns[:-1], dataclasses.replace(turns[-1], content=text)))
    return [*record[:-1], {**record[-1], "content": text}]


def _text(record: Mapping[str, Any], field: str, name: str) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        raise CourseError(f"{name}: the field {field!r} must be a text, not {type(value).__name__}.")
    return value
