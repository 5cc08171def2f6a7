"""What a strategy gives back: an answer, and what it took to get it.

A strategy is a function ``strategy(writer, template, records, *, examples=(), decoding=None, ...)`` that answers every
record. It gets all records at once because a model that answers 32 prompts together is many times faster than one that
answers them in turn; each record still has an answer of its own, with its own price:

    tokens_in     tokens of every different prompt that was sent (sampled twice, it is read once)
    tokens_out    tokens written, in all samples and attempts
    calls         texts that were written or scored

Left out: time, which depends on the batch; `evaluate` measures it for all records together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.generate import Completion, Decoding
from course_lib.prompts import Template, few_shot

if TYPE_CHECKING:
    from course_lib.generate import Writer

Record = Mapping[str, Any]
Examples = Sequence[Record] | Callable[[Record], Sequence[Record]]  # the same for all, or found for each record
Strategy = Callable[..., "list[Answer]"]


@dataclass(frozen=True)
class Answer:
    """``text`` is the answer ("" where none could be read), ``written`` all that the model wrote for it.

    ``detail`` has what only one strategy knows: votes, passages, states; and ``examples``, the number shown.
    """

    text: str
    written: str
    tokens_in: int
    tokens_out: int
    calls: int
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A prompt as it is sent: the text and how many examples are in it."""

    text: str
    examples: int


def build(writer: Writer, template: Template, records: Sequence[Record], examples: Examples, room: int) -> list[Shown]:
    """The prompt of each record, with as many examples as leave ``room`` for the answer; the first ones go first.

    Raises CourseError when a record does not fit even without examples.
    """
    return [_fitting(writer, template, record, shots(examples, record), room) for record in records]


def shots(examples: Examples, record: Record) -> Sequence[Record]:
    """The examples that belong to a record."""
    return examples(record) if callable(examples) else examples


def settle(template: Template, decoding: Decoding | None) -> Decoding:
    """The decoding to use: greedy and as long as the template says, unless told; it stops where the template says."""
    chosen = decoding or Decoding(max_new=template.max_new)
    return chosen if chosen.stop else replace(chosen, stop=template.stop)


def answers_of(template: Template, shown: Sequence[Shown], written: Sequence[Sequence[Completion]]) -> list[Answer]:
    """Answers from the first completion of each prompt."""
    return [
        Answer(
            template.read(done[0].text), done[0].text, done[0].prompt_tokens, len(done[0].ids), 1,
            {"examples": one.examples, "finish": done[0].finish},
        )
        for one, done in zip(shown, written, strict=True)
    ]  # fmt: skip


def same(first: str, second: str) -> bool:
    """Whether two answers say the same: without regard to case, spaces, full stops and marks inside numbers."""
    return plain(first) == plain(second)


def plain(text: str) -> str:
    """An answer in its plainest form: "$1,200." is "1200".

    >>> plain(" The  Red Heron. ")
    'the red heron'
    """
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.strip().lower())
    return " ".join(text.removesuffix(".").lstrip("$").split())


def _fitting(writer: Writer, template: Template, record: Record, examples: Sequence[Record], room: int) -> Shown:
    for first in range(len(examples) + 1):
        text = few_shot(template, examples[first:], record)
        if (tokens := writer.tokens(text)) + room <= writer.positions:
            return Shown(text, len(examples) - first)
    raise CourseError(
        f"The prompt has {tokens} tokens and the answer may have {room}, more than the {writer.positions} positions of"
        " the model: shorten the record or the template, or lower max_new."
    )
