"""Exercises: right answers in many forms pass, known slips are named, and nothing that is handed in raises."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_lib.errors import CourseError
from course_lib.teach import exercises
from course_lib.teach.exercise_bank import LESSONS, trainable
from course_lib.teach.judging import Exercise, Slip, is_stub
from course_lib.teach.progress import Progress, home, lesson_key, progress

MODULES = {
    name: import_module(f"course_lib.teach.exercise_bank.{name}") for names in LESSONS.values() for name in names
}
TASKS: dict[str, Exercise] = {module.EXERCISE.id: module.EXERCISE for module in MODULES.values()}
SLIPS = {
    "01-static": MODULES["static_state"].STATIC_SLIPS,
    "01-checkpoint": MODULES["checkpointing"].CHECKPOINT_SLIPS,
    "01-kv-cache": MODULES["cache_bytes"].KV_SLIPS,
    "01-zero": MODULES["zero_share"].ZERO_SLIPS,
    "01-days": MODULES["training_days"].DAYS_SLIPS,
    "02-few-shot": MODULES["few_shot_prompt"].PROMPT_SLIPS,
    "02-vote": MODULES["majority_vote"].VOTE_SLIPS,
    "02-recall": MODULES["retrieval_recall"].RECALL_SLIPS,
    "02-perplexity": MODULES["perplexity"].PERPLEXITY_SLIPS,
    "02-break-even": MODULES["break_even"].BREAK_EVEN_SLIPS,
    "03-wilson": MODULES["interval"].WILSON_SLIPS,
    "03-trainable": tuple(trainable.trainable_slips()[: len(trainable.MISCOUNTS)]),
    "03-cache-saving": MODULES["cache_saving"].CACHE_SLIPS,
    "03-macro-f1": MODULES["macro_f1"].MACRO_SLIPS,
    "03-choose-rung": MODULES["choose_rung"].CHOOSE_SLIPS,
    "04-mask": MODULES["learned_tokens"].LEARNED_SLIPS,
    "04-token-f1": MODULES["word_overlap"].F1_SLIPS,
    "04-pack": MODULES["packed_attention"].SEE_SLIPS,
    "04-duplicates": MODULES["copied_questions"].COPIED_SLIPS,
    "04-judge-bias": MODULES["judge_positions"].JUDGED_SLIPS,
}
EACH_SLIP = [pytest.param(id, slip, id=f"{id}-{i}") for id, slips in SLIPS.items() for i, slip in enumerate(slips)]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(source: str) -> Any:
    """What the last name that a cell defines is."""
    names: dict[str, Any] = {}
    exec(source, names)
    return [value for name, value in names.items() if name not in {"__builtins__", "sqrt"}][-1]


def problem(id: str, answer: Any) -> str:
    verdict = exercises.check(id, answer)
    assert verdict.status == "wrong", verdict
    return "\n".join(verdict.problems)


# The exercises as they are written


@pytest.mark.parametrize("id", TASKS)
def test_the_solution_of_an_exercise_is_right(id: str) -> None:
    assert exercises.check(id, run(TASKS[id].code)).ok


@pytest.mark.parametrize("id", TASKS)
def test_the_stub_of_an_exercise_counts_as_not_attempted(id: str, own_home: Path) -> None:
    verdict = exercises.check(id, run(TASKS[id].stub))
    assert verdict.status == "unattempted"
    assert str(verdict).startswith("Not attempted yet")
    assert not own_home.exists()


@pytest.mark.parametrize("id", TASKS)
def test_an_exercise_has_what_a_learner_may_ask_for(id: str) -> None:
    task = TASKS[id]
    assert task.id == id
    assert id.startswith(tuple(f"{lesson}-" for lesson in LESSONS))
    assert len(task.hints) >= 3
    assert all(len(text) > 20 for text in (task.prompt, task.why, *task.hints))
    assert len(SLIPS.get(id, MODULES["words_to_tokens"].SLIPS)) >= 3
    assert "..." in task.stub
    assert str(exercises.prompt(id)).endswith(task.stub)


def test_lesson_01_has_five_exercises_in_order() -> None:
    assert exercises.ids("01") == ("01-static", "01-checkpoint", "01-kv-cache", "01-zero", "01-days")


def test_lesson_02_has_five_exercises_in_order() -> None:
    assert exercises.ids("02") == ("02-few-shot", "02-vote", "02-recall", "02-perplexity", "02-break-even")


def test_lesson_03_has_five_exercises_in_order() -> None:
    assert exercises.ids("03") == ("03-wilson", "03-trainable", "03-cache-saving", "03-macro-f1", "03-choose-rung")
    assert exercises.ids(3) == exercises.ids("03_classifier_ladder") == exercises.ids("3")
    assert exercises.ids("42") == ()


def test_lesson_04_has_five_exercises_in_order() -> None:
    assert exercises.ids("04") == ("04-mask", "04-token-f1", "04-pack", "04-duplicates", "04-judge-bias")


@pytest.mark.parametrize(("id", "slip"), EACH_SLIP)
def test_every_known_slip_is_named(id: str, slip: Slip) -> None:
    assert slip.sentence in problem(id, slip.compute)


@pytest.mark.parametrize("id", SLIPS)
def test_no_two_slips_of_an_exercise_say_the_same_for_different_mistakes(id: str) -> None:
    sentences = [slip.sentence for slip in SLIPS[id]]
    allowed = 1 if id == "03-wilson" else 0  # the Wald interval, as it is and cut off at 0 and 1
    assert len(sentences) - len(set(sentences)) == allowed


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations(range(len(trainable.MISCOUNTS)), 2)), ids=lambda i: str(i)
)
def test_two_miscounts_at_once_are_explained_by_at_most_two_sentences(first: int, second: int) -> None:
    chosen = [trainable.MISCOUNTS[first][1], trainable.MISCOUNTS[second][1]]

    def wrong(*args: int) -> int:
        return trainable.trainable(*args) + sum(change(*args) for change in chosen)

    named = [sentence for sentence, _ in trainable.MISCOUNTS if sentence in problem("03-trainable", wrong)]
    assert 1 <= len(named) <= 2 + ("(with all biases)" in " ".join(named))


# Right answers in many forms


def wilson_with_numpy(successes: int, trials: int) -> np.ndarray:
    p, z2 = np.float64(successes) / trials, 1.959964**2
    half = np.sqrt(z2 * p * (1 - p) / trials + z2**2 / 4 / trials**2)
    return (p + z2 / 2 / trials + np.array([-half, half])) / (1 + z2 / trials)


def wilson_as_roots(successes: int, trials: int) -> list[float]:
    # the ends solve (p - x)^2 = z^2 x (1 - x) / n
    a, b, c = 1 + 3.8416 / trials, -(2 * successes / trials + 3.8416 / trials), (successes / trials) ** 2
    return sorted(np.roots([a, b, c]).real.tolist())


def wilson_rounded(successes: int, trials: int) -> tuple[float, float]:
    low, high = wilson_with_numpy(successes, trials)
    return round(low, 3), round(high, 3)


def count_layer_by_layer(n: int, width: int = 384, mlp: int = 1536, hidden: int = 128, classes: int = 2) -> float:
    def linear(a: int, b: int) -> int:
        return (a + 1) * b

    block = sum([*[linear(width, width)] * 4, linear(width, mlp), linear(mlp, width), *[2 * width] * 2])
    return float(n * block + linear(width, hidden) + linear(hidden, classes))


def speedup_by_loop(blocks: int, frozen: int, epochs: int) -> Fraction:
    without = with_cache = 0
    for epoch in range(epochs):
        for block in range(blocks):
            without += 1 if block < frozen else 3
            with_cache += (1 if epoch == 0 else 0) if block < frozen else 3
    return Fraction(without, with_cache)


def macro_f1_with_numpy(confusion: Any) -> np.float64:
    counts = np.array(confusion)
    return (2 * np.diag(counts) / (counts.sum(0) + counts.sum(1))).mean()


def macro_f1_by_precision_and_recall(confusion: Any) -> float:
    scores = []
    for c in range(len(confusion)):
        hits = confusion[c][c]
        predicted, occurs = sum(row[c] for row in confusion), sum(confusion[c])
        precision, recall = (hits / predicted if predicted else 0), hits / occurs
        scores.append(2 * precision * recall / (precision + recall) if hits else 0)
    return float(np.mean(scores))


def macro_f1_with_sklearn(confusion: Any) -> float:
    from sklearn.metrics import f1_score

    truth = [r for r, row in enumerate(confusion) for count in row for _ in range(count)]
    predicted = [c for row in confusion for c, count in enumerate(row) for _ in range(count)]
    return f1_score(truth, predicted, average="macro")


def choose_by_sorting(results: list[dict[str, Any]]) -> str:
    results.sort(key=lambda row: row["cpu_seconds"])
    for row in results:
        if row["p_against_best"] > 0.05:
            return row["rung"]
    raise AssertionError


def choose_with_pandas(results: list[dict[str, Any]]) -> str:
    import pandas as pd

    table = pd.DataFrame(results).query("p_against_best > 0.05")
    return table.loc[table["cpu_seconds"].idxmin(), "rung"]


def static_copy_by_copy(frozen: int, trained: int) -> int:
    copies = {"weight": 2, "gradient": 2, "master": 4, "mean": 4, "mean of squares": 4}
    return sum(size * trained for size in copies.values()) + copies["weight"] * frozen


def activations_layer_by_layer(layers: int, boundary: int, inside: int, checkpointing: bool) -> int:
    alive = peak = 0
    for _ in range(layers):
        alive += boundary + (0 if checkpointing else inside)
        peak = max(peak, alive)
    return max(peak, alive + inside) if checkpointing else peak


def cache_from_the_tensor(layers: int, kv_heads: int, head_dim: int, tokens: int, sequences: int = 1) -> int:
    import torch

    keys_and_values = torch.empty(2, layers, sequences, kv_heads, tokens, head_dim, dtype=torch.bfloat16, device="meta")
    return keys_and_values.numel() * keys_and_values.element_size()


def shares_in_whole_bytes(parameters: int, devices: int, stage: int) -> int:
    parts = [(2, 3), (2, 2), (12, 1)]  # bytes, and the stage from which they are split
    return sum(-(-size * parameters // (devices if stage >= first else 1)) for size, first in parts)


def days_in_exaflops(parameters: float, tokens: float, gpus: int, rate: float, utilisation: float) -> np.float64:
    return np.float64(6 * parameters / 1e18 * tokens) / (gpus * rate * utilisation / 1e18) / 3600 / 24


def learned_turn_by_turn(tokens: list[str], roles: list[str]) -> np.ndarray:
    flags, inside = [], False
    for token, role in zip(tokens, roles, strict=True):
        flags.append(inside and role == "assistant")
        inside = token == "<|assistant|>" or (inside and token != "<|end|>")
    return np.array(flags)


def f1_by_precision_and_recall(answer: list[str], reference: list[str]) -> float:
    left, common = list(reference), 0
    for word in answer:
        if word in left:
            left.remove(word)
            common += 1
    if not common:
        return 0
    precision, recall = common / len(answer), common / len(reference)
    return 2 / (1 / precision + 1 / recall)


def may_see_by_segments(i: int, j: int, lengths: list[int]) -> Any:
    segments = np.repeat(np.arange(len(lengths)), lengths)
    return (segments[i] == segments[j]) & (j <= i)


def copies_with_numpy(train: list[str], test: list[str]) -> Any:
    def keys(text: str) -> np.ndarray:
        words = text.split()
        return np.unique([" ".join(three) for three in zip(words, words[1:], words[2:], strict=False)])

    def near(a: str, b: str) -> bool:
        common = len(np.intersect1d(keys(a), keys(b)))
        return 2 * common >= len(keys(a)) + len(keys(b)) - common

    return {k for k, text in enumerate(train) if any(near(text, other) for other in test)}


def judged_with_numpy(verdicts: list[tuple[str, str]]) -> np.ndarray:
    first = np.array(verdicts) == "first"
    steady = first[:, 0] != first[:, 1]
    return np.array([first[steady, 0].mean(), first.mean()])


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("00-first", 133_000),
        ("00-first", 133_000.0),
        ("00-first", np.int64(133_000)),
        ("00-first", np.array(133_000)),
        ("00-first", Fraction(100_000 * 4, 3)),
        ("01-static", static_copy_by_copy),
        ("01-static", lambda frozen, trained: 2.0 * (frozen + trained) + 14 * trained),
        ("01-checkpoint", activations_layer_by_layer),
        ("01-checkpoint", lambda n, boundary, inside, on: n * boundary + (1 if on else n) * inside),
        ("01-kv-cache", cache_from_the_tensor),
        ("01-zero", shares_in_whole_bytes),
        ("01-zero", lambda n, d, stage: n * [16, 4 + 12 / d, 2 + 14 / d, 16 / d][stage]),
        ("01-days", days_in_exaflops),
        ("03-wilson", wilson_with_numpy),
        ("03-wilson", wilson_as_roots),
        ("03-wilson", wilson_rounded),
        ("03-wilson", lambda s, n: tuple(np.float32(x) for x in wilson_with_numpy(s, n))),
        ("03-trainable", count_layer_by_layer),
        ("03-trainable", lambda *args: np.int64(count_layer_by_layer(*args))),
        ("03-cache-saving", speedup_by_loop),
        ("03-cache-saving", lambda blocks, frozen, epochs: round(float(speedup_by_loop(blocks, frozen, epochs)), 3)),
        ("03-macro-f1", macro_f1_with_numpy),
        ("03-macro-f1", macro_f1_by_precision_and_recall),
        ("03-macro-f1", macro_f1_with_sklearn),
        ("04-mask", learned_turn_by_turn),
        ("04-token-f1", f1_by_precision_and_recall),
        ("04-pack", may_see_by_segments),
        ("04-duplicates", copies_with_numpy),
        ("04-judge-bias", judged_with_numpy),
        ("03-choose-rung", choose_by_sorting),
        ("03-choose-rung", choose_with_pandas),
    ],
)
def test_a_right_answer_passes_however_it_is_written(id: str, answer: Any) -> None:
    verdict = exercises.check(id, answer)
    assert verdict.ok, verdict


def test_the_count_of_parameters_is_that_of_real_blocks() -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=8, hidden_size=100, intermediate_size=300, num_hidden_layers=3, num_attention_heads=2
    )
    blocks = BertModel(config, add_pooling_layer=False).encoder
    head = 100 * 7 + 7 + 7 * 5 + 5
    assert trainable.trainable(3, 100, 300, 7, 5) == sum(p.numel() for p in blocks.parameters()) + head


def test_a_static_weight_and_a_trained_one_are_those_of_the_formulas() -> None:
    from course_lib.memory.arithmetic import training_state

    state = training_state(1000, "bf16-master")
    assert run(TASKS["01-static"].code)(0, 1000) == sum(state.values()) == 16_000


def test_the_shares_asked_for_are_those_of_the_formulas() -> None:
    from course_lib.memory.arithmetic import sharded, training_state

    share = run(TASKS["01-zero"].code)
    for stage, name in enumerate(("ddp", "zero1", "zero2", "zero3")):
        device = sharded(training_state(1000, "bf16-master"), 5, name, bucket_view=True).device
        assert share(1000, 5, stage) == sum(device.values()), name


def test_the_cache_asked_for_is_the_one_worked_out_by_hand() -> None:
    # a key and a value of 40 heads of 128 numbers in 40 layers, 2 bytes each: 2 * 40 * 40 * 128 * 2 = 819,200
    assert run(TASKS["01-kv-cache"].code)(40, 40, 128, 1) == 819_200


def test_the_days_asked_for_are_those_worked_out_by_hand() -> None:
    # 6 * 13e9 * 1.4e12 = 1.092e23 operations; 1000 * 312e12 * 0.4 = 1.248e17 a second: 875,000 s, 10.127 days
    assert run(TASKS["01-days"].code)(13e9, 1.4e12, 1000, 312e12, 0.4) == pytest.approx(875_000 / 86_400)


def test_f1_over_words_is_that_of_the_metrics() -> None:
    from course_lib.metrics.text import token_f1

    f1 = run(TASKS["04-token-f1"].code)
    for answer, reference in [("old stone bridge", "bridge of vell"), ("very very good", "very good"), ("so", "no")]:
        assert f1(answer.split(), reference.split()) == pytest.approx(token_f1(answer, reference))


def test_the_copies_asked_for_are_those_that_the_course_drops() -> None:
    from course_lib.records.duplicates import near_copies

    for case in MODULES["copied_questions"].COPIED_CASES:
        assert run(TASKS["04-duplicates"].code)(*case.args) == near_copies(*case.args, threshold=0.5)


def test_the_interval_asked_for_is_the_one_that_was_worked_out_by_hand() -> None:
    # p = 0.92, z^2/n = 0.076832, centre 0.92 + 0.038416 = 0.958416, root of 0.001472 + 0.000384160 = 0.0430832,
    # half 1.96 * 0.0430832 = 0.0844431; (0.958416 -+ 0.0844431) / 1.076832 = 0.811615 and 0.968450
    low, high = run(TASKS["03-wilson"].code)(46, 50)
    assert (low, high) == pytest.approx((0.811615, 0.968450), abs=2e-6)


# Wrong answers beyond the known slips


@pytest.mark.parametrize(
    ("id", "answer", "sentence"),
    [
        ("00-first", 75_188, "You divided"),
        ("00-first", 100_000, "one token for each word"),
        ("00-first", 1.33, "of one word"),
        ("00-first", 140_000, "140,000 tokens are too many"),
        ("00-first", 120_000, "120,000 tokens are too few"),
        ("00-first", "133,000", "the text '133,000' where one number is wanted"),
        ("00-first", True, "the truth value True"),
        ("00-first", [133_000], "a list [133000]"),
        ("00-first", lambda: 133_000, "not a function"),
        ("00-first", float("nan"), "nan"),
        ("00-first", np.array([133_000]), "where one number is wanted"),
        ("01-static", 112e9, "Hand over the function itself"),
        (
            "01-static",
            lambda f, t: 20 * t + 2 * f,
            "`static_bytes(0, 1000)` gives 20000; right would be 16000. Here",
        ),
        ("01-static", lambda f, t: print(f, t), "`return`"),
        ("01-checkpoint", lambda n, b, i, on: n * b + n**0.5 * i, "right would be"),
        ("01-kv-cache", lambda n, k, d, t: 4 * n * k * d * t, "cannot be called"),
        ("01-kv-cache", lambda *a: "0.8 MB", "the text '0.8 MB' where one number is wanted"),
        ("01-zero", lambda n, d, s: {1: 4 + 12 / d}[s] * n, "KeyError"),
        ("01-days", lambda n, d, g, r, u: 6 * n * d / g / r / u / 3600, "Those are hours"),
        ("01-days", lambda n, d, g, r, u: 10.1, "does it use its arguments?"),
        ("03-wilson", (0.81, 0.97), "Hand over the function itself"),
        ("03-wilson", lambda s, n: 0.08, "a single number; an interval has two ends"),
        ("03-wilson", lambda s, n: print(), "`return`"),
        ("03-wilson", lambda s, n: {0.81, 0.97}, "a set"),
        ("03-wilson", lambda s, n: (0.1, 0.2, 0.3), "pair"),
        ("03-wilson", lambda s, n: ("a", "b"), "the text 'a' where one number is wanted"),
        ("03-wilson", lambda s, n: (0.8116, 0.9685), "does it use its arguments?"),
        ("03-wilson", lambda s, n: (0.5, s / n), "`interval(46, 50)` gives (0.5, 0.92); right would be (0.811"),
        ("03-wilson", lambda s: (0, 1), "cannot be called as `interval(46, 50)`"),
        ("03-wilson", int, "interval(46, 50)"),
        ("03-trainable", lambda *a: 7, "does it use its arguments?"),
        ("03-trainable", lambda *a: trainable.trainable(*a) + 1, "right would be"),
        ("03-trainable", lambda *a: "many", "the text 'many'"),
        ("03-cache-saving", lambda b, k, e: (k + 3 * (b - k)) / (3 * (b - k)), "pass that fills the cache is missing"),
        ("03-cache-saving", lambda b, k, e: (k + 3 * (b - k)) / (3 * (b - k)), "raised ZeroDivisionError"),
        ("03-macro-f1", lambda m: [0.8, 0.9], "the mean over the classes"),
        ("03-choose-rung", lambda r: min(r, key=lambda row: row["cpu_seconds"]), 'return its name, `row["rung"]`'),
        ("03-choose-rung", lambda r: 3, "where the name of a rung is wanted"),
        ("03-choose-rung", lambda r: r[0]["name"], "KeyError: 'name'"),
        (
            "04-mask",
            lambda t, r: [i for i, role in enumerate(r) if role == "assistant"],
            "True or False for each token",
        ),
        ("04-mask", lambda t, r: [True], "does it use its arguments?"),
        ("04-mask", lambda t, r: "assistant" in r, "the truth value True where a list"),
        ("04-token-f1", lambda a, r: [0.5], "a list [0.5] where one number is wanted"),
        ("04-pack", lambda i, j, n: [i, j], "where True or False is wanted"),
        ("04-pack", lambda i, j: j <= i, "cannot be called"),
        ("04-duplicates", lambda a, b: a[:1], "return the places"),
        ("04-duplicates", lambda a, b: 2, "where a list of places is wanted"),
        ("04-judge-bias", lambda v: 0.5, "two numbers are wanted"),
        ("04-judge-bias", lambda v: (v.count(("first", "second")) / len(v), 0.5), "right would be"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(id: str, answer: Any, sentence: str) -> None:
    assert sentence in problem(id, answer)


def test_macro_f1_that_divides_by_zero_for_a_class_never_predicted_is_told_why() -> None:
    def answer(confusion: list[list[int]]) -> float:
        scores = []
        for c in range(len(confusion)):
            precision = confusion[c][c] / sum(row[c] for row in confusion)
            recall = confusion[c][c] / sum(confusion[c])
            scores.append(2 * precision * recall / (precision + recall))
        return sum(scores) / len(scores)

    said = problem("03-macro-f1", answer)
    assert "raised ZeroDivisionError" in said
    assert "never predicted" in said
    assert "`precision = confusion[c][c] / sum(row[c] for row in confusion)`" in said
    assert "right in 3 of the 4 cases" in said


def test_the_mean_precision_is_recognised_even_where_it_divides_by_zero() -> None:
    def answer(confusion: list[list[int]]) -> float:
        return math.fsum(confusion[c][c] / sum(r[c] for r in confusion) for c in range(len(confusion))) / len(confusion)

    assert "That is the mean precision" in problem("03-macro-f1", answer)


class Hostile:
    """An object that raises when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not touch")

    def __repr__(self) -> str:
        raise RuntimeError("do not print")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def leave(*_: Any) -> None:
    raise SystemExit


