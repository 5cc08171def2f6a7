"""Lesson 02: how often the right passage is found. The slips are other measures that go by similar names."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number

Found = list[list[str]]


def recall(found: Found, right: list[str], k: int) -> float:
    """The share of questions whose right document is among the first k."""
    return sum(one in hits[:k] for hits, one in zip(found, right, strict=True)) / len(right)


RANKED: Found = [["a", "b", "c"], ["d", "a", "e"], ["b", "c", "a"], ["e", "d", "b"]]
RECALL_CASES = (
    Case((RANKED, ["a", "a", "a", "a"], 1)),
    Case((RANKED, ["b", "a", "c", "d"], 2)),
    Case((RANKED, ["c", "d", "c", "x"], 3)),
    Case(([["x", "y", "z", "w"], ["w", "z", "y", "x"], ["y", "x", "w", "z"]], ["y", "y", "y"], 2)),
    Case((RANKED, ["q", "q", "q", "q"], 3)),
)


def _ranks(found: Found, right: list[str]) -> float:
    return sum(1 / (hits.index(one) + 1) if one in hits else 0 for hits, one in zip(found, right, strict=True)) / len(
        right
    )


RECALL_SLIPS = (
    Slip("You search the whole list; only the first `k` are read by the model.",
         lambda f, r, k: recall(f, r, max(map(len, f)))),
    Slip("You look at the first one only; any of the first `k` counts.", lambda f, r, k: recall(f, r, 1)),
    Slip("That is the number of questions; divide by how many there are.", lambda f, r, k: recall(f, r, k) * len(r)),
    Slip("That is a percentage; return a share between 0 and 1.", lambda f, r, k: 100 * recall(f, r, k)),
    Slip("You look only at place `k` itself; the places before it count as well.",
         lambda f, r, k: sum(h[k - 1] == one for h, one in zip(f, r, strict=True)) / len(r)),
    Slip("You take one place too many: `hits[:k]` are the first k.", lambda f, r, k: recall(f, r, k + 1)),
    Slip("You take one place too few: `hits[:k]` are the first k, and `hits[:k - 1]` one less.",
         lambda f, r, k: recall(f, r, k - 1) if k > 1 else 0.0),
    Slip("That is precision: the share of found documents that are right. Here one document is right for each question,"
         " so divide by the number of questions.", lambda f, r, k: recall(f, r, k) / k),
    Slip("That is the mean reciprocal rank, which is the same for every k.", lambda f, r, k: _ranks(f, r)),
    Slip("That is the share of questions whose document is missed; the found ones are wanted.",
         lambda f, r, k: 1 - recall(f, r, k)),
)  # fmt: skip


def recall_problems(answer: Any) -> list[str]:
    """What is wrong with a recall."""
    return judge(answer, "recall", RECALL_CASES, recall, RECALL_SLIPS, number, close(1e-6))


EXERCISE = Exercise(
    id="02-recall",
    title="How often is it found?",
    prompt=(
        "`found` has a list of document names for each question, the best first; `right` has the document in which the"
        " answer stands. Write a function that returns recall at k: the share of questions whose right document is"
        " among the first `k` found."
    ),
    stub="def recall(found, right, k):\n    ...",
    hints=(
        "For one question: is `right[i]` in `found[i][:k]`?",
        "`zip(found, right)` goes through both lists side by side; True counts as 1 in a sum.",
        "`sum(one in hits[:k] for hits, one in zip(found, right)) / len(right)`",
    ),
    code=(
        "def recall(found, right, k):\n"
        "    hits = [one in names[:k] for names, one in zip(found, right)]\n"
        "    return sum(hits) / len(right)"
    ),
    why=(
        "Recall at k is a ceiling: what is not among the k passages in the prompt cannot be answered from them. Measure"
        " it before you blame the model. A larger k raises the ceiling and the price, and gives the model more wrong"
        " text to be misled by, so the best k is a measurement too."
    ),
    problems=recall_problems,
)
