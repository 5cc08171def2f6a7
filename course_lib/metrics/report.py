"""Many tasks, each scored by its own metric, in one table: what a model can do, and what another does better.

A record says how it wants to be scored:

    task      the row of the table it counts in
    metric    exact, numeric, contains, f1, rouge, sql or format (see METRICS)
    output    the reference; for "sql" a statement, with ``create``, the statements that make its tables
    form      the form of the answer (see `forms`), or ``choices``, a list or "good, mixed, bad"; without, that of the
              output

The mean over tasks (macro) counts every task the same, however many items it has. Two reports on the same items are
compared item by item. Left out: a weight per task, and scores of different metrics made comparable: a ROUGE-L of 0.5
is no half of the answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.metrics.forms import in_format
from course_lib.metrics.interval import Difference, macro_interval, mean_interval, paired_difference, sign_test
from course_lib.metrics.sql import bare, sql_match
from course_lib.metrics.text import contains, exact_match, numeric_match, rouge_l, token_f1

Record = Mapping[str, Any]
MACRO = "all tasks"

METRICS: Mapping[str, Callable[[Record, str], float]] = MappingProxyType({
    "exact": lambda record, text: exact_match(text, str(record["output"])),
    "numeric": lambda record, text: numeric_match(text, str(record["output"])),
    "contains": lambda record, text: contains(text, str(record["output"])),
    "f1": lambda record, text: token_f1(text, str(record["output"])),
    "rouge": lambda record, text: rouge_l(text, str(record["output"])),
    "sql": lambda record, text: sql_match(record["create"], text, str(record["output"])),
    "format": lambda record, text: in_format(text, form(record)),
})  # fmt: skip


def score(record: Record, prediction: str) -> float:
    """How good a prediction is, between 0 and 1, by the record's own metric.

    Raises CourseError when the record names no metric that exists, or lacks a field that its metric needs.
    """
    metric = str(record.get("metric", ""))
    if metric not in METRICS:
        raise CourseError(f"The record has the metric {metric!r}: write one of {', '.join(METRICS)}.")
    try:
        return METRICS[metric](record, prediction)
    except KeyError as missing:
        raise CourseError(f"The metric {metric!r} needs the field {missing}, which the record lacks: add it.") from None


def check(records: Sequence[Record]) -> None:
    """See that every record can be won: that its own reference is right and in the form it asks for.

    Worth a second before hours of training. Raises CourseError with the number of the first record that is not so.
    """
    for number, record in enumerate(records, 1):
        own = _judged(number, record, str(record.get("output", "")))
        if own != (1.0, 1.0):
            what = "in the form it asks for" if own[0] == 1 else f"right by the metric {record['metric']!r}"
            raise CourseError(f"Record {number}: its own output is not {what}: correct the record.")


def form(record: Record) -> str:
    """The form a record asks for: its own, or one of its choices; else that of its own output.

    That is SQL, a number, one line, or in the end any text.
    """
    if record.get("form"):
        return str(record["form"])
    if choices := record.get("choices"):
        return f"choice: {' | '.join(choices.split(', ') if isinstance(choices, str) else choices)}"
    if record.get("metric") == "sql":
        return "sql"
    output = str(record.get("output", ""))
    return next((name for name in ("number", "line") if in_format(output, name)), "text")


@dataclass(frozen=True)
class Row:
    """One task: the metric, the items, their mean score with its 95% interval, and the share in the right form."""

    task: str
    metric: str
    n: int
    score: float
    low: float
    high: float
    in_form: float


@dataclass(frozen=True)
class Change:
    """One task under two models: by how much the first is better, with its 95% interval and p."""

    task: str
    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class TaskReport:
    """A model's scores on some records, item by item. ``items`` is the fingerprint of the records."""

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    scores: tuple[float, ...]
    formed: tuple[float, ...]
    items: str

    @classmethod
    def of(cls, records: Sequence[Record], predictions: Sequence[str], name: str = "") -> TaskReport:
        """Score one prediction for every record. Raises CourseError, with the record's number, when it cannot be."""
        if not records or len(records) != len(predictions):
            raise CourseError(
                f"{len(predictions)} predictions cannot be scored on {len(records)} records: give one for each."
            )
        pairs = enumerate(zip(records, predictions, strict=True), 1)
        scores, formed = zip(*(_judged(number, record, text) for number, (record, text) in pairs), strict=True)
        tasks = tuple(str(record.get("task", "")) for record in records)
        metrics = tuple(record["metric"] for record in records)
        return cls(name, tasks, metrics, scores, formed, _fingerprint(records))

    def rows(self) -> list[Row]:
        """A row per task, in the order in which they first occur."""
        return [self._row(task, self._places(task)) for task in dict.fromkeys(self.tasks)]

    def macro(self) -> Row:
        """The mean over tasks, its interval made of theirs."""
        rows = self.rows()
        low, high = macro_interval([row.score for row in rows], [(row.low, row.high) for row in rows])
        middle, formed = (float(np.mean([getattr(row, key) for row in rows])) for key in ("score", "in_form"))
        return Row(MACRO, "", len(self.scores), middle, max(0.0, low), min(1.0, high), formed)

    def markdown(self) -> str:
        """The table of a model card."""
        lines = ["| task | metric | score | 95% interval | in form | items |", "|---|---|---|---|---|---|"]
        for row in (*self.rows(), self.macro()):
            lines.append(
                f"| {row.task} | {row.metric} | {row.score:.1%} | {row.low:.1%} to {row.high:.1%} | {row.in_form:.0%} |"
                f" {row.n} |"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as recorded: the scores, which `from_json` reads back, and the table, which people read."""
        return {**asdict(self), "rows": [asdict(row) for row in (*self.rows(), self.macro())]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TaskReport:
        """The report that `to_json` wrote."""
        lists = {key: tuple(content[key]) for key in ("tasks", "metrics", "scores", "formed")}
        return cls(name=content["name"], items=content["items"], **lists)

    def _places(self, task: str) -> list[int]:
        return [k for k, one in enumerate(self.tasks) if one == task]

    def _row(self, task: str, places: Sequence[int]) -> Row:
        scores = [self.scores[k] for k in places]
        metrics = ", ".join(dict.fromkeys(self.metrics[k] for k in places))
        formed = float(np.mean([self.formed[k] for k in places]))
        return Row(task, metrics, len(scores), float(np.mean(scores)), *mean_interval(scores), formed)


def compare(first: TaskReport, second: TaskReport) -> list[Change]:
    """By how much the first is better than the second, task by task, and in the mean over tasks in the last row.

    With many tasks one of twenty differs by chance: a single small p among them proves little. Raises CourseError when
    the reports are not on the same records in the same order.
    """
    if first.items != second.items:
        raise CourseError("These reports are not on the same records: measure both on the same ones, in one order.")
    changes, parts = [], []
    for task in dict.fromkeys(first.tasks):
        places = first._places(task)
        left, right = (np.array([report.scores[k] for k in places]) for report in (first, second))
        difference = paired_difference(left, right)
        changes.append(Change(task, len(places), float(left.mean()), float(right.mean()), *difference))
        parts.append((left - right) / len(places))
    differences = [change.difference for change in changes]
    low, high = macro_interval(differences, [(change.low, change.high) for change in changes])
    whole = Difference(float(np.mean(differences)), low, high, sign_test(np.concatenate(parts)))
    one, other = (float(np.mean([getattr(change, side) for change in changes])) for side in ("first", "second"))
    return [*changes, Change(MACRO, len(first.tasks), one, other, *whole)]


def _judged(number: int, record: Record, text: str) -> tuple[float, float]:
    """Score and form of one answer."""
    try:
        return score(record, text), in_format(bare(text) if record["metric"] == "sql" else text, form(record))
    except CourseError as error:
        raise CourseError(f"Record {number}: {error}") from error


def _fingerprint(records: Sequence[Record]) -> str:
    written = json.dumps([dict(record) for record in records], sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