def recurse(*args: Any) -> Any:
    return recurse(*args)


def fail_silently(*_: Any) -> None:
    raise Unprintable


NONSENSE = [
    Hostile(),
    Hostile,
    object(),
    3 + 4j,
    float("inf"),
    10**400,
    b"bytes",
    "",
    [],
    {},
    (),
    np.zeros((2, 2)),
    np.array("x"),
    range(3),
    int,
    print,
    len,
    recurse,
    leave,
    fail_silently,
    lambda: 1,
    lambda *_: Hostile(),
    lambda *_: 10**400,
    lambda *_: np.zeros((2, 0)),
    lambda *_: [[1], [2]],
    lambda *_: iter(()),
    lambda *_: float("nan"),
    lambda *_: {},
    lambda *_: (Hostile(), 1),
    lambda *_: NotImplemented,
    type("Odd", (), {"__call__": lambda self, *a: None})(),
]


@pytest.mark.parametrize("id", TASKS)
@pytest.mark.parametrize("which", range(len(NONSENSE)))
def test_no_answer_makes_a_check_raise(id: str, which: int) -> None:
    verdict = exercises.check(id, NONSENSE[which])
    assert verdict.status == "wrong"
    assert verdict.problems
    assert verdict.html()


def raise_not_implemented(*_: Any) -> None:
    raise NotImplementedError


