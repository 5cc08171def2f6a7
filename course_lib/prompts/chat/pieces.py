"""Tokens of a text that has to be cut where the assistant begins and stops to speak.

A model that generates has the tokens of the prompt, and writes behind them. A text tokenised as a whole need not have
that border: a line break at the end of the prompt and one at the beginning of the reply make one token, and a row of
spaces is cut differently when a word follows. So the prompt is tokenised by itself, and of each further piece those
tokens are taken that follow the prompt's in the text as a whole; where the whole begins with other tokens than the
prompt alone has, the piece is tokenised behind a special token, as text that continues.

What stands before a special token has no influence on the tokens behind it. The piece before a border therefore counts
from its last special token only, which for most templates is a few tokens that are the same in every conversation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def piece_ids(tokenizer: Any, marks: re.Pattern[str] | None, rows: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """Token ids of every piece of every row; the pieces of a row make one text. Tokenises all rows in one call."""
    contexts = [[_context(marks, piece) for piece in row] for row in rows]
    asked: dict[str, list[int]] = {}
    for row, before in zip(rows, contexts, strict=True):
        for k, piece in enumerate(row):
            for text in (piece,) if k == 0 else (before[k - 1], before[k - 1] + piece):
                asked[text] = []
    asked.update(zip(asked, _ids(tokenizer, list(asked)), strict=True))
    return [
        [
            asked[piece] if k == 0 else _behind(tokenizer, asked[before[k - 1]], asked[before[k - 1] + piece], piece)
            for k, piece in enumerate(row)
        ]
        for row, before in zip(rows, contexts, strict=True)
    ]


def _behind(tokenizer: Any, head: list[int], both: list[int], piece: str) -> list[int]:
    if both[: len(head)] == head:
        return both[len(head) :]
    for anchor in filter(None, (tokenizer.eos_token, tokenizer.bos_token)):
        alone, anchored = _ids(tokenizer, [anchor, anchor + piece])
        if anchored[: len(alone)] == alone:
            return anchored[len(alone) :]
    return _ids(tokenizer, [piece])[0]


def _context(marks: re.Pattern[str] | None, piece: str) -> str:
    found = list(marks.finditer(piece)) if marks else []
    return piece[found[-1].start() :] if found else piece


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    return list(tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"])
