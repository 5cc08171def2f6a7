"""The shape of a language model: the dozen numbers from which its memory follows.

A decoder is an embedding (one row of ``hidden`` numbers per word of the vocabulary), ``layers`` equal blocks, a norm,
and a head that turns each row back into a score per word. A block with h = hidden, a heads of d numbers for queries and
k heads for keys and values, and an MLP i wide has

    attention   h·(a + 2k)·d  +  a·d·h                 queries, keys, values; output
    MLP         3·h·i with a gate, 2·h·i without
    norms       h each (RMS), 2·h each (with a bias)

parameters, and biases where a family has them. Everything that a plan needs follows: what weights take, what a LoRA
adds to which layer, what is kept of every token for the backward pass, how wide the logits are. `Architecture` holds
these numbers and nothing of any library: it is read from a config.json or from a transformers config in microseconds,
and its count of parameters is exact (the tests compare it with the built model for every preset).

Left out: what changes the result and not the memory (rotary bases, epsilons, scaling factors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from course_lib.errors import CourseError
from course_lib.memory.families import KEYS, Family, family, flag, windows


class Linear(NamedTuple):
    """One linear layer of a block: y = x·W + b with W of ``inputs`` × ``outputs`` numbers."""

    name: str  # the last part of the module's name in transformers, for example "q_proj"
    inputs: int
    outputs: int
    bias: bool

    @property
    def parameters(self) -> int:
        """Weights and biases.

        >>> Linear("c_fc", 768, 3072, True).parameters
        2362368
        """
        return self.inputs * self.outputs + self.outputs * self.bias


@dataclass(frozen=True)
class Architecture:
    """The numbers of one model. Widths count numbers per token, lengths count tokens.

    ``dataclasses.replace(architecture, layers=2)`` is the same model with two blocks: everything derived follows.
    """

    name: str
    model_type: str
    layers: int
    hidden: int
    heads: int  # of queries
    kv_heads: int  # of keys and values: fewer than `heads` in grouped-query attention
    head_dim: int
    intermediate: int  # width inside the MLP
    vocab: int
    positions: int  # longest sequence; 0: unlimited or unknown
    gated: bool  # the MLP has a third matrix that decides what passes
    tied: bool  # embedding and head share their matrix
    causal: bool  # False: an encoder, without a head
    attention_bias: bool
    mlp_bias: bool
    norm: str  # "rms" or "layer"
    norms_per_layer: int
    parallel: bool  # attention and MLP read the same input and run side by side
    learned_positions: int  # rows of the table of positions; 0: rotary
    window: int  # tokens that layers with a sliding window look back; 0: no such layers
    dropout: float  # of hidden states, in training
    window_layers: int = 0
    attention_dropout: float = 0.0
    activation: str = "silu"  # transformers' name; some are one kernel, others a chain that keeps each step
    softcap: bool = False  # attention scores or logits go through tanh, which fused kernels do not do
    known: bool = True  # False: an unknown model type, read like a Llama
    embedding: int = 0  # width of an embedding
    norm_parameters: int = 0  # of one norm
    qk_norm: int = 0  # parameters of a block's norms of queries and keys
    outside: int = 0  # parameters outside the blocks that are neither embedding, positions nor head
    attention_linears: tuple[Linear, ...] = ()  # of one block; the last one is the output
    mlp_linears: tuple[Linear, ...] = ()  # of one block; the last one leads back to `hidden`

    @classmethod
    def from_config(cls, config: Any, name: str = "") -> Architecture:
        """The architecture that a config.json (as a dict) or a transformers config describes.

        Raises CourseError in one sentence for what is no language model known here, and for numbers that do not fit
        together.
        """
        values = _values(config)
        kind, known = family(values)
        read = _numbers(values, kind)
        read |= {"known": known, "name": name or str(values.get("_name_or_path") or values["model_type"])}
        if kind.peculiar is not None:
            read |= kind.peculiar(values, read)
        _check(values, read, kind)
        read |= windows(values, read, kind) | _linears(values, read, kind)
        return cls(**read)

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block in the order of the computation; GPT-2's and BERT's repeat names."""
        return self.attention_linears + self.mlp_linears

    @property
    def query_value(self) -> tuple[str, ...]:
        """The names of the layers that make queries and values: one for both where they come from one matrix."""
        names = [linear.name for linear in self.attention_linears]
        return (names[0], names[2]) if len(names) == 4 else (names[0],)

    @property
    def linear_names(self) -> tuple[str, ...]:
        """The different names of a block's linear layers: what `targets` may choose from."""
        return tuple(dict.fromkeys(linear.name for linear in self.linears))

    @property
    def block_parameters(self) -> int:
        """Parameters of one block."""
        linears = sum(linear.parameters for linear in self.linears)
        return linears + self.norms_per_layer * self.norm_parameters + self.qk_norm

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding of words, and of positions where those are learned."""
        return self.vocab * self.embedding + self.learned_positions * self.hidden

    @property
    def head_parameters(self) -> int:
        """Parameters of the head that are its own: none where it shares the embedding's matrix."""
        return 0 if self.tied or not self.causal else self.vocab * self.embedding

    @property
    def parameters(self) -> int:
        """All parameters, a shared matrix counted once: what ``model.num_parameters()`` says."""
        return self.embedding_parameters + self.layers * self.block_parameters + self.outside + self.head_parameters


