"""How good a strategy is and what it costs: accuracy with its interval, tokens, calls and seconds per answer.

Ten questions prove nothing: of 10 right answers out of 10, a 95% interval still reaches down to 72%. So every figure
comes with its interval, and two strategies are compared on the same records, by those that only one of them gets right
(`difference`). Left out: judging answers by another model; the answers here are right or wrong by comparing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.metrics.classification import paired_test, wilson_interval
from course_lib.prompting.answer import Answer, Record, Strategy, same
from course_lib.prompts import Task, Template

if TYPE_CHECKING:
    from course_lib.generate import Writer

Judge = Callable[[Record, Answer], bool]


@dataclass(frozen=True)
class Measured:
    """A strategy on some records. Tokens, calls and seconds are means per answer."""

    name: str
    right: tuple[bool, ...]
    in_form: tuple[bool, ...]  # whether there was an answer at all, and one of the choices where there are choices
    answers: tuple[Answer, ...]
    total_seconds: float

    @property
    def n(self) -> int:
        """How many records."""
        return len(self.right)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return sum(self.right) / self.n

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy (Wilson)."""
        return wilson_interval(sum(self.right), self.n)

    @property
    def form(self) -> float:
        """The share of answers in the form that was asked for, right or wrong."""
        return sum(self.in_form) / self.n

    @property
    def tokens_in(self) -> float:
        """Tokens read per answer."""
        return sum(answer.tokens_in for answer in self.answers) / self.n

    @property
    def tokens_out(self) -> float:
        """Tokens written per answer."""
        return sum(answer.tokens_out for answer in self.answers) / self.n

    @property
    def calls(self) -> float:
        """Texts written or scored per answer."""
        return sum(answer.calls for answer in self.answers) / self.n

    @property
    def seconds(self) -> float:
        """Seconds per answer, all records being answered together on this machine."""
        return self.total_seconds / self.n

    def row(self) -> dict[str, str | float]:
        """A row of a table: shares between 0 and 1, means per answer."""
        low, high = self.interval
        return {
            "strategy": self.name, "accuracy": self.accuracy, "low": low, "high": high, "in form": self.form,
            "tokens in": self.tokens_in, "tokens out": self.tokens_out, "calls": self.calls, "seconds": self.seconds,
        }  # fmt: skip

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.name}: {self.accuracy:.0%} right ({low:.0%} to {high:.0%}, n = {self.n}),"
            f" {self.tokens_in:.0f} tokens in, {self.tokens_out:.0f} out,"
            f" {self.calls:.3g} calls, {self.seconds:.2g} s per answer"
        )


@dataclass(frozen=True)
class Difference:
    """How much better the first is (points of accuracy, -1 to 1), and how likely that is among equals (McNemar)."""

    points: float
    p: float


def measure(
    strategy: Strategy,
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    name: str = "",
    judge: Judge | None = None,
    form: Judge | None = None,
    **options: Any,
) -> Measured:
    """Ask ``strategy`` about every record (``options`` go to it) and judge the answers.

    Without a ``judge`` an answer is right when it says the same as the record's own (`answer.same`); without ``form``
    it is in form when it is one of the choices, or where there are none, when there is one. Raises CourseError when
    there are no records.
    """
    if not records:
        raise CourseError("There is nothing to measure: give at least one record.")
    began = time.perf_counter()
    answers = strategy(writer, template, records, **options)
    took = time.perf_counter() - began
    decide = judge or (lambda record, answer: same(answer.text, template.answer(record)))
    pairs = list(zip(records, answers, strict=True))
    right = tuple(bool(decide(record, answer)) for record, answer in pairs)
    formed = form or (lambda record, answer: _in_form(template, record, answer))
    in_form = tuple(bool(formed(record, answer)) for record, answer in pairs)
    return Measured(name or strategy.__name__, right, in_form, tuple(answers), took)


def across_wordings(
    strategy: Strategy, writer: Writer, task: Task, records: Sequence[Record], **options: Any
) -> dict[str, Measured]:
    """The same strategy with every wording of a task: how far the wording alone moves the accuracy."""
    return {
        name: measure(strategy, writer, template, records, name=name, **options)
        for name, template in task.wordings.items()
    }


def difference(first: Measured, second: Measured) -> Difference:
    """Compare two strategies on the same records. Raises CourseError when they were measured on different numbers."""
    if first.n != second.n:
        raise CourseError(f"{first.name} has {first.n} records and {second.name} {second.n}: measure both on the same.")
    truth = [1] * first.n
    p = paired_test(truth, [int(one) for one in first.right], [int(one) for one in second.right])
    return Difference(first.accuracy - second.accuracy, p)


def _in_form(template: Template, record: Mapping[str, Any], answer: Answer) -> bool:
    if not answer.text:
        return False
    if template.choices or template.choices_field:
        return any(same(answer.text, option) for option in template.options(record))
    return True
