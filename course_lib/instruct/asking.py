"""What all evaluations of an assistant share: a record is asked, something answers, shares are counted.

A record has an ``instruction``, perhaps an ``input`` and a ``system`` message, and the ``output`` that would be right.
Whatever has the two methods of `Asked` can be evaluated; `assistant.Assistant` is a model that has them.

Shares come as `Share`, with an interval that counts records, not verdicts: two verdicts on the same pair of answers say
little more than one, and an interval that takes them for two is too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from course_lib.errors import CourseError
from course_lib.metrics.interval import mean_interval
from course_lib.records.conversations import joined

Record = Mapping[str, Any]
Messages = Sequence[Mapping[str, str]]


@runtime_checkable
class Asked(Protocol):
    """Answers messages, and says how likely it would have given an answer."""

    def answer(
        self,
        prompts: Sequence[Messages],
        *,
        max_new: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = 32,
    ) -> list[str]:
        """One answer to each prompt; the same seed gives the same answers."""

    def scores(self, pairs: Sequence[tuple[Messages, str]]) -> list[float]:
        """The log-probability of each answer, with its end, after its prompt."""


@dataclass(frozen=True)
class Share:
    """A share between 0 and 1 of ``n`` records, with its 95% interval."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Share | None:
        """The mean of one value between 0 and 1 for each record, None where there are none."""
        if not values:
            return None
        return cls(sum(values) / len(values), *mean_interval(values), len(values))

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    def __str__(self) -> str:
        return f"{self.value:.0%} ({self.low:.0%} to {self.high:.0%}, n = {self.n})"


def parts(record: Record) -> tuple[str, str]:
    """Instruction and input ("" where there is none). Raises CourseError when the record has no instruction."""
    instruction, given = str(record.get("instruction") or ""), str(record.get("input") or "")
    if not instruction.strip():
        raise CourseError(f"A record needs an instruction, and this one has only {sorted(map(str, record))}: add it.")
    return instruction, given


def question(record: Record) -> str:
    """What the user says: the instruction, and the input below it where there is one, as in training."""
    return joined(*parts(record))


def messages(record: Record) -> list[dict[str, str]]:
    """The record as the messages before the answer."""
    system = str(record.get("system") or "").strip()
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": question(record)}]
