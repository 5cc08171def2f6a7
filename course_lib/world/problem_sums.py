"""The arithmetic of the word problems: numbers for a programme of steps, and whole documents of nothing but sums.

Numbers in a text are 2 to 60, results 0 to 99, factors and divisors 2 to 9, small ones more often; division is exact.
A programme such as ``"a*b c-1"`` says what is computed: a times b; then c minus the result of step 1. Its letters get
numbers one after the other, each drawn so that its own step stays in range; where that fails all is drawn again.

Every equation is checked by a second route: lists of sums by undoing them, the steps of problems by counting.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from random import Random

LOW, HIGH, MOST = 2, 60, 99  # numbers in the text; the largest result
FACTORS = (2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9)
OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}
INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def run(rng: Random, programme: str) -> tuple[dict[str, int], tuple[str, ...], int]:
    """Numbers for the letters of a programme, drawn until every result is in range: numbers, equations, the answer."""
    while True:
        numbers: dict[str, int] = {}
        results: list[int] = []
        equations: list[str] = []
        for left, sign, right in map(tuple, programme.split()):
            x = results[int(left) - 1] if left.isdigit() else numbers.get(left)
            y = results[int(right) - 1] if right.isdigit() else numbers.get(right)
            pair = operands(rng, sign, x, y)
            if pair is None:
                break
            for name, number in zip((left, right), pair, strict=True):
                if not name.isdigit():
                    numbers[name] = number
            results.append(OPERATIONS[sign](*pair))
            equations.append(f"{pair[0]} {sign} {pair[1]} = {results[-1]}")
        else:
            return numbers, tuple(equations), results[-1]


def operands(rng: Random, sign: str, x: int | None, y: int | None) -> tuple[int, int] | None:
    """The two numbers of a step, each drawn where it is None; None when no number would do."""
    if sign == "*":
        x, y = x or rng.choice(FACTORS), y or rng.choice(FACTORS)
        return (x, y) if x * y <= MOST else None
    if sign == "/":
        if x is None:
            y = y or rng.choice(FACTORS)
            x = y * rng.randint(2, 10)
            return (x, y) if x <= HIGH else None
        fitting = [one for one in FACTORS if x % one == 0 and x > one] if y is None else [y] * (x % y == 0)
        return (x, rng.choice(fitting)) if fitting else None
    if sign == "+":
        if x is None:
            x = draw(rng, LOW, HIGH)
        if y is None:
            y = draw(rng, LOW, min(HIGH, MOST - x)) if x <= MOST - LOW else MOST
        return (x, y) if x + y <= MOST else None
    if x is None:
        x = (y + draw(rng, 1, HIGH - y) if y < HIGH else 0) if y is not None else draw(rng, LOW + 1, HIGH)
    if y is None:
        y = draw(rng, LOW, min(HIGH, x - 1)) if x > LOW else x
    return (x, y) if x > y else None


def draw(rng: Random, low: int, high: int) -> int:
    """A number from low to high; four in ten are at most 9, and half of the others at most 20."""
    chance = rng.random()
    top = min(high, 9 if chance < 0.4 else 20 if chance < 0.7 else high)
    return rng.randint(low, max(low, top))


def counted(left: int, sign: str, right: int) -> int:
    """A sum worked out by counting, which shares no code with the generator's arithmetic."""
    if sign == "+":
        return len(range(left)) + len(range(right))
    if sign == "-":
        return len(range(right, left))
    if sign == "*":
        return sum(left for _ in range(right))
    return len(range(0, left, right)) if left % right == 0 else -1


def sums(rng: Random) -> str:
    """A document of 15 to 30 sums: one operation or several, the table of one number, or counting on by steps."""
    kind, n = rng.choice(("mixed", "mixed", "one", "one", "table", "count")), rng.randint(15, 30)
    operations = "+-*/" if kind == "mixed" else rng.choice("++--*/")
    if kind == "table":
        number = rng.randint(2, 9)
        lines = [_equation(i, "*", number) for i in range(1, 11)]
        lines += [_equation(i * number, "/", number) for i in range(1, 11)]
    elif kind == "count":
        by, start, lines = rng.randint(1, 9), rng.randint(0, 20), []
        while start + by <= MOST and len(lines) < n:
            lines.append(_equation(start, "+", by))
            start += by
        if rng.random() < 0.4:
            lines = [_equation(int(line.split()[-1]), "-", by) for line in reversed(lines)]
    else:
        lines = [_equation(*_sum(rng, rng.choice(operations))) for _ in range(n)]
    return rng.choice(("\n", "\n", "\n", ", ", ". ")).join(lines)


def _sum(rng: Random, sign: str) -> tuple[int, str, int]:
    """Two numbers whose result with the sign is a whole number from 0 to 99."""
    if sign == "*":
        return rng.randint(1, 10), sign, rng.randint(1, 9)
    if sign == "/":
        divisor = rng.randint(2, 9)
        return divisor * rng.randint(1, 10), sign, divisor
    right = draw(rng, 0, HIGH)
    left = rng.randint(0, MOST - right)
    return (left, sign, right) if sign == "+" else (left + right, sign, right)


def _equation(left: int, sign: str, right: int) -> str:
    """ "7 + 8 = 15", the result checked backwards."""
    result = OPERATIONS[sign](left, right)
    assert OPERATIONS[INVERSE[sign]](result, right) == left
    return f"{left} {sign} {right} = {result}"
