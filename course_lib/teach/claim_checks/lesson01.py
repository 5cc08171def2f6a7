"""Lesson 01: what is said about bytes, operations and dollars, computed again.

`memory` holds the checks about bytes, `money` those about operations; `counted` is their evidence.
"""

from __future__ import annotations

from course_lib.teach.claim_checks import memory, money
from course_lib.teach.claim_checks.counted import Counted, counted

CHECKS = {
    "bytes-fp32": memory.bytes_fp32,
    "train-175b": memory.train_175b,
    "train-16n": memory.train_16n,
    "llama7b-112": memory.llama7b_112,
    "gpu-catalog": memory.gpu_catalog,
    "serve-2x": memory.serve_2x,
    "kv-13b": memory.kv_13b,
    "int4-70b": memory.int4_70b,
    "colab-7b": memory.colab_7b,
    "multi-gpu": memory.multi_gpu,
    "embedding-1gb": memory.embedding_1gb,
    "lora-14gb": memory.lora_14gb,
    "tokens-words": money.tokens_words,
    "cost-13b": money.cost_13b,
    "ft-vs-scratch": money.ft_vs_scratch,
    "gpt4-size": money.gpt4_size,
    "gpt35-size": money.gpt35_size,
    "flops-measure": money.flops_measure,
    "chinchilla-triangle": money.chinchilla_triangle,
    "cost-8xa100": money.cost_8xa100,
}


def default_evidence() -> Counted:
    """What is counted on board: the course's reviews, the embedded encoder, one real step."""
    return counted()
