"""A puzzle that greedy writing cannot do: reach a goal with all of some numbers.

    Reach 23 with 8, 3 and 5.        5 * 3 = 15. 15 + 8 = 23.

The first step takes two numbers, every further one goes on from the last result with one number more; + - and * are
allowed, results lie between 0 and 99, each number is used once. Writing down the first step that looks right settles
most of the outcome, and whether it was right shows only at the end: a wrong start has to be given up, which a model
that writes from left to right cannot. The steps look like those of the word problems, so a small model can write them.

Only puzzles that few of all possible ways solve are used. Left out: division, brackets, and leaving numbers over.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from course_lib.errors import CourseError

MOST = 99
LARGEST = 9  # of the given numbers: products that a small model has met
FEW = {
    2: 0.5,
    3: 0.1,
    4: 0.03,
}  # the largest share of all ways that may lead to the goal, by how many numbers there are
SIGNS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
STEP = re.compile(r"^\s*(\d+) ([-+*]) (\d+) = (\d+)$")


@dataclass(frozen=True)
class State:
    """Where a solution stands: the numbers ``left``, the last ``result`` (None at the beginning), the ``steps``."""

    goal: int
    left: tuple[int, ...]
    result: int | None = None
    steps: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """All numbers are used."""
        return not self.left

    @property
    def solved(self) -> bool:
        """All numbers are used and the goal is reached."""
        return self.finished and self.result == self.goal

    @property
    def written(self) -> str:
        """The steps as they follow "Steps:", each with a space before and a full stop behind."""
        return "".join(f" {step}." for step in self.steps)

    def take(self, text: str) -> State | None:
        """The state after the step in ``text`` ("5 * 3 = 15"); None when it is no step, wrong, or not allowed."""
        found = STEP.match(text.strip().removesuffix("."))
        if not found:
            return None
        left, sign, right = int(found[1]), found[2], int(found[3])
        if (left, sign, right) not in set(self.moves()) or SIGNS[sign](left, right) != int(found[4]):
            return None
        return self._after(left, sign, right)

    @property
    def distance(self) -> int:
        """How far the result is from the goal: a guess at how much is missing, and exact at the end."""
        return abs(self.goal - (self.result or 0))

    @property
    def place(self) -> tuple[int | None, tuple[int, ...]]:
        """What decides how it can go on: 3 + 5 and 5 + 3 are the same place."""
        return self.result, tuple(sorted(self.left))

    @property
    def options(self) -> tuple[str, ...]:
        """Every allowed step as it would be written next, a space before and a full stop behind."""
        steps = (f" {left} {sign} {right} = {SIGNS[sign](left, right)}." for left, sign, right in self.moves())
        return tuple(dict.fromkeys(steps))

    def moves(self) -> Iterator[tuple[int, str, int]]:
        """Every allowed step as (left, sign, right)."""
        firsts = set(self.left) if self.result is None else {self.result}
        for first in sorted(firsts):
            others = list(self.left)
            if self.result is None:
                others.remove(first)
            for other in sorted(set(others)):
                for left, right in dict.fromkeys(((first, other), (other, first))):
                    for sign, work in SIGNS.items():
                        if 0 <= work(left, right) <= MOST:
                            yield left, sign, right

    def ends(self) -> Iterator[State]:
        """Every way to use up all numbers; a + b and b + a are one way."""
        if self.finished:
            yield self
            return
        nexts = {}
        for left, sign, right in self.moves():
            if sign == "-" or left == self.result or (self.result is None and left <= right):
                nexts[left, sign, right] = self._after(left, sign, right)
        for state in nexts.values():
            yield from state.ends()

    def _after(self, left: int, sign: str, right: int) -> State:
        rest = list(self.left)
        used = [left, right]
        if self.result is not None:
            used.remove(self.result)
        for number in used:
            rest.remove(number)
        result = SIGNS[sign](left, right)
        return State(self.goal, tuple(rest), result, (*self.steps, f"{left} {sign} {right} = {result}"))


def start(record: Mapping[str, Any]) -> State:
    """The empty solution of a record with ``numbers`` ("8, 3 and 5") and ``goal``.

    Raises CourseError when there are fewer than two numbers or no goal in it.
    """
    numbers = tuple(int(one) for one in re.findall(r"\d+", str(record.get("numbers", ""))))
    if len(numbers) < 2 or not str(record.get("goal", "")).isdigit():
        raise CourseError('A puzzle has numbers such as "8, 3 and 5" and a goal, a whole number: give both.')
    return State(int(record["goal"]), numbers)


def solves(record: Mapping[str, Any], written: str) -> bool:
    """Whether these steps ("5 * 3 = 15. 15 + 8 = 23.") solve the record's puzzle, each step looked at again."""
    state = start(record)
    for text in filter(None, (part.strip() for part in written.split("."))):
        taken = state.take(text)
        if taken is None:
            return False
        state = taken
    return state.solved


def sample(rng: Random, count: int = 4) -> State:
    """A solved puzzle with ``count`` numbers (2 to 4) that few of all ways lead to. Raises CourseError for others."""
    if count not in FEW:
        raise CourseError(f"A puzzle has 2, 3 or 4 numbers, not {count}.")
    while True:
        numbers = tuple(rng.randint(2, LARGEST) for _ in range(count))
        ends = list(State(0, numbers).ends())
        chosen = rng.choice(ends)
        goal = chosen.result or 0
        hits = sum(end.result == goal for end in ends)
        if goal > LARGEST and len(set(numbers)) == count and hits <= max(1, FEW[count] * len(ends)):
            return State(goal, (), goal, chosen.steps)


def items(rng: Random, n: int, count: int = 4) -> list[dict[str, str]]:
    """``n`` different puzzles as records: ``numbers``, ``goal``, ``steps`` (one solution)."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    while len(found) < n:
        solved = sample(rng, count)
        numbers = _numbers(solved, rng)
        record = {"numbers": numbers, "goal": str(solved.goal), "steps": solved.written.strip()}
        assert solves(record, record["steps"]), record
        found.setdefault((numbers, record["goal"]), record)
    return list(found.values())


def _numbers(solved: State, rng: Random) -> str:
    """The numbers of a solved puzzle in any order: "8, 3 and 5"."""
    numbers: list[str] = []
    last = ""
    for step in solved.steps:
        used = [step.split()[0], step.split()[2]]
        if last:
            used.remove(last)
        numbers += used
        last = step.split()[-1]
    rng.shuffle(numbers)
    return join(numbers)


def join(words: Sequence[str]) -> str:
    """ "8, 3 and 5"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
