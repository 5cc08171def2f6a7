"""Climbing the ladder: run the rungs, measure each, keep what is finished, leave the best model.

A rung's cost is what it would cost alone: the frozen states it used count for it even if another rung computed them.
Its p-value compares its predictions with those of the rung below on the same test texts. The best model is the one
with the highest accuracy on the test texts, the cheaper one of equals; as it was chosen on them, its accuracy there
is slightly flattering.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import hardware
from course_lib.classify.predictor import save_predictor
from course_lib.classify.prefix import Cost
from course_lib.classify.rungs import Outcome, Rung, select
from course_lib.classify.task import Task
from course_lib.errors import CourseError
from course_lib.metrics.classification import accuracy, f1_interval, macro_f1, paired_test, wilson_interval


@dataclass(frozen=True)
class RungResult:
    """One row of the table. Shares are between 0 and 1; intervals are 95%."""

    rung: str
    title: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    f1_low: float
    f1_high: float
    p_value: float | None  # paired test against the rung below; None on the lowest
    trainable_params: int
    cpu_seconds: float  # of all threads, the frozen states it used included
    wall_seconds: float
    peak_bytes: int  # of the process, or of the GPU where there is one
    train_records: int
    predictions: tuple[int, ...]  # class indices of the test texts

    @property
    def peak_gb(self) -> float:
        """The peak in gigabytes of 10^9 bytes, for tables."""
        return self.peak_bytes / 1e9

    def row(self) -> dict[str, Any]:
        """The figures without the predictions."""
        return {name: value for name, value in asdict(self).items() if name != "predictions"}


def climb(
    task: Task,
    names: list[str] | None = None,
    out: Path | None = None,
    on_result: Callable[[RungResult], None] | None = None,
    done: Sequence[RungResult] = (),
) -> list[RungResult]:
    """Run the rungs with these names (all without) and return their results in the ladder's order.

    ``done`` are results of rungs further down; the first new one is compared with the last of them. With ``out`` every
    finished rung is kept there as ``rungs/NAME.json``, a rung in training saves checkpoints, and a second call
    continues; ``out/model`` holds the best model so far. Raises CourseError when ``out`` belongs to another task.
    """
    store = _Store(out, task) if out else None
    results: list[RungResult] = []
    for rung in select(task.encoder.depth, names):
        below = [*done, *results][-1] if done or results else None
        result = store.load(rung, task, below) if store else None
        if result is None:
            result, outcome = _run(rung, task, below, store.checkpoints(rung) if store else None)
            if store:
                store.keep(result, outcome, task)
            del outcome
        results.append(result)
        if on_result:
            on_result(result)
    return results


def label_curve(
    task: Task, sizes: Sequence[int], names: Sequence[str], on_result: Callable[[int, RungResult], None] | None = None
) -> dict[str, list[RungResult]]:
    """The results of some rungs at growing numbers of training labels; smaller samples are parts of larger ones."""
    curve: dict[str, list[RungResult]] = {name: [] for name in names}
    for size in sizes:
        for result in climb(task.sample(size), list(names)):
            curve[result.rung].append(result)
            if on_result:
                on_result(size, result)
    return curve


def _run(rung: Rung, task: Task, below: RungResult | None, saves: Path | None) -> tuple[RungResult, Outcome]:
    before = task.cache.spent()
    with hardware.Meter() as meter:
        outcome = rung.run(task, saves)
    # States computed during this rung are taken out and those it used are put in, whoever computed them.
    own = Cost(meter.cpu_seconds, meter.wall_seconds, meter.peak_bytes) - (task.cache.spent() - before)
    cost = own + (task.prefix_cost(outcome.level) if outcome.level else Cost())
    predictions = tuple(int(p) for p in outcome.scores.argmax(1))
    return _measured(rung, task, predictions, outcome.trainable_params, cost, below), outcome


def _measured(
    rung: Rung, task: Task, predictions: tuple[int, ...], params: int, cost: Cost, below: RungResult | None
) -> RungResult:
    truth, classes = task.test.labels, task.classes
    right = sum(p == t for p, t in zip(predictions, truth, strict=True))
    low, high = wilson_interval(right, len(truth))
    f1_low, f1_high = f1_interval(truth, predictions, classes, seed=task.config.seed)
    return RungResult(
        rung.name,
        rung.title,
        accuracy(truth, predictions),
        low,
        high,
        macro_f1(truth, predictions, classes),
        f1_low,
        f1_high,
        paired_test(truth, below.predictions, predictions) if below else None,
        params,
        cost.cpu_seconds,
        cost.wall_seconds,
        cost.peak_bytes,
        len(task.train),
        predictions,
    )


class _Store:
    """The folder of a climb: what is finished, what is in training, the best model."""

    def __init__(self, folder: Path, task: Task) -> None:
        self.folder = folder
        (folder / "rungs").mkdir(parents=True, exist_ok=True)
        mine, described = _describe(task), folder / "task.json"
        if described.exists():
            theirs = json.loads(described.read_text(encoding="utf-8"))
            changed = sorted(name for name in mine if mine[name] != theirs.get(name))
            if changed:
                raise CourseError(
                    f"The folder {folder} holds the results of another task (different: {', '.join(changed)}); choose"
                    " another --out or delete it."
                )
        _write(described, mine)

    def checkpoints(self, rung: Rung) -> Path:
        return self.folder / "checkpoints" / rung.name

    def load(self, rung: Rung, task: Task, below: RungResult | None) -> RungResult | None:
        """A finished rung, compared anew with the rung below it in this call."""
        path = self.folder / "rungs" / f"{rung.name}.json"
        if not path.exists():
            return None
        saved = json.loads(path.read_text(encoding="utf-8"))
        cost = Cost(saved["cpu_seconds"], saved["wall_seconds"], saved["peak_bytes"])
        return _measured(rung, task, tuple(saved["predictions"]), saved["trainable_params"], cost, below)

    def keep(self, result: RungResult, outcome: Outcome, task: Task) -> None:
        """The model first, then the result: whoever finds the result can rely on the model."""
        best = self.folder / "best.json"
        champion = json.loads(best.read_text(encoding="utf-8")) if best.exists() else {"accuracy": -1.0}
        better = (result.accuracy, -result.cpu_seconds) > (champion["accuracy"], -champion.get("cpu_seconds", 0.0))
        if better:
            save_predictor(self.folder / "model", outcome, task, result)
            _write(best, result.row())
        _write(self.folder / "rungs" / f"{result.rung}.json", asdict(result))
        shutil.rmtree(self.folder / "checkpoints" / result.rung, ignore_errors=True)


def _describe(task: Task) -> dict[str, Any]:
    """What two climbs must have in common to share a folder."""

    def digest(texts: Sequence[str], labels: Sequence[int]) -> str:
        content = json.dumps([list(texts), [int(label) for label in labels]])
        return hashlib.sha256(content.encode()).hexdigest()

    return {
        "training records": digest(task.train.texts, task.train.labels),
        "test records": digest(task.test.texts, task.test.labels),
        "classes": list(task.train.classes),
        "encoder": task.encoder.name,
        "longest text": task.encoder.max_length,
        "settings": asdict(task.config),
        "precision": task.precision,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one step."""
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(content, default=_plain), encoding="utf-8")
    os.replace(temporary, path)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
