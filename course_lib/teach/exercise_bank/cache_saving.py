"""Lesson 03: what keeping the activations of frozen blocks saves. The slips are passes forgotten or counted twice."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def speedup(blocks: int, frozen: int, epochs: int) -> float:
    """How many times cheaper training is when frozen blocks are computed once; forward 1 and backward 2 per block."""
    trained = blocks - frozen
    return epochs * (frozen + 3 * trained) / (frozen + epochs * 3 * trained)


CACHE_CASES = (
    Case((6, 4, 3)),
    Case((12, 10, 4)),
    Case((6, 6, 10), "With every block frozen, only the one pass that fills the cache is left."),
    Case((6, 0, 5), "With no block frozen there is nothing to keep, so the two cost the same."),
    Case((6, 5, 1), "In a single epoch every text is seen once, so keeping its activations saves nothing."),
)

CACHE_SLIPS = (
    Slip("The pass that fills the cache is missing: each frozen block still runs once for every text.",
         lambda b, k, e: (k + 3 * (b - k)) / (3 * (b - k)) if k < b else float("inf")),
    Slip("Frozen blocks have no backward pass: without a cache they cost 1 in each epoch, not 3.",
         lambda b, k, e: e * 3 * b / (k + e * 3 * (b - k))),
    Slip("Frozen blocks have no backward pass (1, not 3), and the pass that fills the cache is missing.",
         lambda b, k, e: 3 * b / (3 * (b - k)) if k < b else float("inf")),
    Slip("Filling the cache is a forward pass only: a frozen block costs 1, not 3.",
         lambda b, k, e: e * (k + 3 * (b - k)) / (3 * k + e * 3 * (b - k))),
    Slip("The ratio is upside down: divide the cost without a cache by the cost with it.",
         lambda b, k, e: 1 / speedup(b, k, e)),
    Slip("The cache is filled once, not in every epoch.", lambda b, k, e: 1.0),
    Slip("A trained block costs 3 in each epoch: 1 forward and 2 backward. You count 2.",
         lambda b, k, e: e * (k + 2 * (b - k)) / (k + e * 2 * (b - k))),
    Slip("The backward pass is missing: a trained block costs 1 forward and 2 backward.",
         lambda b, k, e: e * b / (k + e * (b - k))),
    Slip("Only the frozen blocks run to fill the cache, not all of them.",
         lambda b, k, e: e * (k + 3 * (b - k)) / (b + e * 3 * (b - k))),
    Slip("The first epoch fills the cache and trains as well: trained blocks cost 3 in every epoch.",
         lambda b, k, e: e * (k + 3 * (b - k)) / (k + (e - 1) * 3 * (b - k)) if k < b or e > 1 else float("inf")),
    Slip("That is the share of the cost that is saved; wanted is how many times cheaper it is.",
         lambda b, k, e: 1 - 1 / speedup(b, k, e)),
    Slip("That is the difference of the two costs; divide them instead.",
         lambda b, k, e: e * (k + 3 * (b - k)) - (k + e * 3 * (b - k))),
    Slip("`frozen` is the number of frozen blocks; you take it for the number of trained ones.",
         lambda b, k, e: speedup(b, b - k, e)),
)  # fmt: skip


def cache_problems(answer: Any) -> list[str]:
    """What is wrong with a speed-up."""
    return judge(answer, "speedup", CACHE_CASES, speedup, CACHE_SLIPS, number, close(2e-3))


EXERCISE = Exercise(
    id="03-cache-saving",
    title="What keeping the activations saves",
    prompt=(
        "An encoder has `blocks` blocks, of which the first `frozen` stay frozen while the rest train for `epochs`"
        " epochs. Let a forward pass through a block cost 1 and a backward pass 2, and forget embeddings and head."
        " Write a function that returns the cost without a cache divided by the cost with one, where the activations"
        " after the last frozen block are computed once and kept."
    ),
    stub="def speedup(blocks, frozen, epochs):\n    ...",
    hints=(
        "Without a cache, what does one epoch cost? Frozen blocks go forward only; trained ones also go backward.",
        "With a cache the frozen blocks run once in all, to fill it; the trained blocks cost the same as before, in"
        " every epoch.",
        "Without: epochs * (frozen + 3 * (blocks - frozen)). With: frozen + epochs * 3 * (blocks - frozen).",
    ),
    code=(
        "def speedup(blocks, frozen, epochs):\n"
        "    trained = blocks - frozen\n"
        "    without = epochs * (frozen + 3 * trained)\n"
        "    with_cache = frozen + epochs * 3 * trained\n"
        "    return without / with_cache"
    ),
    why=(
        "With everything frozen the factor is the number of epochs; with nothing frozen it is 1. In between it is"
        " smaller than people hope, because the trained blocks cost three times as much as frozen ones and are paid in"
        " every epoch. The pass that fills the cache is shared by all rungs that keep those blocks frozen, so on the"
        " whole ladder it is paid only once."
    ),
    problems=cache_problems,
)
