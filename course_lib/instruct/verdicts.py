"""What a judge said of two systems, how much of it the position decided, and whether an exact metric agrees.

Every pair of answers has two verdicts, one for each order (`judge.pairwise`). They are one piece of evidence, not two:
intervals count items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from course_lib.errors import CourseError
from course_lib.instruct.asking import Share

How = Literal["labels", "written", "likelihood"]
Choice = Literal["first", "second", "tie", "unclear"]  # first and second are the systems, not the positions


@dataclass(frozen=True)
class Pair:
    """Two answers to one item and whose was preferred: with the first system's in front, and with the second's.

    margin: how much likelier the first system's answer was to be chosen (difference of log-probabilities, mean of the
    two orders), where the judge has likelihoods. Equal answers are not shown to the judge: a tie in both orders.
    """

    first: str
    second: str
    original: Choice
    swapped: Choice
    margin: float | None = None

    @property
    def asked(self) -> bool:
        """Whether there was anything to choose."""
        return self.first.strip() != self.second.strip()

    @property
    def winner(self) -> Choice:
        """The system preferred in both orders, else a tie."""
        return self.original if self.original == self.swapped != "unclear" else "tie"

    @property
    def flipped(self) -> bool:
        """Whether the position decided: each order has another winner."""
        return {self.original, self.swapped} == {"first", "second"}

    @property
    def in_front(self) -> list[bool]:
        """For each verdict that names an answer, whether it is the one that stood first."""
        front: tuple[tuple[Choice, Choice], ...] = ((self.original, "first"), (self.swapped, "second"))
        return [verdict == leading for verdict, leading in front if verdict in ("first", "second")]


@dataclass(frozen=True)
class Agreement:
    """A judge against an exact metric, on the items where the metric tells the two answers apart (``n``).

    consistent: of the verdicts that do not depend on the order, those that agree. every: of all verdicts, two to an
    item; ties and what could not be read agree with nothing. averaged: of the preferences averaged over both orders,
    where there are likelihoods. kappa: Cohen's, of winners and ties: 0 is what both would reach by chance, 1 is the
    metric itself; None where chance alone agrees always. baselines: judges that look at no meaning.
    """

    n: int
    consistent: Share | None
    every: Share | None
    averaged: Share | None
    kappa: float | None
    baselines: dict[str, Share]

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a table: judge, agrees, low, high, n."""
        own = {
            "the judge, where both orders say the same": self.consistent,
            "the judge, every verdict": self.every,
            "the judge, both orders averaged": self.averaged,
        }
        found = {name: share for name, share in {**own, **self.baselines}.items() if share}
        return [
            {"judge": name, "agrees": share.value, "low": share.low, "high": share.high, "n": share.n}
            for name, share in found.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"n": self.n, "kappa": self.kappa, "rows": self.rows()}


