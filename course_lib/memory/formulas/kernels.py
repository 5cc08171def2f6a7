"""Which attention runs: the one decision that makes memory grow with the square of the length, or not.

A fused kernel computes scores in pieces and keeps none (Dao et al. 2022). Whether PyTorch has one for a model depends
on things that nobody would look for: whether queries share keys, how wide a head is, the card's generation, a mask.

    fused    the output, and one fp32 number per query and head
    eager    the model's own code: scores in 16 bits, their softmax in fp32 in most families
    plain    PyTorch's fallback inside `scaled_dot_product_attention`: everything in fp32, and all of it kept

Sources: `sdp_utils.cpp` of PyTorch; `sdpa_attention.py` of transformers. Left out: kernels from other packages.
"""

from __future__ import annotations

from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import Recipe

FUSED, EAGER, PLAIN = "fused", "eager", "plain"
Capability = tuple[int, int] | None  # of a CUDA card; None: a processor
# FlashAttention takes heads up to so many numbers wide when training, by compute capability; others up to 192.
WIDEST = {(8, 0): 256, (9, 0): 256}
NARROW_SOFTMAX = ("gpt2", "falcon", "bert", "roberta", "xlm-roberta", "distilbert")  # eager softmax in 16 bits


def flash(model: Architecture, recipe: Recipe, capability: Capability) -> bool:
    """Whether FlashAttention can run: 16 bits, no mask, capability 8.0 or more, heads not too wide."""
    if capability is None or capability < (8, 0) or recipe.compute == "fp32":
        return False
    return model.head_dim <= WIDEST.get(capability, 192) and not masked(model, recipe)


def kernel(model: Architecture, recipe: Recipe, capability: Capability) -> str:
    """FUSED, EAGER or PLAIN.

    Fused kernels want as many heads of keys as of queries, all but FlashAttention, which has to be told (Falcon does
    not). transformers repeats shared keys itself only where there is a mask. A processor's kernel drops no scores.

    >>> from course_lib.memory.models import preset
    >>> shared_keys = preset("llama-3.2-1b").architecture
    >>> kernel(shared_keys, Recipe(), (8, 0)), kernel(shared_keys, Recipe(), (7, 5))  # an A100, a T4
    ('fused', 'plain')
    """
    if recipe.attention == "eager" or model.softcap:
        return EAGER
    if capability is None:
        return PLAIN if model.attention_dropout and recipe.trains else FUSED
    if model.kv_heads == model.heads or repeats_keys(model) or masked(model, recipe):
        return FUSED
    return FUSED if model.model_type != "falcon" and flash(model, recipe, capability) else PLAIN


def repeats_keys(model: Architecture) -> bool:
    """Whether keys and values are copied for every query head: in Falcon's second generation."""
    return model.model_type == "falcon" and model.kv_heads > 1


def masked(model: Architecture, recipe: Recipe) -> bool:
    """Whether attention gets a mask: where a window is not longer than the sequence."""
    return 0 < model.window <= recipe.seq_len


def masks(model: Architecture, recipe: Recipe, kind: str) -> int:
    """How many masks of S x S numbers there are, which all blocks share."""
    if model.model_type == "falcon":
        return 1
    if kind == EAGER and model.causal:
        return 2 if 0 < model.window_layers < model.layers else 1
    return int(masked(model, recipe))
