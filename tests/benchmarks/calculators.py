"""What other people's memory calculators say about a run, each as its own documentation states it.

One is run (accelerate's, whose code is installed); the others are a line or two of arithmetic and are written down
again from what they publish. A calculator gets the benefit of every doubt: where it has no word for an adapter, the
frozen matrices count as weights only and its bytes for gradients and optimizer go to what learns; four bits count as
half a byte where it says nothing better. Everything in bytes.

Symbols: N parameters, n of them learning, L blocks of width h with a heads, s tokens, b sequences.
"""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import torch

from course_lib.memory.architecture import Architecture
from course_lib.memory.models import preset
from course_lib.memory.plan import plan
from course_lib.memory.published import Measured

GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class Calculator:
    """A public calculator: its name, where it is published, what it leaves out, and what it says about a run."""

    name: str
    source: str
    omits: str
    predict: Callable[[Measured], int]


@dataclass(frozen=True)
class Question:
    """What the formulas need to know of a row."""

    shape: Architecture
    learning: int  # parameters that learn
    weight: float  # bytes to a weight that stays as it is
    batch: int
    length: int
    full: bool
    mixed: bool  # weights in 32 bits under autocast

    @property
    def frozen(self) -> int:
        return self.shape.parameters - (self.learning if self.full else 0)

    def states(self, per_learning: float) -> float:
        """Weights that stay, and so many bytes for each parameter that learns."""
        return self.frozen * self.weight + self.learning * per_learning


@functools.cache
def question(row: Measured) -> Question:
    recipe = row.recipe
    assert recipe is not None
    shape = preset(row.model).architecture
    learning = plan(row.model, recipe, row.gpu, engine="formulas", advise=False).trainable_params
    weight = 0.5 if recipe.method == "qlora" else 4.0 if recipe.held == "fp32" else 2.0
    return Question(
        shape, learning, weight, recipe.micro_batch, recipe.seq_len, recipe.method == "full", recipe.held == "fp32"
    )


# -- accelerate, run ---------------------------------------------------------------------------------------------------


@functools.cache
def accelerate(model: str) -> dict[str, tuple[int, int]]:
    """The command's own table for a preset's model: by precision, its columns Total Size and Training using Adam."""
    from accelerate import init_empty_weights
    from accelerate.commands import estimate
    from transformers import AutoConfig, AutoModel

    values = dict(preset(model).config)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    with init_empty_weights():
        empty = AutoModel.from_config(config, dtype=torch.float32)  # as the command makes it, with no head
    asked = Namespace(
        model_name=model, library_name="transformers", trust_remote_code=False, dtypes=["float32", "float16", "int4"]
    )
    with patch.object(estimate, "create_empty_model", lambda *_, **__: empty):  # instead of asking the hub for it
        table = estimate.gather_data(asked)
    return {precision: (round(size), max(training.values())) for precision, _, size, training in table}


def accelerate_training(row: Measured) -> int:
    """Training using Adam, in the line of what is computed with."""
    return accelerate(row.model)["float16"][1]


def accelerate_size(row: Measured) -> int:
    """Total Size in the line of the frozen weights for adapters, which add little to it; training for the rest."""
    q = question(row)
    line = {0.5: "int4", 2.0: "float16", 4.0: "float32"}[q.weight]
    return accelerate_training(row) if q.full else accelerate(row.model)[line][0]


# -- closed formulas, retold -------------------------------------------------------------------------------------------


def eleuther(row: Measured) -> int:
    """Weights 2N; gradients 4, optimizer 12 for what learns; activations sbhL(16·2 + 2 + 5·as/h)."""
    q = question(row)
    activations = q.length * q.batch * q.shape.hidden * q.shape.layers
    activations *= 16 * 2 + 2 + (2 * 2 + 1) * q.shape.heads * q.length / q.shape.hidden
    return round(q.states(18) + activations)


def playbook(row: Measured) -> int:
    """16 bytes for what learns and sbhL(34 + 5·as/h), from Korthikanti et al. (2022)."""
    q = question(row)
    activations = q.shape.layers * q.length * q.batch * q.shape.hidden
    activations *= 34 + 5 * q.shape.heads * q.length / q.shape.hidden
    return round(q.states(16) + activations)


def deepspeed(row: Measured) -> int:
    """ZeRO-2 on one GPU without offload: 4·n + 16·n; model states only."""
    return round(question(row).states(20))