@dataclass(frozen=True)
class Verdicts:
    """What a judge says of two systems on the same items."""

    how: How
    pairs: tuple[Pair, ...]

    @property
    def n(self) -> int:
        """How many items."""
        return len(self.pairs)

    @cached_property
    def asked(self) -> tuple[Pair, ...]:
        """The pairs of different answers: those that the judge saw."""
        return tuple(pair for pair in self.pairs if pair.asked)

    def wins(self, system: Literal["first", "second"]) -> int:
        """Items that this system wins in both orders."""
        return sum(pair.winner == system for pair in self.pairs)

    @property
    def inconsistent(self) -> int:
        """Items on which the position decided."""
        return sum(pair.flipped for pair in self.pairs)

    @property
    def unclear(self) -> int:
        """Replies, two to an item, that could not be read."""
        return sum((pair.original, pair.swapped).count("unclear") for pair in self.pairs)

    @cached_property
    def consistency(self) -> Share | None:
        """The share of the pairs judged that get the same verdict in both orders."""
        return Share.of([float(pair.original == pair.swapped != "unclear") for pair in self.asked])

    @cached_property
    def position_bias(self) -> Share | None:
        """The share of verdicts for the answer that stood first: 0.5 is no bias, 1 always the first, 0 the last."""
        return Share.of([sum(pair.in_front) / len(pair.in_front) for pair in self.asked if pair.in_front])

    @cached_property
    def win_rate(self) -> Share | None:
        """How often the first system wins, ties and inconsistent items counted half."""
        worth = {"first": 1.0, "second": 0.0, "tie": 0.5}
        return Share.of([worth[pair.winner] for pair in self.pairs])

    def agreement(self, first_scores: Sequence[float], second_scores: Sequence[float]) -> Agreement:
        """Compare with the exact metric's scores of both systems on the same items.

        Raises CourseError when their number is another than that of the items.
        """
        if not len(first_scores) == len(second_scores) == self.n:
            raise CourseError(
                f"There are {self.n} items, but {len(first_scores)} and {len(second_scores)} scores: score each item."
            )
        gains = [one - other for one, other in zip(first_scores, second_scores, strict=True)]
        apart = [(pair, gain > 0) for pair, gain in zip(self.pairs, gains, strict=True) if abs(gain) > 1e-9]
        found = [(pair, "first" if better else "second") for pair, better in apart]
        return Agreement(
            n=len(found),
            consistent=Share.of([float(pair.winner == best) for pair, best in found if pair.winner != "tie"]),
            every=Share.of([((pair.original == best) + (pair.swapped == best)) / 2 for pair, best in found]),
            averaged=Share.of([_sided(pair.margin, better) for pair, better in apart if pair.margin is not None]),
            kappa=cohens_kappa([pair.winner for pair, _ in found], [best for _, best in found]),
            baselines=_baselines(apart),
        )

    def to_json(self) -> dict[str, Any]:
        """The counts, the shares and every pair as plain values."""
        shares = {name: getattr(self, name) for name in ("win_rate", "consistency", "position_bias")}
        return {
            "how": self.how,
            "n": self.n,
            "equal": self.n - len(self.asked),
            "wins": [self.wins("first"), self.wins("second")],
            "inconsistent": self.inconsistent,
            "unclear": self.unclear,
            **{name: share and share.to_json() for name, share in shares.items()},
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    def __str__(self) -> str:
        return (
            f"{self.wins('first')} : {self.wins('second')} of {self.n} items ({self.n - len(self.asked)} equal answers,"
            f" {self.inconsistent} decided by position, {self.unclear} replies unclear);"
            f" first position preferred: {self.position_bias or 'no verdict'}"
        )


def cohens_kappa(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Agreement beyond chance, ``(observed - expected) / (1 - expected)``; None where chance leaves no room.

    ``expected`` is the agreement of two raters with these shares of labels who do not look (Cohen 1960).
    """
    n = len(one)
    counts, others = Counter(one), Counter(other)
    expected = sum(counts[label] * others[label] for label in counts) / n**2 if n else 1.0
    if expected == 1:
        return None
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / n
    return (observed - expected) / (1 - expected)


def _sided(lead: float, first_is_better: bool) -> float:
    """1 where the lead is on the better side, 0 where it is on the other, 0.5 without a lead."""
    return 0.5 if lead == 0 else float((lead > 0) == first_is_better)


def _baselines(apart: Sequence[tuple[Pair, bool]]) -> dict[str, Share]:
    firsts = [float(better) for _, better in apart]
    if not firsts:
        return {}
    longer = [_sided(len(pair.first.strip()) - len(pair.second.strip()), better) for pair, better in apart]
    system = firsts if 2 * sum(firsts) >= len(firsts) else [1 - better for better in firsts]
    n = len(firsts)
    found = {
        "the longer answer": Share.of(longer),
        "always the same system, the better one": Share.of(system),
        "always the position in front": Share(0.5, 0.5, 0.5, n),  # right in exactly one of the two orders
        "a coin": Share.of([0.0, 1.0] * (n // 2) + [0.5] * (n % 2)),  # its interval: what luck alone may reach
    }
    return {name: share for name, share in found.items() if share}
