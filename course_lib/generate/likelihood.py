"""How likely a model finds given texts: what it never wrote can be compared, too.

    log p(continuation | prompt) = sum over its tokens of log p(token | prompt and the tokens before)

A choice among given answers needs no decoding: score each, take the best. Perplexity is exp(- the mean per token): as
many equally likely tokens would have surprised the model as much. It compares models only if they share a tokenizer.

A prompt is read once for all its continuations, which then run side by side, padded on the right: a token sees nothing
that comes after it, so that this padding needs no mask.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.generate.hf import HFModel
from course_lib.generate.reading import Model, read

Ids = tuple[int, ...]
LOGITS = 2**24  # as many scores at a time: 64 MiB
ALL_LOGITS = 2**27  # and as many where the model computes those of padding, too: 512 MiB


@torch.inference_mode()
def log_probabilities(model: Model, pairs: Sequence[tuple[Ids, Ids]], pad: int, rows: int) -> list[float]:
    """The total log-probability of each continuation (not empty) given its prompt (not empty), in natural logarithms.

    At most ``rows`` continuations are computed at a time.
    """
    found = [0.0] * len(pairs)
    most = ALL_LOGITS // model.config.vocab_size if isinstance(model, HFModel) else sys.maxsize
    for some in _batches(pairs, model.config.max_position_embeddings, rows, most):
        for k, value in zip(some, _together(model, [pairs[k] for k in some], pad), strict=True):
            found[k] = value
    return found


def _batches(pairs: Sequence[tuple[Ids, Ids]], positions: int, rows: int, most: int) -> Iterator[list[int]]:
    """Indices of pairs whose lengths are similar; those with the same prompt stand together.

    At most ``most`` tokens of continuations, padded, and no more columns than the model has positions.
    """
    some: list[int] = []
    for k in sorted(range(len(pairs)), key=lambda k: (len(pairs[k][0]), pairs[k][0], len(pairs[k][1]))):
        longest = max(len(pairs[j][1]) for j in [*some, k])
        full = len(some) == rows or (len(some) + 1) * longest > most
        if some and (full or len(pairs[k][0]) + longest > positions):
            yield some
            some = []
        some.append(k)
    if some:
        yield some


def _together(model: Model, pairs: Sequence[tuple[Ids, Ids]], pad: int) -> list[float]:
    device = model.device
    groups = [(prompt, len(list(same))) for prompt, same in groupby(pairs, key=lambda pair: pair[0])]
    more = max(len(rest) for _, rest in pairs) - 1  # nothing is predicted from the last token
    cache, last_PC, mask = read(model, [prompt for prompt, _ in groups], more, pad)
    of_R = torch.tensor([k for k, (_, count) in enumerate(groups) for _ in range(count)], device=device)
    hidden_RTC = last_PC[of_R, None]
    if more:
        if len(pairs) > len(groups):
            cache.select(of_R)
        ids = _pad_right([rest[:-1] for _, rest in pairs], pad).to(device)
        after = model(ids, None if mask is None else mask[of_R], cache, scores=False)
        hidden_RTC = torch.cat((hidden_RTC, after), 1)
    targets_RT = _pad_right([rest for _, rest in pairs], -1).to(device)
    total_R = torch.zeros(len(pairs), dtype=torch.float64, device=device)
    step = max(1, LOGITS // model.config.vocab_size)
    for some in (targets_RT >= 0).nonzero().split(step):
        of, at = some.unbind(1)
        logits = model.lm_head(hidden_RTC[of, at]).float()
        total_R.index_add_(0, of, -F.cross_entropy(logits, targets_RT[of, at], reduction="none").double())
    return total_R.tolist()


def _pad_right(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
