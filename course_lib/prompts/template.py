"""One wording of one task: a prompt to be continued, and the continuation that would be right.

    Review: {{ text }}
    Stars: ||| {{ stars }}

What stands before the mark ``|||`` is given to the model, what stands behind it is what it should write. A space around
the mark goes to the answer, whatever side it was typed on: tokens of words begin with their space, and a prompt that
ends in one asks for a token that hardly ever follows (the model would have to begin a word in its middle). At the
beginning of a line there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from course_lib.errors import CourseError
from course_lib.prompts.sandbox import Compiled, Record, compiled

MARK = "|||"


class Example(NamedTuple):
    """A record as a model meets it: ``prompt`` is given, ``target`` follows (with the space in front of it)."""

    prompt: str
    target: str


@dataclass(frozen=True)
class Template:
    """A wording and how to read what a model answers to it.

    ``between`` separates examples; ``stop`` ends an answer; ``answer_after`` is the word behind which the answer proper
    stands when steps come first; ``max_new`` is how many tokens an answer may have; ``choices`` are the possible
    answers, or ``choices_field`` the field of a record that has them (a list, or a text with commas).

    Raises CourseError when the text is not valid or has no mark.
    """

    name: str
    text: str
    between: str = "\n\n"
    stop: tuple[str, ...] = ("\n",)
    answer_after: str = ""
    max_new: int = 24
    choices: tuple[str, ...] = ()
    choices_field: str = ""

    def __post_init__(self) -> None:
        if self.text.count(MARK) != 1:
            raise CourseError(
                f"The template {self.name!r} needs the mark {MARK} exactly once, between what the model is given and"
                " what it should write."
            )
        if self.max_new < 1:
            raise CourseError(f"max_new must be at least 1, not {self.max_new}.")
        self._sides()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a record that the prompt uses."""
        return self._sides()[0].fields

    @property
    def target_fields(self) -> tuple[str, ...]:
        """The fields that are asked for: those that only the part behind the mark uses."""
        return tuple(name for name in self._sides()[1].fields if name not in self.fields)

    def prompt(self, record: Record) -> str:
        """The text to continue; the fields that are asked for need not be in the record.

        Raises CourseError naming the field that is missing and those there are.
        """
        return self._sides()[0].render(record).rstrip(" ")

    def render(self, record: Record) -> Example:
        """Prompt and right continuation; ``prompt + target`` is the text as it would stand in a book."""
        return Example(self.prompt(record), self.target(record))

    def target(self, record: Record) -> str:
        """The right continuation alone; the fields that only the prompt uses need not be in the record."""
        before, after = self.text.split(MARK)
        space = (before.endswith(" ") or after.startswith(" ")) and not before.rstrip(" ").endswith("\n")
        return " " * space + self._sides()[1].render(record).strip(" ")

    def read(self, text: str) -> str:
        """The answer in what a model wrote: its first line (behind ``answer_after``), without full stop; "" if none."""
        if self.answer_after:
            _, found, text = text.partition(self.answer_after)
            if not found:
                return ""
        lines = text.strip().splitlines()
        return lines[0].strip().removesuffix(".").strip() if lines else ""

    def answer(self, record: Record) -> str:
        """The right answer of a record, read as a model's would be."""
        return self.read(self.target(record))

    def options(self, record: Record) -> tuple[str, ...]:
        """The possible answers of a record. Raises CourseError when the template knows none."""
        if self.choices:
            return self.choices
        found = record.get(self.choices_field) if self.choices_field else None
        if not found:
            raise CourseError(f"The template {self.name!r} has no choices: set choices or choices_field.")
        return tuple(one.strip() for one in (found.split(",") if isinstance(found, str) else found))

    def continuations(self, record: Record) -> tuple[str, ...]:
        """The targets of all options: what a model's likelihood is asked about."""
        if len(self.target_fields) != 1:
            raise CourseError(
                f"The template {self.name!r} must ask for one field to choose it, not {self.target_fields}."
            )
        (field,) = self.target_fields
        return tuple(self.target({**record, field: option}) for option in self.options(record))

    def _sides(self) -> tuple[Compiled, Compiled]:
        before, after = self.text.split(MARK)
        return compiled(before), compiled(after)


def few_shot(template: Template, examples: Sequence[Mapping[str, Any]], record: Record) -> str:
    """The prompt of ``record`` behind the ``examples``, complete and in the same wording, in the order given."""
    shown = ("".join(template.render(example)) for example in examples)
    return template.between.join([*shown, template.prompt(record)])
