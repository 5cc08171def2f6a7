"""Attention that stays inside each text of a packed row, for every model of transformers.

    row      a b c d | p q r          q sees p and q, not a to d

A mask of N x N would say that, and would cost N^2 for a row of N tokens. Here the row is cut at the texts' ends, each
piece gets plain causal attention (torch's fused kernel, without any mask), and the results are put side by side: the
cost is the sum of the squares of the lengths. Transformers lets anybody add an attention function under a name of its
own, and hands on what the forward pass is called with; so ``model(..., lengths=(4, 3))`` is all it takes. Without
``lengths`` the same model works as before (SDPA).

Whether a model heeds ``lengths`` is tried, not believed: `packs` compares a packed row with its texts one by one.

Left out: attention with a soft cap or with sinks, which torch's kernel cannot compute: such models are not packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import hub
from course_lib.batching import packed
from course_lib.decoder import Decoder

NAME = "packed"
# Shares of the largest logit. Rounding in float32 is a hundred times smaller than the first; in 16 bits it may be ten
# times larger, where a GPU takes another kernel for another length. A leak moved logits by as much as they are.
CLOSE, CLOSE_IN_16_BITS = 1e-3, 3e-2


def attention(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, lengths: Sequence[int] = (), **options: Any
) -> tuple[Tensor, None]:
    """Attention of queries (B, H, T, D) to keys and values (B, K, T, D), as transformers wants it: (B, T, H, D), None.

    With ``lengths`` B is 1 and the row holds texts of these lengths. Raises NotImplementedError for a soft cap.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if not lengths:
        return sdpa_attention_forward(module, q, k, v, mask, **options)
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise NotImplementedError("this attention has more to it than torch's kernel computes")
    window, scale, drop = options.get("sliding_window"), options.get("scaling"), options.get("dropout", 0.0)
    shared = q.shape[1] != k.shape[1]
    pieces = []
    for a, b, c in zip(*(x.split(list(lengths), 2) for x in (q, k, v)), strict=True):
        near = _near(a, window)
        pieces.append(
            F.scaled_dot_product_attention(a, b, c, near, drop, is_causal=near is None, scale=scale, enable_gqa=shared)
        )
    return torch.cat(pieces, 2).transpose(1, 2), None


def _near(q: Tensor, window: int | None) -> Tensor | None:
    """Which of the last ``window`` tokens each may see; None where all tokens before it are that near."""
    T = q.shape[2]
    if window is None or window >= T:
        return None
    all_TT = torch.ones(T, T, dtype=torch.bool, device=q.device)
    return all_TT.tril() & all_TT.triu(1 - window)


def use_packing(model: Any) -> bool:
    """Give a model of transformers this attention; False, and the model as before, where it does not work with it."""
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    before = model.config._attn_implementation
    try:
        with hub.quiet():  # where it cannot be changed, transformers says so at length
            model.set_attn_implementation(NAME)
        works = packs(model)
    except (NotImplementedError, TypeError, ValueError, RuntimeError, IndexError):
        works = False
    if not works:
        model.set_attn_implementation(before)
    return works


@torch.no_grad()
def packs(model: Any) -> bool:
    """Whether a packed row gives the logits of its texts one by one, and logits where they are asked for."""
    device = next(model.parameters()).device
    vocabulary = model.config.get_text_config().vocab_size
    texts = [[k % vocabulary for k in range(5, 12)], [k % vocabulary for k in range(90, 95)]]
    items = [(ids, [True] * len(ids)) for ids in texts]
    training = model.training
    model.eval()
    try:
        together = forward(model, _to(packed(items), device))
        apart = torch.cat([model(input_ids=torch.tensor([ids], device=device)).logits[0, :-1] for ids in texts]).float()
    finally:
        model.train(training)
    close = CLOSE if together.dtype == torch.float32 else CLOSE_IN_16_BITS
    return together.shape == apart.shape and bool((together.float() - apart).abs().max() <= close * apart.abs().max())


def forward(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """The logits (L, V) at the places ``keep`` of a packed or padded batch (`course_lib.batching`)."""
    if isinstance(getattr(model, "module", model), Decoder):  # several processes wrap it
        return model(batch["input_ids"], lengths=batch["lengths"], keep=batch["keep"])[0]
    if "lengths" not in batch:
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        return logits.flatten(0, 1)[batch["keep"]]
    return model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        # A mask with four dimensions is handed on as it is; none would be made into one of N x N, for nothing.
        attention_mask=batch["input_ids"].new_ones((1, 1, 1, 1), dtype=torch.bool),
        lengths=batch["lengths"],
        logits_to_keep=batch["keep"],
        use_cache=False,
    ).logits[0]


def _to(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}
