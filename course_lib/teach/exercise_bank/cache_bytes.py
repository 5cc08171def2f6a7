"""Lesson 01: the cache of keys and values. The slips are factors forgotten."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number


def cache_bytes(layers: int, kv_heads: int, head_dim: int, tokens: int, sequences: int = 1) -> int:
    """Bytes in 16 bits: a key and a value of every key-value head, in every layer, for every token of each sequence."""
    return 2 * layers * kv_heads * head_dim * 2 * tokens * sequences


KV_CASES = (
    Case((40, 40, 128, 1, 1), "That is one token of Llama-2-13B."),
    Case((80, 8, 128, 4096, 1), "That is Llama-2-70B, whose 64 heads share 8 heads of keys and values."),
    Case((32, 8, 128, 2048, 16)),
    Case((12, 12, 64, 1024, 3)),
    Case((2, 1, 10, 7, 1)),
)

KV_SLIPS = (
    Slip("A factor of 2 is missing: keys and values are kept, and each of their numbers takes 2 bytes.",
         lambda n, k, d, t, s: cache_bytes(n, k, d, t, s) / 2),
    Slip("Two factors of 2 are missing: keys and values are kept, and each of their numbers takes 2 bytes.",
         lambda n, k, d, t, s: cache_bytes(n, k, d, t, s) / 4),
    Slip("A factor of 2 is too many: 16 bits are 2 bytes, not 4.",
         lambda n, k, d, t, s: 2 * cache_bytes(n, k, d, t, s)),
    Slip("Those are bits: 16 for each number; 2 bytes are asked for.",
         lambda n, k, d, t, s: 8 * cache_bytes(n, k, d, t, s)),
    Slip("`sequences` is not used: every sequence has a cache of its own.",
         lambda n, k, d, t, s: cache_bytes(n, k, d, t)),
    Slip("`tokens` is not used: every token leaves its keys and values behind.",
         lambda n, k, d, t, s: cache_bytes(n, k, d, 1, s)),
    Slip("`layers` is not used: every layer has keys and values of its own.",
         lambda n, k, d, t, s: cache_bytes(1, k, d, t, s)),
    Slip("`kv_heads` is not used: every key-value head keeps `head_dim` numbers twice.",
         lambda n, k, d, t, s: cache_bytes(n, 1, d, t, s)),
    Slip("`head_dim` is not used: a key-value head keeps that many numbers for a key, and as many for a value.",
         lambda n, k, d, t, s: cache_bytes(n, k, 1, t, s)),
    Slip("The cache grows with the number of tokens, not with its square: scores are not kept.",
         lambda n, k, d, t, s: cache_bytes(n, k, d, t * t, s)),
    Slip("Those are gigabytes; give bytes.", lambda n, k, d, t, s: cache_bytes(n, k, d, t, s) / 1e9),
    Slip("Those are megabytes; give bytes.", lambda n, k, d, t, s: cache_bytes(n, k, d, t, s) / 1e6),
)  # fmt: skip


def kv_problems(answer: Any) -> list[str]:
    """What is wrong with a number of bytes."""
    return judge(answer, "cache_bytes", KV_CASES, cache_bytes, KV_SLIPS, number, close(1e-6))


EXERCISE = Exercise(
    id="01-kv-cache",
    title="The cache of keys and values",
    prompt=(
        "To write the next token, attention needs a key and a value of every token before it. They are kept: in each"
        " of `layers` layers, for each of `kv_heads` heads, `head_dim` numbers for the key and as many for the value,"
        " all in 16 bits, for every token of every sequence that is being served. Write a function that returns the"
        " bytes."
    ),
    stub="def cache_bytes(layers, kv_heads, head_dim, tokens, sequences=1):\n    ...",
    hints=(
        "Begin with one token in one layer and one head: `head_dim` numbers for the key, as many for the value. How"
        " many bytes are those in 16 bits?",
        "That is 2 * head_dim * 2 bytes. Now all heads, all layers, all tokens, all sequences.",
        "The product of everything: 2 * layers * kv_heads * head_dim * 2 * tokens * sequences.",
    ),
    code=(
        "def cache_bytes(layers, kv_heads, head_dim, tokens, sequences=1):\n"
        "    numbers = 2 * layers * kv_heads * head_dim  # a key and a value, in every layer\n"
        "    return 2 * numbers * tokens * sequences"
    ),
    why=(
        "One token of a 13B model takes 0.82 MB, so 100 conversations of 1000 tokens take 82 GB, three times the"
        " weights. This is why newer models let several query heads share one head of keys and values: with 8 of them"
        " instead of 64 the cache is an eighth."
    ),
    problems=kv_problems,
)
