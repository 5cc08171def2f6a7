"""A batch with fewer texts, or shorter ones: what the guard tries out before it advises it.

Only shapes matter here. A batch is either rows of texts, (B, T) and whatever has B entries, or one packed row: then
``lengths`` says where in it a text ends. Labels that are named by their places are cut in proportion
(`course_lib.batching.packing`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from course_lib.memory.program import Batch


def texts_of(batch: Batch) -> int:
    """How many texts a batch has."""
    if "lengths" in batch:
        return len(batch["lengths"])
    tensors = _tensors(batch).values()
    return max([t.shape[0] for t in tensors if t.dim() > 1] or [t.shape[0] for t in tensors if t.dim()] or [1])


def longest_of(batch: Batch) -> int:
    """The tokens of the longest text; 1 where there are no texts."""
    if "lengths" in batch:
        return max(batch["lengths"])
    return max((t.shape[1] for t in _tensors(batch).values() if t.dim() > 1), default=1)


def fewer_texts(batch: Batch, texts: int) -> Batch:
    """The batch with so many of its texts."""
    if "lengths" in batch:
        return _repacked(batch, batch["lengths"][-texts:])  # the longest stand last
    return _cut(batch, 0, texts_of(batch), texts)


def shorter_texts(batch: Batch, limit: int) -> Batch:
    """The batch with its texts cut to so many tokens."""
    if "lengths" in batch:
        return _repacked(batch, [min(length, limit) for length in batch["lengths"]])
    return _cut(batch, 1, longest_of(batch), limit)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if isinstance(value, Tensor)}


def _cut(batch: Batch, dim: int, old: int, new: int) -> Batch:
    """The batch with ``new`` of its ``old`` rows or columns."""
    cut = {n: t.narrow(dim, 0, new) for n, t in _tensors(batch).items() if t.dim() > dim and t.shape[dim] == old}
    if "keep" in batch:  # places of labels, which stand in some of the rows only
        cut |= {n: _share(t, 0, new, old) for n, t in _tensors(batch).items() if t.dim() == 1}
    return {**batch, **cut}


def _repacked(batch: Batch, lengths: Sequence[int]) -> Batch:
    """A packed row with texts of these lengths."""
    tokens, old = sum(lengths), sum(batch["lengths"])
    cut = {name: _share(t, t.dim() - 1, tokens, old) for name, t in _tensors(batch).items()}
    return {**batch, **cut, "lengths": tuple(lengths)}


def _share(t: Tensor, dim: int, new: int, old: int) -> Tensor:
    """The beginning of a tensor: ``new`` of ``old`` parts, rounded up."""
    return t.narrow(dim, 0, -(-t.shape[dim] * new // old))