def _values(config: Any) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "to_dict") and hasattr(config, "model_type"):
        return {"model_type": config.model_type} | dict(config.to_dict())
    raise CourseError(f"A model's config is a dict or a transformers config, not {type(config).__name__}.")


def _numbers(values: Mapping[str, Any], kind: Family) -> dict[str, Any]:
    """What all families have, under the names of the fields."""
    read: dict[str, Any] = {key: _count(values, key) for key in ("layers", "hidden", "heads", "vocab")}
    hidden = read["hidden"]
    tied = values.get("tie_word_embeddings")
    read["kv_heads"] = _count(values, "kv_heads", read["heads"])
    read["head_dim"] = _count(values, "head_dim", max(1, hidden // read["heads"]))
    read["intermediate"] = _count(values, "intermediate", None if kind.gated else 4 * hidden)
    read["positions"] = _count(values, "positions", 0)
    for key, default in (("dropout", kind.dropout), ("attention_dropout", kind.attention_dropout)):
        found = _find(values, key)
        read[key] = default if found is None else float(found)
    norm_parameters = hidden if kind.norm == "rms" else 2 * hidden
    return read | {
        "model_type": values["model_type"],
        "gated": kind.gated,
        "tied": kind.tied if tied is None else bool(tied),
        "causal": kind.causal,
        "norm": kind.norm,
        "norms_per_layer": kind.norms,
        "parallel": False,
        "learned_positions": read["positions"] if kind.learned_positions else 0,
        "activation": str(_find(values, "activation") or kind.activation),
        "softcap": bool(values.get("attn_logit_softcapping")),
        "embedding": hidden,
        "norm_parameters": norm_parameters,
        "outside": norm_parameters,  # the last norm of a decoder, the first of an encoder
    }


def _find(values: Mapping[str, Any], key: str) -> Any:
    return next((values[name] for name in KEYS[key] if values.get(name) is not None), None)


def _count(values: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A whole number above 0 under any of its names."""
    found = _find(values, key)
    if found is None and default is not None:
        return default
    if found is None:
        raise CourseError(f"The config of a {values['model_type']!r} model has no {KEYS[key][0]}.")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        name = next(name for name in KEYS[key] if values.get(name) is not None)
        raise CourseError(f"{name} must be a whole number above 0, not {found!r}.")
    return found


def _check(values: Mapping[str, Any], read: dict[str, Any], kind: Family) -> None:
    """Raise CourseError where the numbers describe no model."""
    hidden, heads, kv_heads = read["hidden"], read["heads"], read["kv_heads"]
    if heads > hidden:
        raise CourseError(f"{heads} heads are more than the width {hidden}: every head needs at least one number.")
    if hidden % heads and (kind.fixed_heads or values.get("head_dim") is None):
        raise CourseError(f"{heads} heads cannot share the width {hidden} evenly; choose a number that divides it.")
    if heads % kv_heads:
        raise CourseError(f"{heads} heads of queries cannot share {kv_heads} heads of keys evenly.")
    for key in ("dropout", "attention_dropout"):
        if not 0 <= read[key] < 1:
            raise CourseError(f"{key} is a share from 0 to below 1, not {read[key]}.")
    kinds = values.get("layer_types")
    if kinds and len(kinds) != read["layers"]:
        raise CourseError(f"layer_types names {len(kinds)} layers, num_hidden_layers says {read['layers']}.")


def _linears(values: Mapping[str, Any], read: dict[str, Any], kind: Family) -> dict[str, Any]:
    """The linear layers of one block, by the shape of the family's attention and MLP."""
    hidden, inner = read["hidden"], read["intermediate"]
    queries, keys = read["heads"] * read["head_dim"], read["kv_heads"] * read["head_dim"]
    qkv_bias, out_bias, mlp_bias = (flag(values, bias) for bias in (kind.qkv_bias, kind.out_bias, kind.mlp_bias))
    widths = (queries, keys, keys) if len(kind.attention) == 4 else (queries + 2 * keys,)
    attention = [Linear(name, hidden, width, qkv_bias) for name, width in zip(kind.attention, widths, strict=False)]
    inward = (inner,) * (len(kind.mlp) - 1) if len(kind.mlp) == 3 or not kind.gated else (2 * inner,)
    mlp = [Linear(name, hidden, width, mlp_bias) for name, width in zip(kind.mlp, inward, strict=False)]
    return {
        "attention_bias": qkv_bias,
        "mlp_bias": mlp_bias,
        "attention_linears": (*attention, Linear(kind.attention[-1], queries, hidden, out_bias)),
        "mlp_linears": (*mlp, Linear(kind.mlp[-1], inner, hidden, mlp_bias)),
    }
