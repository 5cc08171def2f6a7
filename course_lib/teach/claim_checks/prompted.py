"""The evidence of lesson 02: which questions were answered right, asked in which way, and at what price.

Every way of asking has a name of the form "what/how": `shots/8` are made-up labels with eight examples,
`facts/retrieved` facts with a passage that was searched. Ways of the same group answered the same questions, in the
same order, so any two of them can be compared by the paired test. Accuracies are computed here from the single answers,
never written down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.metrics.classification import paired_test, wilson_interval

RECORDING = "recordings/prompting.json"
FEWEST = 100  # questions: an interval of some 20 points


@dataclass(frozen=True)
class Asked:
    """One way of asking: right or not for each question, in the asked form or not, and means per answer."""

    right: tuple[bool, ...]
    in_form: tuple[bool, ...] = ()
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    calls: float = 1.0

    @classmethod
    def of(cls, measured: Any) -> Asked:
        """From a measurement (`prompting.Measured`)."""
        m = measured
        return cls(m.right, m.in_form, m.tokens_in, m.tokens_out, m.calls)

    def to_json(self) -> dict[str, Any]:
        """As recorded: answers as digits."""
        digits = {"right": _digits(self.right), "in_form": _digits(self.in_form)}
        means = {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "calls": self.calls}
        return digits | {name: round(value, 3) for name, value in means.items()}

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return sum(self.right) / len(self.right)

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% interval (Wilson)."""
        return wilson_interval(sum(self.right), len(self.right))

    @property
    def form(self) -> float:
        """The share of answers in the form asked for."""
        return sum(self.in_form) / len(self.in_form)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.accuracy:.0%} ({100 * low:.0f} to {100 * high:.0f})"


@dataclass(frozen=True)
class Prompted:
    """All that was asked. ``models`` names the small and the large one; ``numbers`` are figures that are no answers."""

    asked: Mapping[str, Asked]
    models: tuple[str, str] = ("small", "large")
    numbers: Mapping[str, float] = field(default_factory=dict)
    outside: tuple[str, ...] = ()  # kinds of models that are in none of the three families
    source: str = "this run"

    @classmethod
    def recorded(cls, name: str = RECORDING) -> Prompted:
        """From a recording among the course's files; CourseError when it is missing or no recording."""
        try:
            told = json.loads(asset(name).read_text(encoding="utf-8"))
            asked = {key: _asked(entry) for key, entry in told["asked"].items()}
            small, large = told["models"]
            source = f"recorded on {told['recorded']['date']}"
            return cls(asked, (small, large), told["numbers"], tuple(told["outside"]), source)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as problem:
            raise CourseError(
                f"assets/{name} is no recording of lesson 02 ({problem!r}); record it again."
            ) from problem

    def group(self, what: str) -> dict[str, Asked]:
        """The ways of one group by the end of their names, in order."""
        return {key.removeprefix(f"{what}/"): one for key, one in self.asked.items() if key.startswith(f"{what}/")}

    def lacking(self, *names: str) -> list[str]:
        """Which of these were not asked, or about too few questions to decide anything."""
        gone = [name for name in names if name not in self.asked]
        few = [name for name in names if name in self.asked and self.size(name) < FEWEST]
        return gone + [f"{name} with at least {FEWEST} questions" for name in few]

    def p(self, first: str, second: str, looks: int = 1) -> float:
        """The paired test of two ways, times the number of ``looks`` that picked them (Bonferroni)."""
        one, other = self.asked[first].right, self.asked[second].right
        return min(1.0, looks * paired_test([1] * len(one), [int(x) for x in one], [int(x) for x in other]))

    def gain(self, first: str, second: str) -> float:
        """How much more accurate the first way is, as a share."""
        return self.asked[first].accuracy - self.asked[second].accuracy

    def beats(self, first: str, second: str, looks: int = 1) -> bool:
        """Whether the first is shown to be right more often."""
        return self.gain(first, second) > 0 and self.p(first, second, looks) < 0.05

    def size(self, name: str) -> int:
        """How many questions."""
        return len(self.asked[name].right)


def _asked(entry: Mapping[str, Any]) -> Asked:
    right, formed = (tuple(digit == "1" for digit in entry[key]) for key in ("right", "in_form"))
    if not right:
        raise ValueError("a way of asking without questions")
    return Asked(right, formed, entry["tokens_in"], entry["tokens_out"], entry["calls"])


def _digits(values: tuple[bool, ...]) -> str:
    return "".join("01"[value] for value in values)
