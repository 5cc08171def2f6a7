"""Records that would be in the training and in the test set at once.

A model that has seen a test text in training is tested on its memory. Copies are found in two steps:

- **exact**: equal after folding case and runs of white space;
- **near**: the sets A and B of their word 3-shingles (every three words in a row) have a Jaccard similarity
  ``|A & B| / |A | B|`` of at least the threshold.

Comparing every pair of 25,000 x 25,000 texts is out of the question. Three sieves, each cheaper per text than the next:

1. Of a near copy at threshold t, at least the share t of all shingles must occur *somewhere* on the other side. One
   look-up in a table of bits finds the few texts for which that holds. This loses nothing.
2. MinHash: the smallest value of a random hash over A equals that over B with a probability of exactly their Jaccard
   similarity. A signature of 128 such minima, cut into bands, is looked up in a table (LSH, by `datasketch`), which
   finds the pairs that are probably similar.
3. The similarity of those pairs is computed exactly, so nothing is dropped by an estimate.

Left out: paraphrases and translations, which share no shingles.

Source: A. Z. Broder, "On the resemblance and containment of documents", 1997.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3
PERMUTATIONS = 128
# Chinese, Japanese and Thai are written without spaces: there, every character counts as a word.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying modulo 2**64 loses nothing


def folded(text: str) -> str:
    """The text without differences in case and white space."""
    return " ".join(text.casefold().split())


def exact_copies(texts: Sequence[str], of: Sequence[str]) -> list[int]:
    """Positions of the texts that are, after folding, among ``of``."""
    known = {folded(text) for text in of}
    return [index for index, text in enumerate(texts) if folded(text) in known]


def near_copies(texts: Sequence[str], of: Sequence[str], threshold: float = 0.7) -> list[int]:
    """Positions of the texts with a shingle similarity of at least ``threshold`` (0 to 1) to a text of ``of``."""
    every = shingles([*texts, *of])
    mine, theirs = every[: len(texts)], every[len(texts) :]
    left = _candidates(mine, theirs, threshold)
    right = _candidates(theirs, mine, threshold)
    if not left or not right:
        return []
    index = _index([theirs[k] for k in right], threshold)
    return [k for k in left if any(_similar(mine[k], theirs[right[m]], threshold) for m in index(mine[k]))]


def shingles(texts: Sequence[str]) -> list[NDArray[np.uint64]]:
    """For each text the sorted distinct keys (64 bits) of its word 3-shingles; of fewer than three words, one key."""
    numbers: dict[str, int] = {}
    keys = []
    for text in texts:
        words = _WORD.findall(text.casefold())
        row = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words] or [0], dtype=np.uint64)
        row = np.concatenate([row, np.zeros(max(0, SHINGLE - len(row)), np.uint64)])
        count = len(row) - SHINGLE + 1
        key = np.zeros(count, np.uint64)
        for step in range(SHINGLE):
            key = (key + row[step : step + count]) * _MIX  # last a product: the upper bits depend on every word
        keys.append(np.unique(key))
    return keys


def _candidates(mine: list[NDArray[np.uint64]], theirs: list[NDArray[np.uint64]], threshold: float) -> list[int]:
    """Positions of the sets of which at least the share ``threshold`` occurs anywhere among ``theirs``, and few others.

    A table of bits in place of a sorted list: a key of ours that meets a bit set by another key of theirs is a false
    alarm (at most 1 in 16), which the later sieves end.
    """
    if not mine or not theirs:
        return []
    keys = np.concatenate(theirs)
    bits = max(16, (16 * len(keys) - 1).bit_length())
    seen = np.zeros(1 << bits, dtype=bool)
    seen[keys >> np.uint64(64 - bits)] = True
    shared = seen[np.concatenate(mine) >> np.uint64(64 - bits)]
    sizes = np.array([len(one) for one in mine])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found: list[int] = np.flatnonzero(np.add.reduceat(shared, starts, dtype=np.int64) >= threshold * sizes).tolist()
    return found


def _index(sets: list[NDArray[np.uint64]], threshold: float) -> Callable[[NDArray[np.uint64]], list[int]]:
    """A function that gives the positions of the sets probably similar to the one it is called with."""
    from datasketch import MinHash, MinHashLSH

    def signature(keys: NDArray[np.uint64]) -> MinHash:
        minhash = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)
        minhash.update_batch((keys >> np.uint64(32)).tolist())  # the upper half is the well mixed one
        return minhash

    table = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(threshold))
    for position, keys in enumerate(sets):
        table.insert(position, signature(keys), check_duplication=False)
    return lambda keys: sorted(table.query(signature(keys)))


def _bands(threshold: float) -> tuple[int, int]:
    """How many bands, of how many values: the longest that find a pair at the threshold in 999 of 1000 cases.

    A pair of similarity s agrees in a band of r values with probability ``s**r``, and in any of b bands with
    ``1 - (1 - s**r)**b``. False alarms cost one exact comparison each; a copy that stays costs the test its meaning.

    >>> _bands(0.7)
    (32, 4)
    """
    for values in range(16, 1, -1):
        bands = PERMUTATIONS // values
        if 1 - (1 - threshold**values) ** bands >= 0.999:
            return bands, values
    return PERMUTATIONS, 1


def _similar(one: NDArray[np.uint64], other: NDArray[np.uint64], threshold: float) -> bool:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common >= threshold * (len(one) + len(other) - common)
