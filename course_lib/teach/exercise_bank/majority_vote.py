"""Lesson 02: voting over samples. The slips are the ways in which votes are counted that should not be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Answers = list[str | None]


def vote(answers: Answers) -> str | None:
    """The most frequent answer, None left out; the earliest of equally frequent ones; None when there is none."""
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts, key=counts.__getitem__, default=None)


VOTE_CASES = (
    Case((["6", "8", "6", None, "9"],)),
    Case(([None, "12", None, "12", None, "7"],), "A sample that reached no answer has no vote."),
    Case((["9", "10", "10", "9", "3"],), "9 and 10 are equally frequent; the one that came first wins."),
    Case((["10", "9", "9", "10"],), "10 and 9 are equally frequent; the one that came first wins."),
    Case(([None, None],), "Where no sample has an answer, neither has the vote: None."),
    Case((["4"],)),
    Case((["30", "5", "5", "30", "5", "1"],)),
    Case((["7", "2", "2", None, None, None, "7", "7"],)),
)


def _counted(answers: Answers) -> Counter[str | None]:
    return Counter(answers)


def _ties(answers: Answers, last: bool) -> str | None:
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None
    best = [answer for answer in counts if counts[answer] == max(counts.values())]
    return best[-1] if last else max(best, key=float)


VOTE_SLIPS = (
    Slip("None is counted as an answer. A sample that was cut off before its answer says nothing; leave it out.",
         lambda a: _counted(a).most_common(1)[0][0]),
    Slip("That is the first answer; the others have no say.", lambda a: next((x for x in a if x is not None), None)),
    Slip("That is the last answer; the others have no say.",
         lambda a: next((x for x in reversed(a) if x is not None), None)),
    Slip("Of equally frequent answers you take the one that came last; take the first, so that the result is the one of"
         " a smaller vote as long as nothing beats it.", lambda a: _ties(a, last=True)),
    Slip("Of equally frequent answers you take the largest number; the size of an answer is no evidence.",
         lambda a: _ties(a, last=False)),
    Slip("That is the rarest answer; take the most frequent one.",
         lambda a: min(c := Counter(x for x in a if x is not None), key=c.__getitem__, default=None)),
    Slip("An answer needs more than half of all votes in your version; it is enough to have the most.",
         lambda a: next((x for x in a if x is not None and a.count(x) > len(a) / 2), None)),
)  # fmt: skip


def _read_answer(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Wrong(f"{described(value)} where one of the answers (a text) or None is wanted")
    return value


def vote_problems(answer: Any) -> list[str]:
    """What is wrong with a vote."""
    return judge(answer, "vote", VOTE_CASES, vote, VOTE_SLIPS, _read_answer, lambda a, b: a == b)


EXERCISE = Exercise(
    id="02-vote",
    title="Count the votes",
    prompt=(
        "`answers` holds what each sample ended in: a text, or None where it was cut off before its answer. Write a"
        " function that returns the most frequent answer. None has no vote; of equally frequent answers the one that"
        " came first wins; if there is no answer at all, return None."
    ),
    stub="def vote(answers):\n    ...",
    hints=(
        "Three steps: throw None away, stop if nothing is left, count the rest.",
        "`collections.Counter` counts, and it keeps the order in which the answers came.",
        "`Counter(kept).most_common(1)[0][0]`: equally frequent ones come in the order of their first appearance.",
    ),
    code=(
        "from collections import Counter\n\n"
        "def vote(answers):\n"
        "    kept = [answer for answer in answers if answer is not None]\n"
        "    return Counter(kept).most_common(1)[0][0] if kept else None"
    ),
    why=(
        "Right workings agree, because there is one right answer; wrong ones scatter. That is all there is to voting,"
        " and it tells when it must fail: where a model makes the same mistake again and again, the mistake wins. The"
        " winner's share of the votes is worth keeping, too: it says how far to trust the answer."
    ),
    problems=vote_problems,
)
