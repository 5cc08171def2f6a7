"""Lesson 03: which parameters train. The slips are parts forgotten or counted too much, also several at once."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, judge, number

VOCABULARY, POSITIONS = 30_522, 512  # of MiniLM


def trainable(n: int, width: int, mlp: int, hidden: int, classes: int) -> int:
    """Parameters of the last n blocks and of a head with one hidden layer."""
    attention = 4 * (width * width + width)
    feed_forward = width * mlp + mlp + mlp * width + width
    norms = 2 * 2 * width
    head = width * hidden + hidden + hidden * classes + classes
    return n * (attention + feed_forward + norms) + head


# What is forgotten or counted too much, as a number of parameters: (sentence, change of the count).
MISCOUNTS: tuple[tuple[str, Any], ...] = (
    ("The biases in the blocks are missing: each linear layer has one for each output.",
     lambda n, d, m, h, c: -n * (5 * d + m)),
    ("The biases of the head's two layers are missing.", lambda n, d, m, h, c: -(h + c)),
    ("The LayerNorms are missing: a block has two, each with a scale and a shift of `width`.",
     lambda n, d, m, h, c: -n * 4 * d),
    ("A LayerNorm has a scale and a shift; you count one of them.", lambda n, d, m, h, c: -n * 2 * d),
    ("The head is missing; it trains too, even for n = 0.", lambda n, d, m, h, c: -(d * h + h + h * c + c)),
    ("The head has a hidden layer: width -> hidden -> classes, not width -> classes.",
     lambda n, d, m, h, c: d * c + c - (d * h + h + h * c + c)),
    ("The feed-forward part has two matrices, width -> mlp and mlp -> width; you count one.",
     lambda n, d, m, h, c: -n * (d * m + d)),
    ("The feed-forward part has two matrices, width -> mlp and mlp -> width; you count one of them (with all biases).",
     lambda n, d, m, h, c: -n * d * m),
    ("Attention has four matrices (query, key, value and output); you count three.",
     lambda n, d, m, h, c: -n * (d * d + d)),
    ("Attention has four matrices (query, key, value and output); you count one.",
     lambda n, d, m, h, c: -n * 3 * (d * d + d)),
    ("The embeddings are counted, but they stay frozen when only the last n blocks train.",
     lambda n, d, m, h, c: (VOCABULARY + POSITIONS + 2) * d + 2 * d),
    ("The word embeddings are counted, but they stay frozen when only the last n blocks train.",
     lambda n, d, m, h, c: VOCABULARY * d),
    ("The head is counted once for each block; there is one head.",
     lambda n, d, m, h, c: (n - 1) * (d * h + h + h * c + c)),
    ("Those are the blocks that stay frozen, or all of them: only the last n of the 6 train.",
     lambda n, d, m, h, c: (6 - n) * (4 * d * d + 2 * d * m + 9 * d + m)),
    ("Those are the blocks that stay frozen: the last n of the 6 train.",
     lambda n, d, m, h, c: (6 - 2 * n) * (4 * d * d + 2 * d * m + 9 * d + m)),
    ("A pooler is counted; the course drops it and takes the mean over the tokens.", lambda n, d, m, h, c: d * d + d),
)  # fmt: skip

TRAINABLE_CASES = (
    Case((2, 384, 1536, 128, 2)),
    Case((0, 384, 1536, 128, 2), "With no block trained, the head alone is left."),
    Case((6, 384, 1536, 64, 5)),
    Case((3, 768, 3072, 256, 10)),
    Case((1, 100, 300, 20, 3)),
)


def trainable_slips() -> list[Slip]:
    """Every miscount alone, then every two and three of them together: people rarely forget only one thing."""

    def compute(changes: tuple[Any, ...]) -> Any:
        return lambda *args: trainable(*args) + sum(change(*args) for change in changes)

    return [
        Slip("\n".join(sentence for sentence, _ in chosen), compute(tuple(change for _, change in chosen)))
        for size in (1, 2, 3)
        for chosen in combinations(MISCOUNTS, size)
    ]


def trainable_problems(answer: Any) -> list[str]:
    """What is wrong with a count of trainable parameters."""

    def same(a: float, b: float) -> bool:
        return abs(a - b) < 0.5

    return judge(answer, "trainable_parameters", TRAINABLE_CASES, trainable, trainable_slips(), number, same)


EXERCISE = Exercise(
    id="03-trainable",
    title="What trains when the last n blocks do",
    prompt=(
        "Write a function that counts the trainable parameters when the last `n` blocks of MiniLM and a head train."
        " A block has attention with four linear layers (query, key, value, output; width -> width), a feed-forward"
        " part with two (width -> mlp -> width), and two LayerNorms with a scale and a shift each. The head is"
        " width -> hidden -> classes. Every linear layer has biases. Embeddings stay frozen and there is no pooler."
    ),
    stub="def trainable_parameters(n, width=384, mlp=1536, hidden=128, classes=2):\n    ...",
    hints=(
        "A linear layer from a to b has a * b weights and b biases. Begin with the head: that is the answer for n = 0.",
        "Write one line each for attention (4 linear layers), feed-forward (2 linear layers) and LayerNorms (2 times"
        " 2 * width); a block is their sum.",
        "One block of MiniLM has 4 * (384 * 384 + 384) + (384 * 1536 + 1536) + (1536 * 384 + 384) + 4 * 384 ="
        " 1,774,464 parameters.",
    ),
    code=(
        "def trainable_parameters(n, width=384, mlp=1536, hidden=128, classes=2):\n"
        "    attention = 4 * (width * width + width)\n"
        "    feed_forward = (width * mlp + mlp) + (mlp * width + width)\n"
        "    norms = 2 * 2 * width\n"
        "    head = (width * hidden + hidden) + (hidden * classes + classes)\n"
        "    return n * (attention + feed_forward + norms) + head"
    ),
    why=(
        "A block has about 12 * width^2 parameters when mlp is 4 * width: a third in attention, two thirds in the"
        " feed-forward part. Biases and norms are below one percent and are still counted, because the table of the"
        " ladder counts them. The head is small beside one block, which is why training it alone is so quick."
    ),
    problems=trainable_problems,
)
