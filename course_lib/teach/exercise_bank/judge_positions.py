"""Lesson 04: what a judge prefers, the answer or its place. The slips count verdicts that say nothing."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, close, described, judge, pair

Verdicts = list[tuple[str, str]]
FIRST, SECOND = "first", "second"


def judged(verdicts: Verdicts) -> tuple[float, float]:
    """A's share among the pairs decided alike in both orders, and how often the first place won."""
    wins = sum(v == (FIRST, SECOND) for v in verdicts)
    losses = sum(v == (SECOND, FIRST) for v in verdicts)
    return wins / (wins + losses), _first(verdicts)


def _first(verdicts: Verdicts) -> float:
    return sum(choice == FIRST for v in verdicts for choice in v) / (2 * len(verdicts))


WON, LOST, BOTH, NEITHER = (FIRST, SECOND), (SECOND, FIRST), (FIRST, FIRST), (SECOND, SECOND)
JUDGED_CASES = (
    Case(([WON, LOST, WON, WON, BOTH],)),
    Case(([WON, WON, LOST, LOST, LOST, BOTH, BOTH, NEITHER],)),
    Case(([BOTH, BOTH, BOTH, WON],), "Three of these four verdicts depend on the order alone."),
    Case(([LOST, LOST, NEITHER],)),
    Case(([WON, LOST],), "One each, and the place played no part: 0.5 and 0.5."),
)


def _share(verdicts: Verdicts, chosen: Any, below: int) -> float:
    return sum(bool(chosen(v)) for v in verdicts) / below


JUDGED_SLIPS = (
    Slip("You divide A's wins by all pairs. A pair that is decided by the order says nothing about A; leave it out.",
         lambda v: (_share(v, lambda x: x == WON, len(v)), _first(v))),
    Slip("A's share is taken from the first order alone, so the judge's love of a place goes into it.",
         lambda v: (_share(v, lambda x: x[0] == FIRST, len(v)), _first(v))),
    Slip("The pairs that are decided by the order count too in A's share, as half a win each; they pull it towards one"
         " half. Leave them out.",
         lambda v: (sum((x[0] == FIRST) + (x[1] == SECOND) for x in v) / (2 * len(v)), _first(v))),
    Slip("In the second order A stands second, so there `second` is a win for A: you count `first` both times.",
         lambda v: (sum(x == BOTH for x in v) / max(1, sum(x in (BOTH, NEITHER) for x in v)), _first(v))),
    Slip("That is the share of the other system: A wins with `first` when it stands first and with `second` when it"
         " stands second.", lambda v: (1 - judged(v)[0], _first(v))),
    Slip("The second number is the share of pairs that contradict themselves. Wanted is how often the first place won,"
         " among all verdicts of both orders.", lambda v: (judged(v)[0], _share(v, lambda x: x[0] == x[1], len(v)))),
    Slip("The second number is the share of pairs in which the first place won twice. Wanted is how often it won among"
         " all verdicts.", lambda v: (judged(v)[0], _share(v, lambda x: x == BOTH, len(v)))),
    Slip("The second number looks at the first order alone; the first place can win in both.",
         lambda v: (judged(v)[0], _share(v, lambda x: x[0] == FIRST, len(v)))),
    Slip("The second number is how often the *second* place won.", lambda v: (judged(v)[0], 1 - _first(v))),
    Slip("Every pair has two verdicts, so divide by twice the number of pairs.",
         lambda v: (judged(v)[0], 2 * _first(v))),
    Slip("The two numbers are in the wrong order: A's share first, then the share of the first place.",
         lambda v: (_first(v), judged(v)[0])),
    Slip("Those are percentages; return shares between 0 and 1.",
         lambda v: (100 * judged(v)[0], 100 * _first(v))),
)  # fmt: skip


def _read_shares(value: Any) -> tuple[float, float]:
    if hasattr(value, "__float__") and not hasattr(value, "__len__"):
        raise Wrong(f"{described(value)}; two numbers are wanted: A's share, and that of the first place")
    return pair(value)


def judged_problems(answer: Any) -> list[str]:
    """What is wrong with what was made of a judge's verdicts."""
    return judge(answer, "judged", JUDGED_CASES, judged, JUDGED_SLIPS, _read_shares, close(2e-3))


EXERCISE = Exercise(
    id="04-judge-bias",
    title="The answer or its place?",
    prompt=(
        "A judge saw each pair of answers twice: once with A's answer first, once with A's answer second. `verdicts`"
        ' has a pair for each: what it chose in the first order and what in the second, each `"first"` or `"second"`.'
        ' So A has won a pair if it is `("first", "second")`. Write a function that returns two shares: A\'s wins'
        " among the pairs in which the same answer won both times, and how often the first place won among all the"
        " verdicts. At least one pair is decided alike both times."
    ),
    stub="def judged(verdicts):\n    ...",
    hints=(
        "There are four kinds of pairs. Two of them name the same answer both times, two name the same *place*.",
        '`("first", "second")` is a win of A, `("second", "first")` a loss; the other two say nothing about A.',
        'The second share: count `"first"` over both verdicts of every pair, divided by `2 * len(verdicts)`.',
    ),
    code=(
        "def judged(verdicts):\n"
        '    wins = sum(one == ("first", "second") for one in verdicts)\n'
        '    losses = sum(one == ("second", "first") for one in verdicts)\n'
        '    first = sum(choice == "first" for one in verdicts for choice in one)\n'
        "    return wins / (wins + losses), first / (2 * len(verdicts))"
    ),
    why=(
        "A judge that always takes the first answer gives A half of all verdicts, whatever A writes, and with a single"
        " order it gives A all of them. Swapping shows it: the share of the first place is far from one half, and few"
        " pairs are decided alike. Report how many those are: a win rate from ten of two hundred pairs is worth little."
    ),
    problems=judged_problems,
)