def only_documented(successes: int, trials: int) -> None:
    """To be written."""


def passes(successes: int, trials: int) -> None:
    pass


@pytest.mark.parametrize(
    "answer", [None, ..., raise_not_implemented, only_documented, passes, lambda s, n: ..., lambda s, n: None]
)
def test_an_answer_not_begun_is_not_attempted(answer: Any) -> None:
    assert exercises.check("03-wilson", answer).status == "unattempted"
    assert exercises.check("03-wilson").status == "unattempted"


@pytest.mark.parametrize("answer", [lambda: 0, lambda: print(), lambda x: x, len, int, 3, "text"])
def test_a_function_that_does_something_is_no_stub(answer: Any) -> None:
    assert not is_stub(answer)


def test_a_check_does_not_let_an_answer_spoil_the_next_case() -> None:
    def spoil(results: list[dict[str, Any]]) -> str:
        chosen = run(TASKS["03-choose-rung"].code)(results)
        results.clear()
        return chosen

    assert exercises.check("03-choose-rung", spoil).ok
    assert exercises.check("03-choose-rung", run(TASKS["03-choose-rung"].code)).ok


def test_an_interrupt_by_the_learner_is_not_swallowed() -> None:
    def interrupted(s: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.check("03-wilson", interrupted)


def test_an_unknown_exercise_gets_a_sentence_with_the_nearest_name() -> None:
    with pytest.raises(CourseError, match="did you mean '03-wilson'"):
        exercises.check("03-wilsn", None)
    with pytest.raises(CourseError, match="00-first"):
        exercises.hint("nothing of the kind")


# What is shown


def test_a_verdict_shows_the_same_words_as_html_and_text() -> None:
    bundle = exercises.check("03-macro-f1", lambda m: "<i>")._repr_mimebundle_()
    assert "the text '<i>'" in bundle["text/plain"]
    assert "&lt;i&gt;" in bundle["text/html"]
    assert "<i>" not in bundle["text/html"]
    assert "`" not in bundle["text/html"]


def test_hints_come_one_after_the_other_and_stay_at_the_last() -> None:
    said = [str(exercises.hint("03-wilson")) for _ in range(4)]
    assert [text[:11] for text in said] == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Hint 3 of 3"]
    assert "exercises.solution('03-wilson')" in said[2]
    assert "exercises.solution" not in said[0]


def test_the_solution_asks_once_who_has_not_tried() -> None:
    assert "You have not tried" in str(exercises.solution("03-wilson"))
    shown = str(exercises.solution("03-wilson"))
    assert TASKS["03-wilson"].code in shown
    assert TASKS["03-wilson"].why in shown


def test_the_solution_comes_at_once_after_an_attempt_or_when_sure() -> None:
    exercises.check("03-wilson", lambda s, n: (0, 1))
    assert TASKS["03-wilson"].code in str(exercises.solution("03-wilson"))
    assert TASKS["03-trainable"].code in str(exercises.solution("03-trainable", sure=True))


def test_progress_counts_exercises_and_questions_and_outlives_the_process() -> None:
    exercises.check("03-wilson", run(TASKS["03-wilson"].code))
    exercises.check("03-trainable", lambda *a: 7)
    exercises.check("03-wilson", lambda s, n: (0, 1))  # what was once right stays right
    lines = str(exercises.progress("03")).splitlines()
    assert lines[0] == "Lesson 03"
    assert "[####................] 1 of 5" in lines[1]
    assert lines[2].split() == ["03-wilson", "done"]
    assert lines[3].split(maxsplit=1) == ["03-trainable", "not yet right (1 try)"]
    assert "0 of 8" in lines[-1]
    command = "from course_lib.teach import exercises; print(exercises.progress())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert str(exercises.progress("03")) in done.stdout
    assert "Lesson 00" in done.stdout
    assert '<progress value="1" max="5" aria-label="exercises done"' in exercises.progress("03").html()


# The progress file


def test_the_home_folder_is_the_one_set_or_a_folder_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_HOME", "~/elsewhere")
    assert home() == Path(os.path.expanduser("~/elsewhere"))
    monkeypatch.delenv("COURSE_HOME")
    assert home() == Path.home() / ".course"


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[1, 2]", b'{"exercises": 3}', b"\xff\xfe\x00", b"null", b"[" * 100_000], ids=lambda d: d[:9]
)
def test_a_damaged_progress_file_is_set_aside_whole(damage: bytes, own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "progress.json").write_bytes(damage)
    verdict = exercises.check("03-wilson", run(TASKS["03-wilson"].code))
    assert verdict.ok
    assert "kept as progress.damaged-1.json" in str(verdict)
    assert (own_home / "progress.damaged-1.json").read_bytes() == damage
    assert json.loads((own_home / "progress.json").read_text())["exercises"]["03-wilson"]["passed"] is True


def test_a_second_damaged_file_does_not_replace_the_first(own_home: Path) -> None:
    own_home.mkdir()
    for text in ("first", "second"):
        (own_home / "progress.json").write_text(text)
        exercises.hint("03-wilson")
    kept = [(own_home / f"progress.damaged-{i}.json").read_text() for i in (1, 2)]
    assert kept == ["first", "second"]


@pytest.mark.parametrize(
    "record", [3, [], {"attempts": "x", "passed": "yes", "hints": -2}, {"attempts": None, "hints": {}, "asked": 0}]
)
def test_a_record_that_someone_edited_by_hand_breaks_nothing(record: Any, own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "progress.json").write_text(json.dumps({"exercises": {"03-wilson": record}, "quiz": {"03": record}}))
    assert "Hint 1" in str(exercises.hint("03-wilson"))
    assert "You have not tried" in str(exercises.solution("03-wilson"))
    assert "0 of 5" in str(exercises.progress("03"))
    assert exercises.check("03-wilson", run(TASKS["03-wilson"].code)).ok
    assert not list(own_home.glob("*damaged*"))


def test_a_home_that_cannot_be_written_to_keeps_progress_in_memory_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    verdict = exercises.check("03-wilson", run(TASKS["03-wilson"].code))
    assert verdict.ok
    assert "kept only until this kernel stops" in str(verdict)
    assert [str(exercises.hint("03-wilson"))[:6] for _ in range(2)] == ["Hint 1", "Hint 2"]
    assert "1 of 5" in str(exercises.progress("03"))
    assert (tmp_path / "file").read_text() == "not a folder"


def test_progress_kept_in_memory_is_written_as_soon_as_that_works_again(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", _disk_full)
        exercises.hint("03-wilson")
        assert "No space left" in progress().trouble
        assert not list(own_home.glob(".progress-*")), "a half-written file was left behind"
    exercises.hint("03-trainable")
    kept = json.loads((own_home / "progress.json").read_text())["exercises"]
    assert kept == {"03-wilson": {"hints": 1}, "03-trainable": {"hints": 1}}
    assert progress().trouble == ""


def _disk_full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_that_cannot_be_read_is_not_overwritten(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exercises.hint("03-wilson")
    before = (own_home / "progress.json").read_bytes()
    read_text: Callable[..., str] = Path.read_text

    def refuse(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "progress.json":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **kwargs)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", refuse)
        assert "Hint" in str(exercises.hint("03-wilson"))
        assert "Permission denied" in progress().trouble
    assert (own_home / "progress.json").read_bytes() == before


def test_processes_that_write_at_once_lose_nothing_of_each_other(own_home: Path) -> None:
    command = """
import sys
from course_lib.teach.progress import count, progress
for _ in range(25):
    progress().update("exercises", "shared", lambda r: {**r, "hints": count(r, "hints") + 1})
    progress().update("exercises", sys.argv[1], lambda r: {**r, "hints": count(r, "hints") + 1})
"""
    running = [subprocess.Popen([sys.executable, "-c", command, name]) for name in ("one", "two", "three")]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    kept = json.loads((own_home / "progress.json").read_text())["exercises"]
    assert {name: record["hints"] for name, record in kept.items()} == {"shared": 75, "one": 25, "two": 25, "three": 25}


def test_a_process_killed_while_it_writes_leaves_a_whole_file(own_home: Path) -> None:
    command = """
from course_lib.teach.progress import progress
print("begun", flush=True)
while True:
    progress().update("exercises", "x", lambda r: {"hints": r.get("hints", 0) + 1, "padding": "x" * 200_000})
"""
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        while not (own_home / "progress.json").exists():
            assert process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
        assert Progress(own_home).read("exercises", "x")["hints"] > 0
    assert not list(own_home.glob("*damaged*"))


@pytest.mark.parametrize(
    ("given", "key"), [(3, "03"), ("3", "03"), ("03", "03"), ("03_classifier_ladder", "03"), ("12", "12"), ("x", "x")]
)
def test_a_lesson_can_be_named_by_number_or_file(given: Any, key: str) -> None:
    assert lesson_key(given) == key
