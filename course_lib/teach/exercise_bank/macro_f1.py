"""Lesson 03: what to report. The slips are the other averages of precision, recall and F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, close, described, judge, number

Matrix = Sequence[Sequence[float]]


def _parts(confusion: Matrix) -> list[tuple[float, float, float]]:
    """For each class: right ones, how often it occurs, how often it is predicted."""
    size = len(confusion)
    return [(confusion[c][c], sum(confusion[c]), sum(confusion[r][c] for r in range(size))) for c in range(size)]


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


def f1_scores(confusion: Matrix) -> list[float]:
    """F1 = 2TP / (occurs + predicted) of each class."""
    return [_ratio(2 * hits, occurs + predicted) for hits, occurs, predicted in _parts(confusion)]


def macro_f1(confusion: Matrix) -> float:
    """The mean of the classes' F1."""
    return sum(f1_scores(confusion)) / len(confusion)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _precisions(confusion: Matrix) -> list[float]:
    return [_ratio(hits, predicted) for hits, _, predicted in _parts(confusion)]


def _recalls(confusion: Matrix) -> list[float]:
    return [_ratio(hits, occurs) for hits, occurs, _ in _parts(confusion)]


def _accuracy(confusion: Matrix) -> float:
    return sum(confusion[c][c] for c in range(len(confusion))) / sum(map(sum, confusion))


def _weighted(confusion: Matrix, which: int) -> float:
    weights = [part[which] for part in _parts(confusion)]
    return sum(w * f for w, f in zip(weights, f1_scores(confusion), strict=True)) / sum(weights)


def _of_means(confusion: Matrix) -> float:
    precision, recall = _mean(_precisions(confusion)), _mean(_recalls(confusion))
    return 2 * precision * recall / (precision + recall)


def _predicted_only(confusion: Matrix) -> float:
    scores = [f for f, part in zip(f1_scores(confusion), _parts(confusion), strict=True) if part[2]]
    return _mean(scores)


MACRO_SLIPS = (
    Slip("That is the accuracy (which is also micro-F1): large classes dominate it. Take F1 of each class, then their"
         " plain mean.", _accuracy),
    Slip("That is F1 weighted by how often each class occurs; macro means that every class counts the same.",
         lambda m: _weighted(m, 1)),
    Slip("That is F1 weighted by how often each class is predicted; macro means that every class counts the same.",
         lambda m: _weighted(m, 2)),
    Slip("That is the mean precision; F1 also takes the recall of each class into account.",
         lambda m: _mean(_precisions(m))),
    Slip("That is the mean recall; F1 also takes the precision of each class into account.",
         lambda m: _mean(_recalls(m))),
    Slip("That is F1 of the mean precision and the mean recall; take F1 of each class first, then the mean.",
         _of_means),
    Slip("F1 is the harmonic mean of precision and recall, 2PR / (P + R); you take (P + R) / 2.",
         lambda m: (_mean(_precisions(m)) + _mean(_recalls(m))) / 2),
    Slip("That is F1 of the last class alone; macro-F1 is the mean over all classes.", lambda m: f1_scores(m)[-1]),
    Slip("That is F1 of the first class alone; macro-F1 is the mean over all classes.", lambda m: f1_scores(m)[0]),
    Slip("That is F1 of the second class alone; macro-F1 is the mean over all classes.", lambda m: f1_scores(m)[1]),
    Slip("That is the sum over the classes; divide by their number.", lambda m: sum(f1_scores(m))),
    Slip("That is in percent; return a share between 0 and 1.", lambda m: 100 * macro_f1(m)),
    Slip("A factor of 2 is missing: F1 = 2TP / (2TP + FP + FN).", lambda m: macro_f1(m) / 2),
    Slip("That is TP / (TP + FP + FN), the Jaccard index; F1 = 2TP / (2TP + FP + FN).",
         lambda m: _mean([_ratio(t, o + p - t) for t, o, p in _parts(m)])),
    Slip("A class that is never predicted is left out of your mean; its F1 is 0 and it counts like the others.",
         _predicted_only),
)  # fmt: skip

MACRO_CASES = (
    Case(([[90, 10], [5, 15]],)),
    Case(([[50, 3, 7], [4, 20, 6], [0, 9, 1]],)),
    Case(([[7, 3], [20, 70]],)),
    Case(
        ([[40, 0], [10, 0]],),
        "The second class is never predicted: its F1 is 0. With 2TP / (2TP + FP + FN) nothing is divided by zero.",
    ),
)


def _read_share(value: Any) -> float:
    if isinstance(value, list | tuple):
        raise Wrong(f"{described(value)}; return one number, the mean over the classes")
    return number(value)


def macro_problems(answer: Any) -> list[str]:
    """What is wrong with a macro-F1."""
    return judge(answer, "macro_f1", MACRO_CASES, macro_f1, MACRO_SLIPS, _read_share, close(2e-3))


EXERCISE = Exercise(
    id="03-macro-f1",
    title="Macro-F1 from a confusion matrix",
    prompt=(
        "Write a function that takes a confusion matrix as a list of rows (row = true class, column = predicted class)"
        " with any number of classes and returns macro-F1: F1 = 2TP / (2TP + FP + FN) of each class, then the plain"
        " mean."
    ),
    stub="def macro_f1(confusion):\n    ...",
    hints=(
        "For class c, TP is confusion[c][c]. What does the sum of row c count, and what the sum of column c?",
        "Row c sums to TP + FN (how often the class occurs), column c to TP + FP (how often it is predicted).",
        "So F1 of class c is 2 * confusion[c][c] / (row sum + column sum). Average over the classes.",
    ),
    code=(
        "def macro_f1(confusion):\n"
        "    scores = []\n"
        "    for c, row in enumerate(confusion):\n"
        "        occurs, predicted = sum(row), sum(other[c] for other in confusion)\n"
        "        scores.append(2 * row[c] / (occurs + predicted))\n"
        "    return sum(scores) / len(scores)"
    ),
    why=(
        "On [[90, 10], [5, 15]] the accuracy is 88% and macro-F1 is 0.79: the small class, of which a quarter is missed"
        " and whose name is often given to others, counts as much as the large one. Always predicting the larger of two"
        " classes gives a macro-F1 below 0.5, however good its accuracy looks."
    ),
    problems=macro_problems,
)
