"""What a step costs: operations counted by hand, seconds from stated rates, bytes between devices."""

from __future__ import annotations

from typing import Any

import pytest

from course_lib.memory import cost
from course_lib.memory.architecture import Architecture
from course_lib.memory.gpus import GPU, gpu
from course_lib.memory.models import preset
from course_lib.memory.recipe import Recipe

A100 = gpu("a100-80")
LLAMA = preset("llama-2-7b").architecture
# What a token of Llama-2-7B is multiplied with: all but the table of 32,000 embeddings.
MULTIPLIED = 6_738_415_616 - 32_000 * 4096
ATTENTION = 4 * 32 * 4096 * 512 / 2  # FLOPs per token: 4 L h s, half of it masked


def work(model: Architecture = LLAMA, card: GPU = A100, trainable: int | None = None, **settings: Any) -> cost.Work:
    recipe = Recipe(**settings)
    return cost.of_step(model, recipe, card, model.parameters if trainable is None else trainable)


# -- operations --------------------------------------------------------------------------------------------------------


def test_a_step_of_full_training_is_six_operations_per_parameter_and_token():
    assert work(seq_len=512).flops == pytest.approx(512 * (6 * MULTIPLIED + 3 * ATTENTION), rel=1e-3)


def test_frozen_weights_save_a_third_of_it_and_checkpointing_adds_a_third():
    learned = 20_000_000
    lora = work(method="lora", trainable=learned).flops
    assert lora == pytest.approx(512 * (4 * (MULTIPLIED + learned) + 2 * learned + 3 * ATTENTION), rel=1e-3)
    again = work(method="lora", trainable=learned, checkpointing=True).flops
    assert again - lora == pytest.approx(512 * (2 * (MULTIPLIED + learned) + ATTENTION), rel=1e-3)


def test_the_last_blocks_alone_are_differentiated():
    blocks = 2 * LLAMA.block_parameters
    head = 32_000 * 4096  # frozen, but the gradient passes through it
    found = work(method="last-n", blocks=2, trainable=blocks).flops
    passed = (blocks + head) / MULTIPLIED
    expected = 2 * MULTIPLIED + ATTENTION + 2 * (blocks + head) + 2 * ATTENTION * passed + 2 * blocks
    assert found == pytest.approx(512 * expected, rel=1e-3)


def test_a_step_has_all_its_micro_batches_and_devices():
    one = work(method="lora", trainable=10**7)
    more = work(method="lora", trainable=10**7, micro_batch=3, accumulate=5, devices=2, sharding="ddp")
    assert more.flops == pytest.approx(30 * one.flops)
    assert more.seconds == pytest.approx(15 * one.seconds, rel=0.01)  # two work at the same time


# -- seconds -----------------------------------------------------------------------------------------------------------


def test_seconds_are_operations_at_the_share_of_the_rate_that_the_basis_states():
    found = work(method="lora", trainable=10**6)
    assert found.seconds == pytest.approx(found.flops / (0.30 * 312e12), rel=1e-3)
    assert "4 FLOPs per parameter and token" in found.basis
    assert "30% of 312 TFLOP/s (NVIDIA A100" in found.basis
    assert "assumption" in found.basis


def test_a_t4_computes_bf16_in_fp32_and_says_so():
    t4 = gpu("t4")
    slow, fast = (work(card=t4, method="lora", trainable=10**6, precision=p) for p in ("bf16", "fp16"))
    assert "emulates bf16" in slow.basis
    assert slow.seconds / fast.seconds == pytest.approx((65 * 0.30) / (8.1 * 0.50), rel=0.01)


def test_unpacking_four_bits_takes_time():
    lora, qlora = (work(method=method, trainable=10**6).seconds for method in ("lora", "qlora"))
    assert 1.1 <= qlora / lora <= 1.6  # what litgpt's tables have: 1.62 to 1.77, and 2.36 to 3.68 minutes


