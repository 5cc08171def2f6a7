"""What a step costs besides memory: operations, seconds, bytes between devices.

Time is operations divided by the share of the device's rate that such runs reach. That share is an assumption, and the
plan says which one it made; what it stands on:

    0.40   full fine-tuning in 16 bits: Llama-2, PaLM and Megatron report 0.4 to 0.5 of A100s and TPUs; large batches
    0.30   LoRA: many small products; peft's published comparison reaches 0.26 (Llama-3.2-3B, L40S, batches of 4)
    0.20   NF4: every product unpacks its weights first; litgpt's tables have 1.1 to 1.6 times LoRA's minutes for it
    0.50   fp32: the rates of plain float32 units are easier to reach

The optimizer's step waits for memory, through which weights, gradients and state pass once; so does generation, where
each token reads all weights and the cache. Left out: loading data, evaluation, saving, and communication that does not
hide behind computing.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course_lib.memory import arithmetic
from course_lib.memory.recipe import WIDTH, Recipe

if TYPE_CHECKING:
    from course_lib.memory.architecture import Architecture
    from course_lib.memory.gpus import GPU

UTILISATION = {"full": 0.40, "last-n": 0.40, "lora": 0.30, "prompt": 0.30, "qlora": 0.20, "inference": 0.40}
IN_FLOAT32 = 0.50
READING = 0.60  # share of the bandwidth that is reached where memory is waited for


@dataclass(frozen=True)
class Work:
    """FLOPs and seconds of one optimizer step (one answer, for inference), what they rest on, and bytes sent."""

    flops: float
    seconds: float
    basis: str
    communicated: int


def of_step(architecture: Architecture, recipe: Recipe, gpu: GPU, trainable: int) -> Work:
    """The work of one optimizer step over all micro-batches and devices; of one batch of answers for inference."""
    if not recipe.trains:
        return _answer(architecture, recipe, gpu)
    tokens = recipe.micro_batch * recipe.seq_len * recipe.accumulate * recipe.devices
    model = architecture
    weights = multiplied(model)
    added = trainable if recipe.adapts else 0
    through = weights + added
    if recipe.method == "last-n":
        through = model.block_parameters * recipe.blocks + (model.vocab * model.embedding if model.causal else 0)
    flops = arithmetic.training_flops(
        weights + added,
        tokens,
        trained=min(trainable, through),
        through=min(through, weights + added),
        recompute=recipe.checkpointing,
        attention=arithmetic.attention_flops(
            model.layers, model.heads * model.head_dim, recipe.seq_len, causal=model.causal
        ),
    )
    rate, share, basis = _speed(recipe, gpu)
    took = arithmetic.seconds(flops, rate, share, recipe.devices)
    updated = _updated(recipe, trainable)
    if gpu.bandwidth:
        updating = arithmetic.seconds_bandwidth_bound(updated, gpu.bandwidth, READING)
        took += updating
        if updating > 0.01 * took:
            basis += f"; the optimizer takes {updated / 1e9:.1f} GB through memory at {READING:.0%} of its rate"
    return Work(flops, took, f"{_counted(recipe)}, {basis}", _sent(model, recipe, trainable))


def _counted(recipe: Recipe) -> str:
    """How many operations a step was taken to have, in words."""
    if recipe.method == "last-n":
        words = f"2 FLOPs per parameter and token forward, 4 backward in the last {recipe.blocks} blocks"
    else:
        words = f"{4 if recipe.adapts else 6} FLOPs per parameter and token"
    return words + (" and 2 to compute forward again" if recipe.checkpointing else "") + ", and attention's"


def _updated(recipe: Recipe, trainable: int) -> int:
    """Bytes that the optimizer reads and writes: gradients once, weights and its state twice."""
    width = WIDTH[recipe.learned]
    name = recipe.optimizer if recipe.optimizer != "adafactor" else "none"  # a row and a column of state per matrix
    state = arithmetic.optimizer_bytes(name, trainable, bytes_per_value=width)
    split = recipe.devices if recipe.sharding not in ("none", "ddp") else 1
    return (3 * width * trainable + 2 * state) // split


def multiplied(model: Architecture) -> int:
    """Parameters that a token is multiplied with: all but the tables it is looked up in."""
    head = model.vocab * model.embedding if model.causal else 0
    return model.layers * model.block_parameters + head


def _speed(recipe: Recipe, gpu: GPU) -> tuple[float, float, str]:
    """FLOP per second, the share of it that is assumed, and a sentence that says so."""
    if not gpu.is_cuda:
        rate = measured_rate(recipe.compute)
        return rate, 1.0, f"{rate / 1e9:.0f} GFLOP/s measured here on a product of matrices in {recipe.compute}"
    emulated = recipe.compute == "bf16" and not gpu.bf16
    compute = "fp32" if emulated else recipe.compute
    rate = gpu.rate(compute)
    share = IN_FLOAT32 if compute == "fp32" else UTILISATION[recipe.method]
    why = f", because {gpu.title} emulates bf16" if emulated else ""
    basis = f"{share:.0%} of {rate / 1e12:.3g} TFLOP/s ({gpu.title}, {compute}{why}), the share being an assumption"
    return rate, share, basis


def _answer(model: Architecture, recipe: Recipe, gpu: GPU) -> Work:
    tokens = recipe.micro_batch * (recipe.seq_len + recipe.new_tokens)
    width = model.heads * model.head_dim
    attention = arithmetic.attention_flops(model.layers, width, recipe.seq_len, causal=model.causal)
    flops = arithmetic.inference_flops(multiplied(model), tokens, attention=attention)
    rate, share, basis = _speed(recipe, gpu)
    took = arithmetic.seconds(flops * recipe.seq_len / (recipe.seq_len + recipe.new_tokens), rate, share)
    if recipe.new_tokens and gpu.bandwidth:
        width_of = WIDTH[recipe.compute]
        cache = arithmetic.kv_cache_bytes(
            model.layers,
            model.kv_heads,
            model.head_dim,
            recipe.seq_len + recipe.new_tokens,
            recipe.micro_batch,
            width_of,
        )
        read = model.parameters * width_of + cache
        took += recipe.new_tokens * arithmetic.seconds_bandwidth_bound(read, gpu.bandwidth, READING)
        basis += f"; each new token reads {read / 1e9:.1f} GB at {READING:.0%} of {gpu.bandwidth / 1e9:.0f} GB/s"
    return Work(flops, took, basis, 0)


def _sent(model: Architecture, recipe: Recipe, trainable: int) -> int:
    """Bytes that each device sends in one optimizer step, in the precision in which they are held."""
    sent = arithmetic.bytes_sent(
        recipe.sharding,
        recipe.devices,
        weights=model.parameters * WIDTH[recipe.held],
        gradients=trainable * WIDTH[recipe.learned],
        accumulate=recipe.accumulate,
    )
    return int(sum(sent.values()))


@functools.cache
def measured_rate(precision: str, side: int = 1024) -> float:
    """FLOP per second of this processor on a product of two square matrices; a fifth of a second is spent on it."""
    import torch

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    a = torch.ones(side, side, dtype=dtype)
    torch.mm(a, a)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.2:
        torch.mm(a, a)
        done += 1
    return 2.0 * side**3 * done / (time.perf_counter() - start)
