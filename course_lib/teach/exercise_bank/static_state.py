"""Lesson 01: bytes of weights, gradients and Adam. The slips are copies forgotten, or counted for what is frozen."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def static_bytes(frozen: int, trained: int) -> int:
    """Bytes in mixed precision with Adam: 2 for a frozen weight; 2 + 2 + 4 + 4 + 4 for one that learns."""
    return 2 * frozen + 16 * trained


STATIC_CASES = (
    Case((0, 1000), "Here everything learns."),
    Case((1000, 0), "Nothing learns here: this is a model that only answers."),
    Case((1000, 10)),
    Case((12, 3)),
    Case((6_738_415_616, 19_988_480), "That is Llama-2-7B with a LoRA."),
)

STATIC_SLIPS = (
    Slip("Two bytes are missing for each trained weight: a 16-bit weight and a 16-bit gradient exist beside the master"
         " copy.", lambda f, t: 2 * f + 14 * t),
    Slip("Four bytes are missing for each trained weight: the fp32 master copy, or one of Adam's two running means.",
         lambda f, t: 2 * f + 12 * t),
    Slip("Eight bytes are missing for each trained weight: Adam keeps two running means in fp32, 4 bytes each, and"
         " there is a master copy in fp32 as well.", lambda f, t: 2 * f + 8 * t),
    Slip("A trained weight has more than itself and its gradient: a master copy and two running means, 4 bytes each.",
         lambda f, t: 2 * f + 4 * t),
    Slip("Frozen weights have neither gradient nor optimizer state: 2 bytes each.", lambda f, t: 16 * (f + t)),
    Slip("The frozen weights are missing: they do not learn, but they are there, 2 bytes each.",
         lambda f, t: 16 * t),
    Slip("A frozen weight is held in 16 bits, which are 2 bytes; you count 4.", lambda f, t: 4 * f + 16 * t),
    Slip("Two bytes too many for each trained weight: its gradient is 16-bit, and it is not among the frozen weights.",
         lambda f, t: 2 * f + 18 * t),
    Slip("That is the number of parameters; bytes are asked for.", lambda f, t: f + t),
    Slip("Those are gigabytes; give bytes.", lambda f, t: static_bytes(f, t) / 1e9),
    Slip("Those are GiB; give bytes.", lambda f, t: static_bytes(f, t) / 2**30),
    Slip("Those are bits; 8 of them are a byte.", lambda f, t: 8 * static_bytes(f, t)),
    Slip("The two arguments are swapped: `frozen` comes first.", lambda f, t: static_bytes(t, f)),
)  # fmt: skip


def static_problems(answer: Any) -> list[str]:
    """What is wrong with a number of bytes."""
    return judge(answer, "static_bytes", STATIC_CASES, static_bytes, STATIC_SLIPS, number, close(1e-6))


EXERCISE = Exercise(
    id="01-static",
    title="What stays in memory, whatever the batch",
    prompt=(
        "In mixed precision with Adam a weight that learns exists as a 16-bit weight with a 16-bit gradient, as an"
        " fp32 master copy, and in two fp32 running means of Adam. A frozen weight exists once, in 16 bits. Write a"
        " function that returns the bytes for `frozen` and `trained` parameters."
    ),
    stub="def static_bytes(frozen, trained):\n    ...",
    hints=(
        "16 bits are 2 bytes, 32 bits are 4. How many bytes does a single frozen weight take? That is the answer for"
        " `static_bytes(1, 0)`.",
        "A weight that learns: 2 for itself, 2 for its gradient, 4 for the master copy, and 4 for each of Adam's two"
        " running means. Add them up for `static_bytes(0, 1)`.",
        "2 bytes times `frozen`, plus (2 + 2 + 4 + 4 + 4) bytes times `trained`.",
    ),
    code="def static_bytes(frozen, trained):\n    return 2 * frozen + (2 + 2 + 4 + 4 + 4) * trained",
    why=(
        "Learning costs eight times what being there costs. A LoRA makes nearly all weights frozen, so that of 16"
        " bytes per parameter little more than 2 are left. It can never go below those 2: for less the frozen weights"
        " themselves have to be held in fewer bits, which is what QLoRA does."
    ),
    problems=static_problems,
)
