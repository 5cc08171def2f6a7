"""The evidence of lesson 04: models trained on examples, and the score of each of their answers.

Every model has a name of the form "what/how": ``curve/300/1`` learned from 300 examples, in the second draw of them;
``noise/cleaned/0`` from a noisy set that was mended; ``special/polite/tuned`` from one task alone. Models of one
experiment answered the same test items in the same order, so any two can be compared item by item. Means, intervals
and tests are computed here from the single scores, never written down.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.instruct.forgetting import Matrix, Stage
from course_lib.instruct.verdicts import Agreement, Choice, How, Pair, Verdicts
from course_lib.metrics.interval import Difference
from course_lib.metrics.report import TaskReport, compare
from course_lib.teach.claim_checks.evidence import Finding

RECORDING = "recordings/instruct.json"
PROMPTS = ("asked", "few-shot", "instructed")  # ways to put a question to a base model
FEWEST = 100  # test items: with fewer, a difference of ten points is within chance


@dataclass(frozen=True)
class Judged:
    """One judge on the answers of two models to the test items; ``agreement`` is that with the exact metric."""

    judge: str  # "untrained" or "trained"
    how: How
    first: str
    second: str
    verdicts: Verdicts
    agreement: Agreement


@dataclass(frozen=True)
class Recorded:
    """All that was measured.

    reports: scores by the name of the model. runs: examples, epochs, tokens, seconds, loss by step. answers: texts.
    documents: of continued pretraining, by stage ("base", "dialect", "mixed") and place ("in", "out" of the domain),
    for each document its tokens and its loss in nats. ranked: losses of several settings, by stage ("fraction",
    "small", "end"). proposed: yields of self-instruct ("untrained", "trained"). numbers: figures that are no scores.
    """

    reports: Mapping[str, TaskReport]
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    documents: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]] = field(default_factory=dict)
    ranked: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    proposed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    judged: tuple[Judged, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    again: str = ""  # the task that was trained alone, after all
    source: str = "this run"
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def curve(self) -> dict[int, TaskReport]:
        """Scores by the number of examples, those of several draws averaged item by item; 0: untrained."""
        sizes = sorted({int(name.split("/")[1]) for name in self.reports if name.startswith("curve/")})
        return {n: self.mean(f"curve/{n}") for n in sizes}

    @cached_property
    def noise(self) -> dict[str, TaskReport]:
        """Scores of clean, noisy and cleaned training sets: "300 clean", "1000 clean", "1000 noisy", "1000 cleaned"."""
        found = {f"{n} clean": report for n, report in self.curve.items() if n in self.small_and_large}
        size = max(self.small_and_large)
        return found | {f"{size} {name}": self.mean(f"noise/{name}") for name in ("noisy", "cleaned")}

    @property
    def small_and_large(self) -> tuple[int, int]:
        """The numbers of examples that are compared in quality: clean ones, and noisy ones."""
        sizes = [n for n in self.curve if n]
        large = int(self.runs["noise/noisy/0"]["examples"]) if "noise/noisy/0" in self.runs else max(sizes)
        return max((n for n in sizes if n < large), default=large), large

    @cached_property
    def forgetting(self) -> Matrix:
        """Stages: "untrained", "all tasks", and two ways to go on: "then <task> alone", "then <task> and others"."""
        tasks = tuple(dict.fromkeys(self.reports["curve/0/0"].tasks))
        stages = {
            "untrained": (self.reports["curve/0/0"], ()),
            "all tasks": (self.reports[f"curve/{max(self.curve)}/0"], tasks),
            f"then {self.again} and others": (self.reports["again/long/mixed"], tasks),
            f"then {self.again} alone": (self.reports["again/long/alone"], (self.again,)),
        }
        return Matrix(tuple(Stage(replace(report, name=name), on) for name, (report, on) in stages.items()))

    def perplexity(self, stage: str, where: str) -> float:
        """Of the test documents of a place after a stage of continued pretraining."""
        some = self.documents[stage][where]
        return math.exp(sum(loss for _, loss in some) / sum(count for count, _ in some))

    def mean(self, prefix: str) -> TaskReport:
        """The reports whose names begin so, averaged item by item. KeyError when there is none."""
        found = [self.reports[name] for name in sorted(self.reports) if name.startswith(f"{prefix}/")]
        if not found:
            raise KeyError(prefix)
        scores, formed = (
            tuple(sum(some) / len(some) for some in zip(*(getattr(one, kind) for one in found), strict=True))
            for kind in ("scores", "formed")
        )
        return replace(found[0], name=prefix, scores=scores, formed=formed)

    def best(self, names: Sequence[str]) -> TaskReport:
        """The best of these reports, in the mean over tasks; the first of equals."""
        return max((self.reports[name] for name in names), key=lambda report: report.macro().score)

    def lacking(self, *names: str) -> list[str]:
        """Which models were not tested, or on too few items to decide anything; a prefix stands for all behind it."""
        sizes = {
            n: [len(one.scores) for k, one in self.reports.items() if k == n or k.startswith(f"{n}/")] for n in names
        }
        few = [
            f"{name} with at least {FEWEST} test items"
            for name, found in sizes.items()
            if 0 < min(found or [0]) < FEWEST
        ]
        return [name for name, found in sizes.items() if not found] + few

    def special(self, how: str) -> bool:
        """Whether every task that a small model was trained on was also tested in this way."""
        tasks = {name.split("/")[1] for name in self.reports if name.startswith("special/")}
        return bool(tasks) and all(f"special/{task}/{how}" in self.reports for task in tasks)

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Recorded:
        """From the content of a recording."""
        reports = {name: _report(name, entry, told["tests"][entry["items"]]) for name, entry in told["reports"].items()}
        facts = told["recorded"]
        return cls(
            reports,
            told["runs"],
            told["answers"],
            told["documents"],
            told["ranked"],
            told["proposed"],
            tuple(_judged(entry, reports, told["answers"]) for entry in told["judged"]),
            told["numbers"],
            facts["again"],
            f"recorded on {facts['date']}",
            facts,
        )


def recorded(name: str = RECORDING) -> Recorded:
    """What was recorded among the course's files; CourseError when that is missing or no recording."""
    try:
        return Recorded.of_json(json.loads(asset(name).read_text(encoding="utf-8")))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as problem:
        raise CourseError(f"assets/{name} is no recording of lesson 04 ({problem!r}); record it again.") from problem


