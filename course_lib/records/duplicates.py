"""Records that would be in the training and in the test set at once.

A model that has seen a test text in training is tested on its memory. Copies are found in two steps:

- **exact**: equal after folding case and runs of white space;
- **near**: the sets A and B of their word 3-shingles (every three words in a row) have a Jaccard similarity
  ``|A & B| / |A | B|`` of at least the threshold.

Comparing every pair of 25,000 x 25,000 texts is out of the question. Four sieves, each cheaper per text than the next:

1. Of a near copy at threshold t, at least the share t of all shingles must occur *somewhere* on the other side. One
   look-up in a table of bits finds the few texts for which that holds. This loses nothing.
2. One of the shingles that two near copies share must be among the rarest of both, which leaves out texts and pairs
   that share no more than the wording of a template. This loses nothing either.
3. MinHash: the smallest value of a random hash over A equals that over B with a probability of exactly their Jaccard
   similarity. A signature of 128 such minima, cut into bands, is looked up in a table (LSH, by `datasketch`), which
   finds the pairs that are probably similar.
4. The similarity of those pairs is computed exactly, so nothing is dropped by an estimate.

Left out: paraphrases and translations, which share no shingles.

Source: A. Z. Broder, "On the resemblance and containment of documents", 1997.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

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


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation; of scripts without spaces, the characters."""
    return _WORD.findall(text.casefold())


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
    rare = [frozenset(keys) for keys in _rarest(every, threshold)]
    ours, others = rare[: len(texts)], rare[len(texts) :]
    known = frozenset().union(*(others[m] for m in right))
    left = [k for k in left if ours[k] & known]
    index = _index([theirs[m] for m in right], threshold)

    def copied(k: int) -> bool:
        pairs = (right[one] for one in index(mine[k]))
        return any(ours[k] & others[m] and _similar(mine[k], theirs[m], threshold) for m in pairs)

    return [k for k in left if copied(k)]


def near_twins(texts: Sequence[str], threshold: float = 0.7) -> list[tuple[int, int]]:
    """Near copies among the texts themselves: for each its position and that of the earlier text it resembles.

    A text that resembles one is not looked up again, so that a hundred copies are a hundred pairs and not five
    thousand. In one file everything may share a few wordings, so the sieve is what is rare in a text (`_rarest`).
    """
    sets = shingles(texts)
    holders: dict[int, list[int]] = {}
    found = []
    for position, rare in enumerate(_rarest(sets, threshold)):
        likely = sorted({one for key in rare for one in holders.get(key, ())})
        earlier = next((one for one in likely if _similar(sets[position], sets[one], threshold)), None)
        if earlier is not None:
            found.append((position, earlier))
            continue
        for key in rare:
            holders.setdefault(key, []).append(position)
    return found


def _rarest(sets: list[NDArray[np.uint64]], threshold: float) -> list[list[int]]:
    """The keys of each set that are rarest among all of them, as many as two similar sets cannot differ in.

    Of sets with a similarity of at least t, each has at least the share t of its n keys in common with the other. So
    among any ``n - ceil(t n) + 1`` of its keys is a common one; and where both take their rarest, by one order of all
    keys, they take a common one (prefix filtering: Chaudhuri et al. 2006). Keys that one set alone has are left out.
    """
    if not sets:
        return []
    _, inverse, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    alone = int((counts == 1).sum())  # these have the first ranks
    found, start = [], 0
    for one in sets:
        mine = np.sort(rank[inverse[start : start + len(one)]])
        start += len(one)
        short = mine[: len(one) - int(np.ceil(threshold * len(one) - 1e-9)) + 1]
        found.append(short[short >= alone].tolist())
    return found


def shingles(texts: Sequence[str]) -> list[NDArray[np.uint64]]:
    """For each text the sorted distinct keys (64 bits) of its word 3-shingles; of fewer than three words, one key."""
    numbers: dict[str, int] = {}
    keys = []
    for text in texts:
        found = [numbers.setdefault(word, len(numbers) + 1) for word in words(text)]
        row = np.array(found or [0], dtype=np.uint64)
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
    from datasketch import MinHashLSH

    table = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(threshold))
    for position, keys in enumerate(sets):
        table.insert(position, _signature(keys), check_duplication=False)
    return lambda keys: sorted(table.query(_signature(keys)))


def _signature(keys: NDArray[np.uint64]) -> Any:
    from datasketch import MinHash

    minhash = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)
    minhash.update_batch((keys >> np.uint64(32)).tolist())  # the upper half is the well mixed one
    return minhash


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
