"""The two ends that grow with tokens: the logits of training and the cache of generation.

A model with 128,000 words in its vocabulary produces 128,000 logits for every token, and the loss looks at them in
fp32: about 14 bytes per token and word while it is differentiated. With a small model this is the largest thing in
memory, and no checkpointing of layers touches it. Working through the tokens in chunks does.

The cache of keys and values is what generation keeps of every token so far. "1 MB per token" is a 13B model with one
key-value head per query head: 2 * 40 layers * 5120 * 2 bytes = 0.82 MB. Grouped-query attention divides it.

Left out: the gradient of the hidden states (2 bytes per value), sampling's own copies of the last logits, the pages
into which a server divides its cache.
"""

from __future__ import annotations

from course_lib.memory.arithmetic.checks import choice, count

PHASES = ("forward", "loss", "backward")


def logits_bytes(
    batch: int,
    seq: int,
    vocab: int,
    bytes_per_value: int = 2,
    upcast: bool = True,
    chunk: int = 0,
    *,
    phase: str = "backward",
) -> dict[str, int]:
    """Bytes of the tensors of tokens x vocabulary that are alive at once around the cross-entropy, by name.

    At the peak of a ``phase``, per token and word, for 16-bit logits and a loss in fp32:

        forward    logits 2                                                                    = 2
        loss       logits 2, fp32 copy 4, log-softmax 4                                        = 10
        backward   logits 2, log-softmax 4, gradient of log-softmax 4, gradient of logits 4    = 14

    Logits stay because the model's output holds them; the copy goes when the loss function returns. Without ``upcast``
    all are in the logits' precision and there is no copy; of fp32 logits the copy is the tensor itself. ``chunk``: how
    many tokens are worked through at a time, their logits made, differentiated and dropped before the next (0: all).
    Source: transformers' causal loss over `torch.nn.functional.cross_entropy`; CourseError for an unknown phase.

    >>> sum(logits_bytes(1, 1, 1).values())
    14
    >>> whole, parts = logits_bytes(2, 4096, 128256), logits_bytes(2, 4096, 128256, chunk=1024)  # Llama-3.1
    >>> sum(whole.values()) / 1e9, sum(parts.values()) / 1e9  # GB
    (14.709424128, 1.838678016)
    """
    tokens, width = count("batch", batch) * count("seq", seq), count("bytes_per_value", bytes_per_value, 1)
    at_once = min(count("chunk", chunk) or tokens, tokens) * count("vocab", vocab, 1)
    live = _per_logit(width, max(4, width) if upcast else width)[choice("phase", phase, PHASES)]
    return {name: at_once * size for name, size in live.items() if size}


def kv_cache_bytes(
    layers: int, kv_heads: int, head_dim: int, tokens: int, batch: int = 1, bytes_per_value: float = 2, window: int = 0
) -> int:
    """Bytes of the keys and values of ``tokens`` tokens (prompt and answer) in ``batch`` sequences.

    ``2 * layers * kv_heads * head_dim * tokens * batch * bytes``; with sliding-window attention no more than ``window``
    tokens are kept (0: no window). Source: Shazeer 2019; Ainslie et al. 2023 for fewer key-value heads.

    >>> kv_cache_bytes(40, 40, 128, tokens=1)  # Llama-2-13B, one token: 0.82 MB
    819200
    >>> kv_cache_bytes(80, 8, 128, tokens=1)  # Llama-2-70B, 8 key-value heads instead of 64
    327680
    """
    kept = count("tokens", tokens)
    if count("window", window):
        kept = min(kept, window)
    heads = count("kv_heads", kv_heads, 1) * count("head_dim", head_dim, 1)
    values = 2 * count("layers", layers) * heads * kept * count("batch", batch)
    return round(values * _width(bytes_per_value))


def _per_logit(width: int, wide: int) -> dict[str, dict[str, int]]:
    """Bytes per token and word at each phase's peak: logits of ``width`` bytes, a loss computed in ``wide`` bytes."""
    loss = {"fp32 copy": 0 if wide == width else wide, "log-softmax": wide}
    gradients = {"log-softmax": wide, "gradient of log-softmax": wide, "gradient of logits": wide}
    return {"forward": {"logits": width}, "loss": {"logits": width} | loss, "backward": {"logits": width} | gradients}


def _width(bytes_per_value: float) -> float:
    """Bytes of a cached value: whole numbers, or half of one for a cache in 4 bits."""
    return 0.5 if bytes_per_value == 0.5 else count("bytes_per_value", bytes_per_value, 1)
