"""Real training steps of small models, counted byte by byte, against the plan of the same run."""

from __future__ import annotations

import gc
import itertools
from typing import Any

import pytest
import torch
from transformers import BertConfig, LlamaConfig

from course_lib.errors import CourseError
from course_lib.memory.live import (
    LiveBytes,
    Row,
    compare,
    measure,
)
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import subject

BOUND = 0.02

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "last-n": {"method": "last-n", "blocks": 2},
    "lora": {"method": "lora", "rank": 8},
    "nf4": {"method": "qlora", "rank": 8},
}
LENGTHS = (48, 160)
CASES = list(itertools.product(METHODS, (False, True), LENGTHS))


def small(**settings: Any) -> LlamaConfig:
    """1.6 million parameters, of which a third is vocabulary: six blocks with grouped queries and a gated MLP."""
    defaults = dict(
        vocab_size=2000,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaConfig(**{**defaults, **settings})


def recipe(name: str, **settings: Any) -> Recipe:
    return Recipe(**{"precision": "fp32", "micro_batch": 2, **METHODS[name], **settings})


def assert_agreement(rows: tuple[Row, ...], bound: float = BOUND) -> None:
    """Each phase as a whole, and each part measured against its phase."""
    totals = {row.phase: row for row in rows if row.part == "total"}
    assert list(totals) == ["load", "forward", "loss", "backward", "step"]
    for row in rows:
        off = abs(row.predicted - row.measured) / totals[row.phase].measured
        assert off < bound, f"{row.phase} {row.part}: {row.predicted} predicted, {row.measured} measured"


@pytest.mark.parametrize(("method", "checkpointing", "length"), CASES)
def test_the_plan_agrees_with_the_bytes_counted_in_real_steps(method: str, checkpointing: bool, length: int) -> None:
    assert_agreement(compare(small(), recipe(method, checkpointing=checkpointing, seq_len=length)))


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"precision": "bf16-mixed"},
        {"precision": "bf16", "method": "lora", "checkpointing": True},
        {"precision": "bf16", "method": "qlora", "double_quantization": False},
        {"attention": "eager"},
        {"accumulate": 2},
        {"optimizer": "sgd"},
        {"method": "lora", "targets": "qv", "lora_dropout": 0.1},
        {"method": "prompt", "prompt_tokens": 5},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_plan_agrees_for_other_settings_too(settings: dict[str, Any]) -> None:
    assert_agreement(compare(small(), Recipe(**{"precision": "fp32", "micro_batch": 2, "seq_len": 48, **settings})))


@pytest.mark.parametrize("method", ["full", "last-n", "lora"])
def test_the_plan_agrees_for_an_encoder(method: str) -> None:
    encoder = BertConfig(
        vocab_size=2000, hidden_size=128, intermediate_size=512, num_hidden_layers=6, num_attention_heads=4
    )
    assert_agreement(compare(encoder, recipe(method, seq_len=48)))


# -- the counting ------------------------------------------------------------------------------------------------------


def test_a_step_by_hand() -> None:
    # 1000 weights and as many inputs; the product is saved by nobody, the sum is 4 bytes.
    model = torch.nn.Module()
    model.w = torch.nn.Parameter(torch.ones(1000))
    with LiveBytes(model) as live:
        live.phase("forward")
        inputs = torch.ones(1000)
        loss = (model.w * inputs).sum()
        live.phase("backward")
        loss.backward()
        live.mark([model.w.grad], "gradients")
        del loss, inputs
    found = live.peaks()
    assert found["load"].parts == {"weights": 4000}
    assert found["forward"].parts == {"weights": 4000, "activations": 4000 + 4000 + 4}
    assert found["backward"].parts["gradients"] == 4000
    assert gc.isenabled()


def test_random_numbers_go_on_where_they_were() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    measure(subject(small(num_hidden_layers=2)), recipe("full", seq_len=8), steps=1)
    assert torch.equal(torch.rand(4), expected)


def test_what_cannot_run_here_is_said_with_what_can() -> None:
    with pytest.raises(CourseError, match="cannot have optimizer='adafactor'; choose one of adamw, sgd, or plan it"):
        compare(small(), recipe("full", optimizer="adafactor"))
