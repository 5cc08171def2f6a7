"""Lesson 04: who may look at whom in a packed row. The slips let examples read each other, or the future."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Lengths = list[int]


def _segment(place: int, lengths: Lengths) -> int:
    """The number of the example that a place belongs to, from 0."""
    return sum(end <= place for end in accumulate(lengths))


def may_see(i: int, j: int, lengths: Lengths) -> bool:
    """Whether the token at place i may look at the one at place j: of the same example, and not behind it."""
    return j <= i and _segment(i, lengths) == _segment(j, lengths)


SEE_CASES = (
    Case((1, 0, [4, 3, 5]), "Both are in the first example, and 0 comes first."),
    Case((0, 1, [4, 3, 5]), "Token 1 comes after token 0: a model that could look at it would copy its answer."),
    Case((2, 2, [4, 3, 5]), "A token may look at itself."),
    Case((4, 3, [4, 3, 5]), "Tokens 0 to 3 are the first example; token 4 begins the second."),
    Case((3, 0, [4, 3, 5]), "Tokens 0 to 3 are the first example."),
    Case((6, 4, [4, 3, 5]), "Tokens 4 to 6 are the second example."),
    Case((11, 2, [4, 3, 5]), "The third example must not read the first."),
    Case((7, 6, [4, 3, 5]), "Token 7 begins the third example."),
    Case((11, 7, [4, 3, 5]), "Tokens 7 to 11 are the third example."),
    Case((8, 10, [4, 3, 5])),
    Case((0, 0, [1, 1])),
    Case((1, 0, [1, 1]), "Two examples of one token each."),
    Case((5, 1, [2, 4, 2])),
    Case((5, 2, [2, 4, 2])),
    Case((6, 4, [4, 4]), "Two examples of equal length."),
)


def _same(i: int, j: int, lengths: Lengths) -> bool:
    return _segment(i, lengths) == _segment(j, lengths)


SEE_SLIPS = (
    Slip("Within the row every token may look at all earlier ones, also at those of other examples: an answer could"
         " then lean on a text that will not be there when the model is used. Look only within the same example.",
         lambda i, j, n: j <= i),
    Slip("Within an example a token may look ahead in your version, so it sees what it should predict. Add that j must"
         " not lie behind i.", _same),
    Slip("A token cannot look at itself in your version. It may: it predicts the token *after* itself.",
         lambda i, j, n: j < i and _same(i, j, n)),
    Slip("It is the wrong way round: token i looks at token j, so j must not lie behind i.",
         lambda i, j, n: i <= j and _same(i, j, n)),
    Slip("The borders between the examples are one place too far to the right: places count from 0, so an example of 4"
         " tokens has the places 0 to 3.", lambda i, j, n: j <= i and _same(max(0, i - 1), max(0, j - 1), n)),
    Slip("The borders between the examples are one place too far to the left: places count from 0, so the second"
         " example after one of 4 tokens begins at place 4.", lambda i, j, n: j <= i and _same(i + 1, j + 1, n)),
    Slip("You look at how far apart the tokens are, not at whether a border lies between them.",
         lambda i, j, n: 0 <= i - j < n[_segment(i, n)]),
    Slip("That is whether i may *not* look at j.", lambda i, j, n: not may_see(i, j, n)),
    Slip("That is whether both stand in different examples; they must be in the same one.",
         lambda i, j, n: j <= i and not _same(i, j, n)),
)  # fmt: skip


def _read_truth(value: Any) -> bool:
    if str(value) not in ("True", "False", "0", "1"):
        raise Wrong(f"{described(value)} where True or False is wanted")
    return bool(value)


def see_problems(answer: Any) -> list[str]:
    """What is wrong with an attention rule."""
    return judge(answer, "may_see", SEE_CASES, may_see, SEE_SLIPS, _read_truth, lambda a, b: a == b)


EXERCISE = Exercise(
    id="04-pack",
    title="Packed, but apart",
    prompt=(
        "Several examples stand one behind the other in one row, without padding; `lengths` has their numbers of"
        " tokens, so with `[4, 3, 5]` the tokens 0 to 3 are the first example and 4 to 6 the second. Write a function"
        " that returns True if the token at place `i` may look at the token at place `j`: the loss of each example must"
        " be what it is when the example stands alone."
    ),
    stub="def may_see(i, j, lengths):\n    ...",
    hints=(
        "Two conditions: the same example, and j is not behind i.",
        "The example of a place: go through the lengths, adding them up, until the sum is greater than the place.",
        "With `start` and `end` of an example, both must satisfy `start <= place < end` for the same example.",
    ),
    code=(
        "def may_see(i, j, lengths):\n"
        "    start = 0\n"
        "    for length in lengths:\n"
        "        if start <= i < start + length:\n"
        "            return start <= j <= i\n"
        "        start += length"
    ),
    why=(
        "Packing saves what padding wastes: three examples of 4, 3 and 5 tokens padded to the longest are 15 places,"
        " packed 12. With this rule, and with positions that begin again at 0 in each example, the packed loss is the"
        " unpacked one up to rounding. Without it, an example is trained on a beginning that no user will ever send."
    ),
    problems=see_problems,
)