def gain(first: TaskReport, second: TaskReport) -> Difference:
    """By how much the first is better in the mean over tasks, with 95% interval and p of the paired test."""
    change = compare(first, second)[-1]
    return Difference(change.difference, change.low, change.high, change.p)


def beats(first: TaskReport, second: TaskReport, looks: int = 1) -> bool:
    """Whether the first is shown to be better; ``looks`` is of how many it was picked (Bonferroni)."""
    found = gain(first, second)
    return found.difference > 0 and looks * found.p < 0.05


def without(report: TaskReport, task: str) -> TaskReport:
    """The report without one task."""
    places = [k for k, one in enumerate(report.tasks) if one != task]
    parts: dict[str, Any] = {
        kind: tuple(getattr(report, kind)[k] for k in places) for kind in ("tasks", "metrics", "scores", "formed")
    }
    return replace(report, items=f"{report.items} without {task}", **parts)


def scored(report: TaskReport) -> str:
    """The mean over tasks with its 95% interval, in words."""
    row = report.macro()
    return f"{row.score:.0%} ({100 * row.low:.0f} to {100 * row.high:.0f})"


def shown(found: bool) -> str:
    """Whether a test found something, in words."""
    return "shown" if found else "not shown"


def missing(claim: str, what: Sequence[str]) -> Finding:
    """What a check says of evidence that cannot tell."""
    return Finding(claim, "not measured", {}, None, f"This evidence cannot tell; it lacks: {', '.join(what)}.")


def _report(name: str, entry: Mapping[str, Any], tests: Mapping[str, Any]) -> TaskReport:
    if not len(entry["scores"]) == len(entry["formed"]) == len(tests["tasks"]) > 0:
        raise ValueError(f"{name} has another number of scores than there are test items")
    lists = {"tasks": tests["tasks"], "metrics": tests["metrics"], "scores": entry["scores"], "formed": entry["formed"]}
    return TaskReport(name=name, items=entry["items"], **{key: tuple(some) for key, some in lists.items()})


def _judged(entry: Mapping[str, Any], reports: Mapping[str, TaskReport], answers: Mapping[str, Any]) -> Judged:
    first, second = entry["first"], entry["second"]
    rows = zip(answers[first], answers[second], entry["pairs"], strict=True)
    pairs = tuple(Pair(a, b, cast(Choice, here), cast(Choice, there), m) for a, b, (here, there, m) in rows)
    verdicts = Verdicts(entry["how"], pairs)
    agreement = verdicts.agreement(reports[first].scores, reports[second].scores)
    return Judged(entry["judge"], entry["how"], first, second, verdicts, agreement)
