"""Claims of lesson 04 that need no trained model: templates and formats are run, a day on one GPU is worked out.

Also the two small tests that the lesson's checks share: whether one share is the higher one (Fisher), and whether one
order foretells another (Spearman). Both are exact: they count cases instead of trusting a curve.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from course_lib import prompts, records
from course_lib.errors import CourseError
from course_lib.memory.gpus import gpu
from course_lib.memory.models import preset
from course_lib.memory.plan import plan
from course_lib.records.conversations import ASSISTANT, SYSTEM, USER, Conversation, Message
from course_lib.teach.claim_checks.evidence import Finding
from course_lib.world import instructions, reviews
from course_lib.world.place import Place

HOLDS, CONDITIONS, CORRECTED = "holds", "holds with conditions", "corrected"

TEMPLATES = ("rating", "headline", "writing")
REVIEWS = 50
DAY = 24 * 3600.0
CARDS = ("t4", "rtx-3090")  # 16 and 24 GB
SIZES = ("qwen2.5-0.5b", "llama-3.2-1b", "smollm2-1.7b", "llama-3.2-3b", "llama-2-7b", "llama-2-13b", "codellama-34b")
USEFUL = ("llama-2-7b", 50_000 * 200)  # a model, and the tokens of the 50,000 examples that lesson 05's claim speaks of
FROM_SCRATCH = ("llama-3.2-1b", 20.0)  # a model to be trained from nothing, tokens a parameter (Hoffmann et al. 2022)
LENGTH, BATCH = 512, 16


def jinja_templates(told: Any) -> Finding:
    """Three templates on the same records: is another field asked for each time, and is none of them given away?"""
    some = reviews.items(Place.build(), Random(4), REVIEWS)
    found = {name: prompts.task(f"reviews/{name}").main for name in TEMPLATES}
    asked = {name: one.target_fields for name, one in found.items()}
    apart = len({*asked.values()}) == len(found) and all(len(fields) == 1 for fields in asked.values())
    made = [(one.render(record), record[asked[name][0]]) for name, one in found.items() for record in some]
    whole = sum(answer in example.target and answer not in example.prompt.split("\n") for example, answer in made)
    supports = HOLDS if apart and whole == len(made) else CONDITIONS if apart else CORRECTED
    figure = f"{len(found)} templates, {whole} examples from {len(some)} records"
    fields = ", ".join(f"{name} asks for {' and '.join(wanted)}" for name, wanted in asked.items())
    sentence = f"{len(some)} review records gave {whole} examples through {len(found)} templates: {fields}."
    return Finding(
        "jinja-templates", figure, {"templates": float(len(found)), "examples": float(whole)}, supports, sentence
    )


def openai_format(told: Any) -> Finding:
    """Which formats can hold everything? A format holds a conversation that comes back from a file as it was."""
    kinds = dict(_conversations())
    held = {name: [kind for kind, some in kinds.items() if _comes_back(some, name)] for name in records.FORMATS}
    into = all(_comes_back(kinds[kind], name, "chat") for name, found in held.items() for kind in found)
    complete = [name for name, found in held.items() if len(found) == len(kinds)]
    chat = "chat" in complete and into
    supports = CORRECTED if not chat else HOLDS if complete == ["chat"] else CONDITIONS
    figure = f"{len(complete)} of {len(held)} formats hold everything: {', '.join(complete) or 'none'}"
    each = ", ".join(f"{name} {len(found)}" for name, found in held.items())
    sentence = (
        f"Of {len(kinds)} kinds of conversations (one question, with an input, with a system message, of several turns)"
        f" every format was written and read back; unchanged came back: {each}. What any format holds goes through chat"
        f" {'without loss' if into else 'with losses'}. How usual a format is in the world is not measured here."
    )
    return Finding(
        "openai-format", figure, {name: float(len(found)) for name, found in held.items()}, supports, sentence
    )


def one_gpu_one_day(told: Any) -> Finding:
    """What fits and how many tokens pass in a day: a 7B model adapted, and a 1B model trained from nothing."""
    rows = {card: day(card) for card in CARDS}
    model, wanted = USEFUL
    place = SIZES.index(model)
    adapts = all(any(SIZES.index(n) >= place and t >= wanted for n, _, t in some) for some in rows.values())
    name, each = FROM_SCRATCH
    needed = each * preset(name).parameters
    scratch = all(any(n == name and how == "full" and t >= needed for n, how, t in some) for some in rows.values())
    largest = {card: max(some, key=lambda row: (SIZES.index(row[0]), row[2])) for card, some in rows.items()}
    figure = "; ".join(f"{card}: {n} with {how}, {t / 1e6:.0f} million tokens" for card, (n, how, t) in largest.items())
    full = {card: [row for row in some if row[1] == "full"] for card, some in rows.items()}
    fulls = "; ".join(
        f"{card} {some[-1][0]}, {some[-1][2] / 1e6:.0f} million tokens" if some else f"{card} none"
        for card, some in full.items()
    )
    sentence = (
        f"In 24 hours, by the plan ({BATCH} sequences of {LENGTH} tokens a step, checkpointing): the largest model that"
        f" fits is {figure}; with every weight {fulls}. {wanted / 1e6:.0f} million tokens for a 7B model"
        f" {'fit' if adapts else 'do not fit'} into the day of both; training a 1B model from nothing would take"
        f" {needed / 1e9:.0f} billion and {'fits' if scratch else 'does not'}."
    )
    values = {f"{card} {n} {how}": t for card, some in rows.items() for n, how, t in some}
    return Finding("one-gpu-one-day", figure, values, of_two(adapts, scratch), sentence)


def day(card: str) -> list[tuple[str, str, float]]:
    """Model, method and tokens in 24 hours, for every combination that fits on the card; small models first."""
    found = []
    for name, method in itertools.product(SIZES, ("full", "lora", "qlora")):
        short = "fp16" if not gpu(card).bf16 else "bf16"
        precision = f"{short}-mixed" if method == "full" else short
        options: dict[str, Any] = {"method": method, "precision": precision, "seq_len": LENGTH, "accumulate": BATCH}
        options |= {"checkpointing": True, "optimizer": "adamw-8bit", "chunked_loss": LENGTH}
        planned = plan(name, gpu=card, engine="formulas", advise=False, **options)
        if planned.fits:
            found.append((name, method, DAY / planned.seconds * LENGTH * BATCH))
    return found


def of_two(first: bool, second: bool) -> str:
    """The verdict on a claim of two parts."""
    return (CORRECTED, CONDITIONS, HOLDS)[first + second]


def higher_share(right: int, n: int, other: int, m: int) -> float:
    """How likely ``right`` of n or more would be if both shares were the same (Fisher's exact test, one-sided).

    >>> round(higher_share(3, 3, 0, 3), 6)  # one of the 20 ways to deal three right ones to two hands of three
    0.05
    """
    total, all_right = n + m, right + other
    ways = math.comb(total, all_right)
    most = min(n, all_right)
    return sum(math.comb(n, k) * math.comb(m, all_right - k) for k in range(right, most + 1)) / ways


def rank_test(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation, and the share of all orders in which it would be as high (one-sided, exact).

    >>> rank_test([1, 2, 3, 4], [10, 20, 30, 40])  # only one of the 24 orders is as high
    (1.0, 0.041666666666666664)
    """
    one, other = _ranks(first), _ranks(second)
    seen = _correlation(one, other)
    orders = [_correlation(one, order) for order in itertools.permutations(other)]
    return seen, sum(rho >= seen - 1e-12 for rho in orders) / len(orders)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0; equal values share the middle of theirs."""
    return [sum(x < v for x in values) + (sum(x == v for x in values) - 1) / 2 for v in values]


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    middle = (len(one) - 1) / 2
    product = sum((a - middle) * (b - middle) for a, b in zip(one, other, strict=True))
    size = math.sqrt(sum((a - middle) ** 2 for a in one) * sum((b - middle) ** 2 for b in other))
    return product / size if size else 0.0


def _conversations() -> Iterator[tuple[str, list[Conversation]]]:
    """Conversations of four kinds, made of the world's tasks."""
    some = instructions.mixture(Place.build(), Random(34), 34)
    yield "question", [Conversation.of(one["instruction"], output=one["output"]) for one in some]
    yield "input", [Conversation.of(one["instruction"], one["input"], one["output"]) for one in some]
    yield "system", [Conversation.of(one["instruction"], output=one["output"], system="Be brief.") for one in some]
    turns = [(Message(USER, one["input"] or one["instruction"]), Message(ASSISTANT, one["output"])) for one in some]
    head = Message(SYSTEM, "Help the guests of Saromi.")
    yield "turns", [Conversation((head, *first, *second)) for first, second in itertools.pairwise(turns)]


def _comes_back(some: Sequence[Conversation], *formats: str) -> bool:
    """Whether conversations are the same after a file of each of these formats, one made from the other."""
    left = list(some)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(formats):
            path = Path(folder) / f"{number}.{'csv' if name == 'csv' else 'jsonl'}"
            try:
                records.write_conversations(path, left, name)
                left = records.read_conversations(path, name)
            except CourseError:
                return False
    return left == list(some)
