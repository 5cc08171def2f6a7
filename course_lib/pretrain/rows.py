"""From documents to rows of equal length, each of which begins where a document begins.

A model is trained on rows of equal length. Cutting a stream of text at every 256th token would begin most rows in the
middle of a document, and half a worksheet shows no pattern. So a row is filled with documents until it is full; what
does not fit of the last one is dropped, which costs nothing, for a generator has no end. Nothing is padding. Documents
that are longer than a usual row go into rows of twice the length, together with some others, so that the model also
learns the positions beyond.

    <|begin|> document <|end|> <|begin|> document <|end|> <|begin|> beginning of a docum

A document sees those before it in its row; <|begin|> tells it that they do not matter. (With texts that people wrote,
nothing is dropped: packing the whole ones well wastes little, Ding et al. 2024.)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from course_lib.world.corpus import documents

AT_ONCE = 4096  # documents given to the tokenizer together, at most
Row = np.ndarray  # uint16 token ids


def rows(
    tokenizer: PreTrainedTokenizerBase, tokens: int, lengths: tuple[int, int], long_share: float, seed: int = 0
) -> list[Row]:
    """Rows of the two ``lengths`` with at least ``tokens`` tokens in all, about ``long_share`` of them in long rows."""
    short, long = (_Filling(length) for length in lengths)
    stream = documents(seed)
    together = min(AT_ONCE, 1 + tokens // short.length)  # so that a short run does not get a long one's rows
    while short.tokens + long.tokens < tokens:
        texts = [one.text for one in itertools.islice(stream, together)]
        for ids in tokenizer(texts, truncation=True, max_length=long.length)["input_ids"]:
            behind = long.tokens < long_share * (short.tokens + long.tokens)
            (long if behind or len(ids) > short.length else short).add([*ids, tokenizer.eos_token_id])
    return short.rows + long.rows


@dataclass
class _Filling:
    """Rows of one length; the last is still open."""

    length: int
    rows: list[Row] = field(default_factory=list)
    open: list[int] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return len(self.rows) * self.length + len(self.open)

    def add(self, ids: Sequence[int]) -> None:
        self.open += ids
        if len(self.open) >= self.length:
            self.rows.append(np.array(self.open[: self.length], dtype=np.uint16))
            self.open = []


def collate(rows: list[Row]) -> dict[str, Tensor]:
    """``ids`` (B, T) and ``labels`` (B, T), the next token; where lengths mix, rows are cut to the shortest."""
    shortest = min(map(len, rows))
    ids = torch.from_numpy(np.stack([row[:shortest] for row in rows]).astype(np.int64))
    return {"ids": ids[:, :-1], "labels": ids[:, 1:]}
