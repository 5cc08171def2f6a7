"""Continued pretraining: a model learns how a domain speaks before, or without, learning to answer.

The data are plain texts, and every token counts. What is measured is perplexity, exp(mean loss), in the domain and
outside of it: the first falls, and the second usually rises, since a model that changes forgets (mixing in some of the
old texts holds it). Gururangan et al. 2020 ("Don't stop pretraining") is the source of the practice.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from course_lib.batching import Item
from course_lib.errors import CourseError


def texts_to_items(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int) -> list[Item]:
    """Texts as items in which every token counts, each ending with the end token; long ones are cut into pieces.

    Raises CourseError where there is no text, and for a ``limit`` below two tokens.
    """
    if limit < 2:
        raise CourseError(f"A piece of {limit} tokens teaches nothing: the limit must be at least 2 tokens.")
    if not any(text.strip() for text in texts):
        raise CourseError("There is no text to learn from: give at least one that is not empty.")
    items: list[Item] = []
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for ids in tokenizer([text for text in texts if text.strip()], verbose=False)["input_ids"]:
        whole = [*ids, *end] if ids[-1:] != end else list(ids)
        for start in range(0, len(whole), limit):
            piece = whole[start : start + limit]
            if len(piece) > 1:
                items.append((piece, [True] * len(piece)))
    return items
