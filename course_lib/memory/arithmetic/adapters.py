"""LoRA: two thin matrices beside a frozen one, few parameters, nearly the same activations.

``y = W x + (alpha / r) B A x`` with A: r x inputs and B: outputs x r, so an adapter has r * (inputs + outputs)
parameters. That removes gradients and optimizer states of everything else, and nothing of the activations that the
gradient passes through. "A 7B model takes 14 GB with LoRA" is therefore its 16-bit weights alone: 6.74 billion times 2
bytes are 13.5 GB before the first token.

Left out: adapters of other forms (DoRA, IA3), and embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable

from course_lib.memory.arithmetic.checks import choice, count, share

TARGETS = {"qv": ("q", "v"), "all-linear": ("q", "k", "v", "o", "gate", "up", "down")}


def projection_shapes(
    *, hidden: int, heads: int, kv_heads: int, head_dim: int, intermediate: int, gated: bool
) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the linear layers in one transformer layer, by name; the product of each pair is its size.

    >>> projection_shapes(hidden=8, heads=4, kv_heads=2, head_dim=2, intermediate=20, gated=False)
    {'q': (8, 8), 'k': (8, 4), 'v': (8, 4), 'o': (8, 8), 'up': (8, 20), 'down': (20, 8)}
    """
    width, inner = count("hidden", hidden, 1), count("intermediate", intermediate, 1)
    size = count("head_dim", head_dim, 1)
    queries, pairs = count("heads", heads, 1) * size, count("kv_heads", kv_heads, 1) * size
    mlp = {"gate": (width, inner)} if gated else {}
    mlp |= {"up": (width, inner), "down": (inner, width)}
    return {"q": (width, queries), "k": (width, pairs), "v": (width, pairs), "o": (queries, width)} | mlp


def lora_parameters(rank: int, shapes: Iterable[tuple[int, int]]) -> int:
    """Parameters of adapters of this rank beside layers of (inputs, outputs): ``r * (inputs + outputs)`` each.

    Source: Hu et al. 2021. Their example, q and v of all 96 layers of GPT-3:

    >>> lora_parameters(4, [(12288, 12288)] * 2 * 96)
    18874368
    """
    r = count("rank", rank, 1)
    return sum(r * (count("inputs", inputs, 1) + count("outputs", outputs, 1)) for inputs, outputs in shapes)


def lora_activations(
    tokens: int,
    rank: int,
    shapes: Iterable[tuple[int, int]],
    *,
    bytes_per_value: int = 2,
    adapter_bytes: int = 4,
    autocast: bool = False,
    dropout: float = 0.0,
) -> dict[str, int]:
    """Bytes that adapters keep for the backward pass, on top of the frozen layers' own.

    * ``inputs``: A learns, so its input is kept. An adapter makes a copy of its own where its weights have another
      width (``adapter_bytes``, peft holds them in fp32) than the base computes in, under ``autocast``, and where it
      drops inputs out. Else it shares the layer's input: then nothing here, and the name of the adapted layer belongs
      into ``inputs_of`` of `layer_activations` (see `copies_inputs`)
    * ``down``: what A gives to B, ``rank`` values per token and adapter
    * ``masks``: of dropout, one byte per input

    ``shapes``: (inputs, outputs) of the adapted layers. Source: peft's linear LoRA layer, whose saved tensors the
    tests count. Left out: 16-bit copies of A and B under autocast.

    >>> lora_activations(1000, 8, [(4096, 4096), (4096, 4096)])  # fp32 adapters in a 16-bit model, no autocast
    {'inputs': 32768000, 'down': 64000}
    >>> lora_activations(1000, 8, [(4096, 4096), (4096, 4096)], adapter_bytes=2)
    {'down': 32000}
    """
    n, r = count("tokens", tokens), count("rank", rank, 1)
    own, width = count("adapter_bytes", adapter_bytes, 1), count("bytes_per_value", bytes_per_value, 1)
    value = width if autocast else own
    sizes = [count("inputs", inputs, 1) for inputs, _ in shapes]
    dropped = share("dropout", dropout) > 0
    copied = copies_inputs(bytes_per_value=width, adapter_bytes=own, autocast=autocast, dropout=dropout)
    parts = {
        "inputs": n * sum(sizes) * value if copied else 0,
        "down": n * r * len(sizes) * value,
        "masks": n * sum(sizes) if dropped else 0,
    }
    return {name: size for name, size in parts.items() if size}


def copies_inputs(
    *, bytes_per_value: int = 2, adapter_bytes: int = 4, autocast: bool = False, dropout: float = 0.0
) -> bool:
    """Whether every adapter keeps a copy of its input instead of sharing the one of its layer.

    >>> copies_inputs(), copies_inputs(adapter_bytes=2)
    (True, False)
    """
    return autocast or dropout > 0 or adapter_bytes != bytes_per_value


def targets(names: str | Iterable[str], gated: bool = True) -> tuple[str, ...]:
    """Layers that are adapted: ``qv``, ``all-linear``, or some of q, k, v, o, gate, up, down; CourseError for others.

    >>> targets("all-linear", gated=False)
    ('q', 'k', 'v', 'o', 'up', 'down')
    """
    known = [name for name in TARGETS["all-linear"] if gated or name != "gate"]
    if isinstance(names, str):
        return tuple(name for name in TARGETS[choice("targets", names, TARGETS)] if name in known)
    return tuple(choice("target", name, known) for name in names)
