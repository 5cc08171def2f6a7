"""Several texts in one row, and nothing else in it.

    text 1  a b c d          ids        a b c d | p q r
    text 2  p q r            positions  0 1 2 3 | 0 1 2        lengths (4, 3)

A linear layer, a norm, an MLP work on tokens one by one, so they do not care where a text ends, and no padding means no
work for nothing. Two things know about neighbours: positions, which begin anew with each text, and attention, which
must stay inside each text. The row alone does not say where that is, so the batch carries ``lengths``, and the model's
attention has to heed them (`Decoder` does, `course_lib.instruct.attention` makes others). Packing without that lets
every text read the ones before it, which nobody notices from the loss.

What counts for the loss is given as places and tokens: ``keep`` says after which tokens of the row something is to be
predicted, ``labels`` what. A model then makes logits for those only; with long prompts that is most of them saved.

Left out: filling rows up to a fixed length, which a compiled kernel may want.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Item = tuple[Sequence[int], Sequence[bool]]  # token ids, and for each whether it is to be predicted


def packed(items: Sequence[Item]) -> dict[str, Any]:
    """One row of all texts: ``input_ids`` and ``position_ids`` (1, N), ``lengths`` (a tuple of B), ``keep`` (L) places
    in the row and the ``labels`` (L) that come after them.

    The first token of a text is never predicted: there is nothing to predict it from.
    """
    ids = torch.tensor([[token for row, _ in items for token in row]])
    positions = torch.tensor([[position for row, _ in items for position in range(len(row))]])
    keep = torch.tensor(_places(items, [len(row) for row, _ in items]), dtype=torch.long)
    return {
        "input_ids": ids,
        "position_ids": positions,
        "lengths": tuple(len(row) for row, _ in items),
        "keep": keep,
        "labels": ids[0, keep + 1],
    }


def padded(items: Sequence[Item], pad: int) -> dict[str, Any]:
    """The same texts as rows of one length: ``input_ids`` and ``attention_mask`` (B, T), filled up on the right;
    ``keep`` (L) are places in the flattened rows.

    For models whose attention cannot be told of ``lengths``, and to compare with.
    """
    longest = max(len(row) for row, _ in items)
    ids = torch.full((len(items), longest), pad)
    mask = torch.zeros(len(items), longest, dtype=torch.long)
    for k, (row, _) in enumerate(items):
        ids[k, : len(row)] = torch.tensor(row)
        mask[k, : len(row)] = 1
    keep = torch.tensor(_places(items, [longest] * len(items)), dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "keep": keep, "labels": ids.flatten()[keep + 1]}


def _places(items: Sequence[Item], widths: Sequence[int]) -> list[int]:
    """The places before each token that counts, when each text begins ``widths`` after the one before."""
    found, start = [], 0
    for (_, learn), width in zip(items, widths, strict=True):
        found += [start + k - 1 for k, counts in enumerate(learn) if counts and k > 0]
        start += width
    return found
