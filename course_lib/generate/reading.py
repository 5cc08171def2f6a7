"""Reading prompts: the part of asking that writing and scoring share.

Prompts of different lengths are padded on the left, so that what comes next stands in one column. A model that is being
trained is asked between two steps, and must be found as it was: `asking` sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.decoder import Cache, Decoder
from course_lib.generate.hf import HFCache, HFModel

Model = Decoder | HFModel
AnyCache = Cache | HFCache
TOGETHER = 8  # prompts read at a time


@contextmanager
def asking(model: nn.Module) -> Iterator[None]:
    """Without dropout, and each module in its mode again afterwards.

    Layers in 4 bits stay in the mode of training: outside it, bitsandbytes packs their weights anew on some processors,
    and they could not be trained any more.
    """
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = type(module).__name__ == "Linear4bit"
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Token ids (B, T) and their mask, None if all rows are of one length."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    if all(len(row) == longest for row in rows):
        return ids, None
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device) >= (longest - lengths)[:, None]


@torch.inference_mode()
def read(model: Model, prompts: Sequence[Sequence[int]], more: int, pad: int) -> tuple[AnyCache, Tensor, Tensor | None]:
    """A cache with the prompts in it and room for ``more`` tokens; what the head is to make of the last token of each
    (P, C); the mask of the tokens so far and those to come (None: no padding).
    """
    ids, mask = pad_left(prompts, pad, model.device)
    cache: AnyCache
    if isinstance(model, HFModel):
        cache = model.cache()
        last = model(ids, mask, cache, last=1)
    else:
        cache, last = _few_at_a_time(model, ids, mask, [len(prompt) for prompt in prompts], more)
    return cache, last[:, 0], mask if mask is None else F.pad(mask, (0, more), value=True)


def _few_at_a_time(
    model: Decoder, ids: Tensor, mask: Tensor | None, lengths: Sequence[int], more: int
) -> tuple[Cache, Tensor]:
    """Prompts sorted by length are read fastest: a few at a time, each time as long as the longest of the few."""
    longest = ids.shape[1]
    cache, last = Cache(model, len(lengths), longest + more), []
    for start in range(0, len(lengths), TOGETHER):
        rows = slice(start, start + TOGETHER)
        padding = longest - max(lengths[rows])
        few = Cache(model, len(lengths[rows]), longest - padding)
        last.append(
            model(ids[rows, padding:], None if mask is None else mask[rows, padding:], few, last=1, scores=False)
        )
        for whole, part in ((cache.keys, few.keys), (cache.values, few.values)):
            # A key knows how far it was turned, not where it stands. A masked value counts 0 times, and 0 times what
            # fresh memory holds may be no number.
            whole[:, rows, :, padding:longest] = part
            whole[:, rows, :, :padding] = 0
    cache.length = longest
    return cache, torch.cat(last)
