"""What a forward pass leaves behind for the backward pass, and what checkpointing makes of it.

Everything here grows with batch * seq and not with the number of parameters: a small model on long sequences can need
more for its activations than a large one for its weights. Only the scores of eager attention grow faster, with seq
squared, and fused kernels compute those again instead of keeping them (Dao et al. 2022).

`korthikanti_layer` is the formula of the literature: 34 bytes per token and hidden value, 5 per score. It describes
GPT-3. `layer_activations` counts the tensors of today's families one by one (grouped-query attention, gated MLPs, RMS
norms, copies that autocast makes); `layer.Layer` has the rules. `stack_activations` adds up the layers.

Left out: what lies outside the layers (embedding, last norm; for the head see `logits_bytes`), and what lives for one
operation only.
"""

from __future__ import annotations

from typing import Any

from course_lib.memory.arithmetic.checks import amount, blocks, choice, count
from course_lib.memory.arithmetic.layer import Layer

RECOMPUTED = ("none", "selective", "full")


def korthikanti_layer(
    *,
    batch: int,
    seq: int,
    hidden: int,
    heads: int,
    recompute: str = "none",
    tensor_parallel: int = 1,
    sequence_parallel: bool = False,
) -> float:
    """Bytes that one layer of a GPT keeps in 16 bits, with dropout, eager attention and an MLP of 4 * hidden.

    ``s b h (34 + 5 a s / h)``: 11 s b h and 5 a s**2 b in attention, 19 s b h in the MLP, 4 s b h in the norms. Over t
    devices (``tensor_parallel``) 24 of the 34 and the scores are divided, with ``sequence_parallel`` all of it.
    ``recompute``: "selective" drops the scores, "full" keeps the layer's input only, 2 s b h. Source: Korthikanti et
    al. 2022, section 4 and table 2.

    >>> korthikanti_layer(batch=1, seq=2048, hidden=12288, heads=96) / 2**30  # GPT-3: 34 + 5 * 96 * 2048 / 12288 = 114
    2.671875
    """
    b, s, h, a = count("batch", batch), count("seq", seq), count("hidden", hidden, 1), count("heads", heads, 1)
    t = count("tensor_parallel", tensor_parallel, 1)
    if choice("recompute", recompute, RECOMPUTED) == "full":
        return 2.0 * s * b * h
    spread = t if sequence_parallel else 1
    scores = 0.0 if recompute == "selective" else 5 * a * s / h
    return s * b * h * (10 / spread + 24 / t + scores / t)


def layer_activations(*, batch: int, seq: int, **layer: Any) -> dict[str, int]:
    """Bytes of every tensor that one layer keeps of one micro-batch, by name; the keywords are those of `Layer`.

    >>> llama = dict(hidden=4096, heads=32, kv_heads=32, head_dim=128, intermediate=11008, gated=True, norm="rms")
    >>> trained = layer_activations(batch=1, seq=1000, **llama)
    >>> frozen = layer_activations(batch=1, seq=1000, frozen=True, **llama)
    >>> sum(trained.values()) // 10**6, sum(frozen.values()) // 10**6  # MB per layer of Llama-2-7B and 1000 tokens
    (186, 131)
    >>> sorted(trained.keys() - frozen.keys())
    ['attention inputs', 'down inputs', 'mlp inputs', 'norm products']
    """
    return Layer(**layer).saved(batch, seq)


def checkpointed(*, batch: int, seq: int, hidden: int, bytes_per_value: int = 2) -> int:
    """Bytes that a checkpointed layer keeps: its input (Chen et al. 2016). Under autocast that is fp32: 4 per value.

    >>> checkpointed(batch=1, seq=1000, hidden=4096) / 10**6  # MB, against 186 for the whole layer
    8.192
    """
    width = count("bytes_per_value", bytes_per_value, 1)
    return count("batch", batch) * count("seq", seq) * count("hidden", hidden, 1) * width


def stack_activations(layers: int, layer: float, kept: float = 0, *, every: int = 0) -> int:
    """Bytes of all layers' activations at their peak, with or without checkpointing.

    ``layer``: bytes of one (`layer_activations`), ``kept``: of its input (`checkpointed`), ``every``: layers from one
    checkpoint to the next, 0 for none. With checkpoints it is ``ceil(L / every) * kept + every * layer``, least near
    ``every = sqrt(L * kept / layer)`` (Chen et al. 2016); transformers takes every = 1. A checkpoint costs one more
    forward pass of the layer, see `training_flops`.

    >>> stack_activations(32, 186e6) / 1e9, stack_activations(32, 186e6, 8.192e6, every=1) / 1e9
    (5.952, 0.448144)
    """
    n, segment, size = count("layers", layers), count("every", every), amount("layer", layer)
    if not segment:
        return round(n * size)
    return round(blocks(n, segment) * amount("kept", kept) + min(segment, n) * size)