def anatomy(row: Measured) -> int:
    """18 bytes for what learns in mixed precision (6 weights, 8 AdamW, 4 gradients)."""
    return round(question(row).states(18))


def rule_of_16(row: Measured) -> int:
    """The rule of this field: 16 bytes for what learns (weights, gradient, two moments in 32 bits)."""
    return round(question(row).states(16))


def can_it_run(row: Measured) -> int:
    """(model size + n · 16/8 · 4) · 1.2 for LoRA; accelerate's training with Adam for full fine-tuning."""
    q = question(row)
    return accelerate_training(row) if q.full else round((q.frozen * q.weight + q.learning * 2 * 4) * 1.2)


def llama_factory(row: Measured) -> int:
    """A table by billions of parameters: 18 GB each in mixed precision, 8 in pure bf16, 2 for LoRA, 1/2 for 4 bits."""
    q = question(row)
    each = (18 if q.mixed else 8) if q.full else (0.5 if q.weight == 0.5 else 4 if q.mixed else 2)
    return round(each * q.shape.parameters)


def gpu_poor(row: Measured) -> int:
    """Weights, LoRA of rank 8, activations counted tensor by tensor for eager attention, 650 MiB for CUDA."""
    q = question(row)
    v, h, a, i, layers = q.shape.vocab, q.shape.hidden, q.shape.heads, q.shape.intermediate, q.shape.layers
    s, b = q.length, q.batch
    parameters = 2 * v * h + layers * (4 * h * h + 3 * h * i)
    attention = 8 * 2 * s * h + s * s * a * (2 + 4 + 2)
    mlp, norms = 2 * 2 * s * h + 6 * 2 * s * i, 8 * s + 6 * 2 * s * h
    activations = layers * (attention + mlp + norms) * b
    if q.full:
        return round(parameters * (2 + 3 * 2) + activations + 650 * MIB)
    if q.weight == 0.5:
        kept = 0.75 * (15 * h + 6 * i) * layers * 50 * max(1.0, s / 50) ** 0.5
        weights = parameters * (2 / 4 - 2 / 64 + 2 * 0.06)
        return round(weights + layers * 8 * h * 0.5 * 4 * 3 + kept * b + activations + 650 * MIB)
    return round(parameters * 2 + layers * 8 * h * 2 * 4 * 3 * 2 + activations + 650 * MIB)


CALCULATORS = (
    Calculator(
        "accelerate estimate-memory (training)",
        "accelerate.commands.estimate.gather_data, run on the presets' models",
        "activations, adapters, the head",
        accelerate_training,
    ),
    Calculator(
        "accelerate estimate-memory (size)",
        "the same command's Total Size for adapters, its training figure for full fine-tuning",
        "activations, adapters, the head",
        accelerate_size,
    ),
    Calculator(
        "Transformer Math 101, calc_transformer_mem",
        "https://github.com/EleutherAI/cookbook/blob/main/calc/calc_transformer_mem.py",
        "fused attention, gates, the head, adapters",
        eleuther,
    ),
    Calculator(
        "Ultra-Scale Playbook",
        "https://huggingface.co/spaces/nanotron/ultrascale-playbook",
        "fused attention, gates, the head, adapters",
        playbook,
    ),
    Calculator(
        "DeepSpeed ZeRO estimator",
        "https://deepspeed.readthedocs.io/en/latest/memory.html",
        "activations (by its own word)",
        deepspeed,
    ),
    Calculator(
        "transformers, model memory anatomy",
        "https://huggingface.co/docs/transformers/model_memory_anatomy",
        "activations (named, not counted)",
        anatomy,
    ),
    Calculator(
        "16 bytes per parameter",
        "Rajbhandari et al. 2020, ZeRO, section 3.1",
        "activations",
        rule_of_16,
    ),
    Calculator(
        "Can you run it? LLM version",
        "https://huggingface.co/spaces/Vokturz/can-it-run-llm",
        "activations, except for a fifth of everything",
        can_it_run,
    ),
    Calculator(
        "LLaMA-Factory's table",
        "https://github.com/hiyouga/LLaMA-Factory#hardware-requirement",
        "batch and length",
        llama_factory,
    ),
    Calculator(
        "gpu_poor",
        "https://github.com/RahulSChand/gpu_poor/blob/main/src/App.js",
        "fused attention, ranks other than 8",
        gpu_poor,
    ),
)
