"""What a check is given and what it hands back.

A check never trusts a figure that somebody wrote down: evidence keeps predictions, and accuracies, intervals and
tests are computed from them here. What is measured on another kind of text than a claim speaks about says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.metrics.classification import accuracy, paired_test, wilson_interval

RECORDING = "recordings/ladder_reviews.json"


@dataclass(frozen=True)
class Finding:
    """What a check computed. ``supports`` is the verdict that the numbers allow; None: this evidence cannot tell."""

    id: str
    figure: str
    values: dict[str, float]
    supports: str | None
    sentence: str


@dataclass(frozen=True)
class Run:
    """One rung's predictions for the test texts (class indices), and what it cost in seconds where that is known."""

    rung: str
    predictions: tuple[int, ...]
    cpu_seconds: float | None = None
    wall_seconds: float | None = None


@dataclass(frozen=True)
class Evidence:
    """A climbed ladder: the rungs on all training texts, and some of them at several numbers of labels.

    ``curve[labels][rung]`` is a `Run` on the same test texts. ``film_reviews`` says that these are texts of the kind
    the talks speak about; otherwise the sentences name the difference.
    """

    truth: tuple[int, ...]
    runs: Mapping[str, Run]
    curve: Mapping[int, Mapping[str, Run]] = field(default_factory=dict)
    data: str = "the course's reviews"
    source: str = "this run"
    film_reviews: bool = False

    @classmethod
    def of(
        cls,
        results: Iterable[Any],
        truth: Sequence[int],
        label_curve: Mapping[str, Iterable[Any]] | Iterable[Any] = (),
        *,
        data: str = "the course's reviews",
        source: str = "this run",
        film_reviews: bool = False,
    ) -> Evidence:
        """Evidence from a climb: its results, the test labels, and a label curve (by rung, or as one flat list).

        Results are `RungResult`s or dicts. Raises CourseError when predictions and test labels differ in number.
        """
        labels = tuple(int(label) for label in truth)
        if not labels:
            raise CourseError("Evidence needs the labels of at least one test text.")
        runs = {run.rung: run for run in (_run(result, labels) for result in results)}
        flat = [r for row in label_curve.values() for r in row] if isinstance(label_curve, Mapping) else label_curve
        curve: dict[int, dict[str, Run]] = {}
        for result in flat:
            budget = _get(result, "labels") or _get(result, "train_records")
            if not budget:
                raise CourseError("A result of the label curve does not say how many labels it was trained on.")
            run = _run(result, labels)
            curve.setdefault(int(budget), {})[run.rung] = run
        return cls(labels, runs, dict(sorted(curve.items())), data, source, film_reviews)

    @classmethod
    def recorded(cls, name: str = RECORDING) -> Evidence:
        """Evidence from a recording among the course's files; CourseError when it is missing or no recording."""
        try:
            told = json.loads(asset(name).read_text(encoding="utf-8"))
            about = told["recorded"]
            return cls.of(
                told["results"],
                told["truth"],
                told.get("label_curve", ()),
                data=about.get("data", "the course's reviews"),
                source=f"recorded on {about['date']}",
                film_reviews=bool(about.get("film_reviews", False)),
            )
        except (json.JSONDecodeError, KeyError, TypeError) as problem:
            raise CourseError(f"assets/{name} is no recording of a ladder ({problem!r}); record it again.") from problem

    @property
    def size(self) -> int:
        """The number of test texts."""
        return len(self.truth)

    @property
    def where(self) -> str:
        """The condition under which every figure here was measured."""
        what = self.data if self.film_reviews else f"{self.data}, not film reviews"
        return f"On {what} ({self.size} test texts, {self.source})"

    def accuracy(self, run: Run) -> float:
        """The share of test texts whose label it predicted."""
        return accuracy(self.truth, run.predictions)

    def interval(self, run: Run) -> tuple[float, float]:
        """Wilson's 95% interval of that share."""
        return wilson_interval(sum(t == p for t, p in zip(self.truth, run.predictions, strict=True)), self.size)

    def p_value(self, first: Run, second: Run, looks: int = 1) -> float:
        """The paired test of two rungs, times the number of ``looks`` that picked one of them (Bonferroni)."""
        return min(1.0, looks * paired_test(self.truth, first.predictions, second.predictions))

    def best(self, runs: Iterable[Run]) -> Run:
        """The most accurate; the first of equals."""
        return max(runs, key=self.accuracy)


def _run(result: Any, truth: tuple[int, ...]) -> Run:
    name, predictions = _get(result, "rung"), _get(result, "predictions")
    if name is None or predictions is None:
        raise CourseError("A result of the ladder needs the name of its rung and its predictions.")
    if len(predictions) != len(truth):
        raise CourseError(f"The rung {name!r} has {len(predictions)} predictions for {len(truth)} test labels.")
    return Run(name, tuple(int(p) for p in predictions), _get(result, "cpu_seconds"), _get(result, "wall_seconds"))


def _get(result: Any, name: str) -> Any:
    return result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)