def test_the_optimizer_waits_for_memory():
    # Gradients read, weights and two moments read and written: 7 values of 2 bytes per parameter.
    wide = work(seq_len=1)
    passed = 14 * LLAMA.parameters
    assert wide.seconds == pytest.approx(passed / (0.60 * 2039e9) + wide.flops / (0.40 * 312e12), rel=0.01)
    assert f"{passed / 1e9:.1f} GB through memory" in wide.basis
    assert work(seq_len=1, optimizer="adamw-8bit").seconds < wide.seconds
    split = work(seq_len=1, devices=8, sharding="zero2")
    assert split.seconds < wide.seconds / 4


def test_the_seconds_are_of_the_size_that_others_measured():
    # peft's published comparison: Llama-3.2-3B, LoRA of rank 32 on q and v, an L40S, batches of 4 texts of 210 tokens
    # on average: 7174 tokens per second.
    model = preset("llama-3.2-3b").architecture
    found = work(model, gpu("l40s"), 9_175_040, method="lora", targets="qv", rank=32, micro_batch=4, seq_len=210)
    assert 7174 / 1.4 < 4 * 210 / found.seconds < 7174 * 1.4


def test_every_new_token_reads_all_weights_and_the_cache():
    prompt = work(method="inference", seq_len=512)
    answer = work(method="inference", seq_len=512, new_tokens=100)
    weights, cache = 2 * LLAMA.parameters, 2 * 2 * 32 * 4096 * 612  # keys and values of 612 tokens
    reading = 100 * (weights + cache) / (0.60 * 2039e9)
    assert answer.seconds - prompt.seconds == pytest.approx(reading, rel=0.01)
    assert "each new token reads 13.8 GB" in answer.basis


def test_a_processor_is_measured_once_and_only_when_asked(monkeypatch):
    cpu = GPU(name="cpu", title="main memory", memory=2**34, usable=2**34, context=0)
    monkeypatch.setattr(cost, "measured_rate", lambda precision: 1e11)
    found = work(preset("minilm").architecture, cpu, method="last-n", precision="fp32", blocks=1, trainable=10**6)
    assert found.seconds == pytest.approx(found.flops / 1e11)
    assert "100 GFLOP/s measured here" in found.basis


def test_a_measured_rate_is_a_rate():
    assert 1e8 < cost.measured_rate("fp32", 256) < 1e15
    assert cost.measured_rate("fp32", 256) == cost.measured_rate("fp32", 256)  # of the same measurement


# -- between devices ---------------------------------------------------------------------------------------------------


def test_devices_send_what_the_closed_forms_say():
    # n = 8, weights and gradients W = 2 bytes per parameter. ddp and zero2: 2 * 7/8 W; zero3: 3 * 7/8 W.
    width = 2 * LLAMA.parameters * 7 / 8
    for sharding, times in (("ddp", 2), ("zero1", 2), ("zero2", 2), ("zero3", 3), ("fsdp", 3)):
        assert work(devices=8, sharding=sharding).communicated == pytest.approx(times * width)
    assert work().communicated == 0


def test_adapters_send_little_unless_the_weights_are_split():
    ddp, fsdp = (work(method="lora", trainable=10**6, devices=8, sharding=s).communicated for s in ("ddp", "fsdp"))
    assert ddp == 2 * 4 * 10**6 * 7 / 8  # gradients of fp32 adapters
    assert fsdp > 2 * 2 * LLAMA.parameters * 7 / 8


# -- the step is that of the plan --------------------------------------------------------------------------------------


def test_both_engines_hand_over_the_same_number_of_weights_that_learn():
    from course_lib.memory.plan import plan

    found = plan("smollm2-135m", gpu=A100, engine="both", method="lora", rank=4, seq_len=64)
    assert found.other is not None
    assert found.flops == found.other.flops
    assert found.seconds == found.other.seconds
