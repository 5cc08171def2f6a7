"""Lesson 01: what activations take with and without checkpointing. The slips are layers forgotten or kept too long."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def activation_bytes(layers: int, boundary: int, inside: int, checkpointing: bool) -> int:
    """Bytes at the peak: all of every layer; or every layer's input, and the inside of the one computed again."""
    return layers * boundary + inside if checkpointing else layers * (boundary + inside)


CHECKPOINT_CASES = (
    Case((12, 100, 900, False), "Without checkpointing every layer keeps both."),
    Case((12, 100, 900, True)),
    Case((80, 16, 400, True)),
    Case((32, 8_192_000, 178_000_000, False)),
    Case((1, 100, 900, True), "With a single layer checkpointing saves nothing."),
)

CHECKPOINT_SLIPS = (
    Slip("With checkpointing the inside of one layer is there too: the backward pass computes it again.",
         lambda n, b, i, on: n * b if on else n * (b + i)),
    Slip("`checkpointing` makes no difference in your function; with it only the boundaries of all layers stay.",
         lambda n, b, i, on: n * (b + i)),
    Slip("`checkpointing` makes no difference in your function; without it every layer keeps its inside as well.",
         lambda n, b, i, on: n * b + i),
    Slip("Every layer keeps its own boundary when there is checkpointing; you count one of them.",
         lambda n, b, i, on: b + i if on else n * (b + i)),
    Slip("Without checkpointing every layer keeps its boundary as well as its inside.",
         lambda n, b, i, on: n * b + i if on else n * i),
    Slip("Without checkpointing every layer keeps its boundary as well as its inside.\nWith checkpointing the inside of"
         " one layer is there too.",
         lambda n, b, i, on: n * b if on else n * i),
    Slip("The two cases are swapped: `checkpointing=True` is the one that keeps less.",
         lambda n, b, i, on: activation_bytes(n, b, i, not on)),
    Slip("With checkpointing the boundaries stay and one inside is computed again; you keep all insides and one"
         " boundary.",
         lambda n, b, i, on: n * i + b if on else n * (b + i)),
    Slip("Two layers are never computed again at the same time: the inside counts once.",
         lambda n, b, i, on: n * b + 2 * i if on else n * (b + i)),
    Slip("Those are gigabytes; give bytes.", lambda n, b, i, on: activation_bytes(n, b, i, on) / 1e9),
)  # fmt: skip


def checkpoint_problems(answer: Any) -> list[str]:
    """What is wrong with a number of bytes."""
    return judge(answer, "activation_bytes", CHECKPOINT_CASES, activation_bytes, CHECKPOINT_SLIPS, number, close(1e-6))


EXERCISE = Exercise(
    id="01-checkpoint",
    title="What checkpointing keeps",
    prompt=(
        "A forward pass leaves two kinds of bytes in each of `layers` layers: its input (`boundary`) and everything"
        " that its backward pass needs besides (`inside`). With checkpointing every layer keeps its boundary only;"
        " the backward pass computes the inside of one layer again, uses it, drops it, and goes on to the next. Write"
        " a function that returns the bytes at the peak."
    ),
    stub="def activation_bytes(layers, boundary, inside, checkpointing):\n    ...",
    hints=(
        "Begin without checkpointing: every layer keeps its boundary and its inside until the backward pass comes by.",
        "With checkpointing, what do all layers keep, and what is there for one layer at a time?",
        "Without: layers * (boundary + inside). With: layers * boundary + inside.",
    ),
    code=(
        "def activation_bytes(layers, boundary, inside, checkpointing):\n"
        "    if checkpointing:\n"
        "        return layers * boundary + inside\n"
        "    return layers * (boundary + inside)"
    ),
    why=(
        "The inside is about twenty times as large as the boundary, so with many layers nearly all of it goes. The"
        " price is a second forward pass: 8 instead of 6 operations per parameter and token, a third more time. Once"
        " the activations are small, something else decides the peak, often the logits or the step of the optimizer;"
        " then more checkpointing saves nothing."
    ),
    problems=checkpoint_problems,
)
