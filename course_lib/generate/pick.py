"""From scores to one token: penalty, temperature, filters, draw.

A filter sets the scores of what may not be drawn to minus infinity; the softmax afterwards shares out their probability
among the rest. The order is transformers': penalty, temperature, top-k, top-p. A draw walks along the cumulative
probabilities until they pass a number between 0 and 1; with numbers of its own for each text (`draws`), a text's
tokens do not depend on what else is in the batch.

Shapes: R rows (texts being written), V tokens of the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.generate.decoding import Decoding


def penalise(logits_RV: Tensor, seen_RV: Tensor, penalty: float) -> Tensor:
    """Make tokens that were there already less likely: score / penalty where positive, score * penalty where not."""
    less = torch.where(logits_RV < 0, logits_RV * penalty, logits_RV / penalty)
    return torch.where(seen_RV, less, logits_RV)


def keep_top_k(logits_RV: Tensor, k: int) -> Tensor:
    """Only the k highest scores (and those equal to the last of them)."""
    least = logits_RV.topk(min(k, logits_RV.shape[-1])).values[:, -1:]
    return logits_RV.masked_fill(logits_RV < least, -torch.inf)


def keep_top_p(logits_RV: Tensor, p: float) -> Tensor:
    """Only the fewest likeliest tokens whose probabilities sum to p; always at least one."""
    ordered, places = logits_RV.sort()
    drop = ordered.softmax(-1).cumsum(-1) <= 1 - p
    drop[:, -1] = False
    return logits_RV.masked_fill(drop.scatter(1, places, drop), -torch.inf)


def pick(logits_RV: Tensor, decoding: Decoding, draw_R: Tensor | None) -> Tensor:
    """The next token (R,) of each row; ``draw_R`` are numbers in [0, 1), None for the likeliest token."""
    if draw_R is None:
        return logits_RV.argmax(-1)
    logits_RV = logits_RV / decoding.temperature
    if decoding.top_k:
        logits_RV = keep_top_k(logits_RV, decoding.top_k)
    if decoding.top_p < 1:
        logits_RV = keep_top_p(logits_RV, decoding.top_p)
    sums_RV = logits_RV.softmax(-1).cumsum(-1)
    # Rounding lets the sums end beside 1. The first sum above the drawn one belongs to a token of some probability.
    target_R1 = draw_R[:, None] * sums_RV[:, -1:]
    return torch.searchsorted(sums_RV, target_R1, right=True)[:, 0].clamp(max=logits_RV.shape[-1] - 1)


def draws(seed: int, prompt: Sequence[int], sample: int, count: int) -> Tensor:
    """``count`` numbers in [0, 1) for one sample of one prompt, from a generator of its own.

    The prompt's tokens are part of the generator's seed, or all prompts would get the same throws of the dice.
    """
    own = hashlib.blake2b(repr((seed, sample, tuple(prompt))).encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(own, "big") >> 1)
    return torch.rand(count, generator=generator)
