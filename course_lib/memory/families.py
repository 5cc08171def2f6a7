"""How each family of models spells its configuration and names its layers.

Nearly all language models of the last years are one block repeated: attention, a feed-forward part (MLP), norms. What
differs between families is little enough for a table with one entry each: whether queries, keys and values come from
one matrix or three, whether the MLP has a gate, which linear layers have a bias, what the norms are, whether input and
output share a matrix. A few do something that no column holds; each of those has a function of its own, below.

Names are those of the modules in transformers, so that a plan can speak of the same layers as a LoRA configuration.

Left out: what is not one dense block repeated; `reading` refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]

# The same quantity under the names that families give it; the first that a config has counts.
KEYS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "dim", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_kv_heads", "n_head_kv", "num_key_value_heads"),
    "head_dim": ("head_dim",),
    "intermediate": ("ffn_hidden_size", "n_inner", "hidden_dim", "ffn_dim", "intermediate_size"),
    "vocab": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions", "n_ctx"),
    "dropout": ("hidden_dropout", "hidden_dropout_prob", "resid_pdrop", "dropout"),
    "attention_dropout": ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop"),
    "activation": ("hidden_activation", "hidden_act", "activation_function", "activation"),
}

SEPARATE = ("q_proj", "k_proj", "v_proj", "o_proj")
FUSED = ("query_key_value", "dense")
GATED = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Family:
    """What the models of one ``model_type`` have in common.

    ``attention`` and ``mlp`` are the names of the linear layers in the order of the computation. A bias is a fact or
    the name of the setting that says so: ``True``, ``"attention_bias"`` (off by default), ``"+attention_bias"`` (on
    unless the config says no). ``windows`` says which layers look back only so far: ``"all"``, ``"alternate"``,
    ``"late"``, ``"most"`` or none. ``tied``, ``kv_heads`` (0: as many as heads), ``head_dim`` (0: width over heads),
    ``window`` and the dropouts are what transformers assumes where a config is silent.
    """

    attention: tuple[str, ...] = SEPARATE
    mlp: tuple[str, ...] = GATED
    gated: bool = True
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    norm: str = "rms"
    norms: int = 2
    tied: bool = False
    causal: bool = True
    grouped: bool = True  # several heads of queries may share one of keys and values
    kv_heads: int = 0
    head_dim: int = 0
    fixed_heads: bool = False  # transformers insists that heads divide the width, whatever head_dim says
    learned_positions: bool = False
    windows: str = ""
    window: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: str = "silu"
    peculiar: Callable[[Values, dict[str, Any]], dict[str, Any]] | None = None


# -- what no column holds ----------------------------------------------------------------------------------------------
# Each takes the config and the fields read so far, and returns the fields that it adds or changes.


def _whole(values: Values, key: str, default: int) -> int:
    """A rarer setting that is a whole number. Raises ValueError for anything else."""
    found = values.get(key)
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 0):
        raise ValueError(f"{key} is {found!r}")
    return default if found is None else found


def _heads_normed(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """One norm for the queries and one for the keys, as wide as a head (Qwen3, Gemma 3)."""
    return {"qk_norm": 2 * read["head_dim"]}


def _projections_normed(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """Norms over all heads together (OLMo 2)."""
    return {"qk_norm": (read["heads"] + read["kv_heads"]) * read["head_dim"]}


def _phi(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """One norm for attention and MLP, which run side by side; the head has a bias, like every layer."""
    qk_norm = 4 * read["head_dim"] if values.get("qk_layernorm") else 0
    return {"parallel": True, "qk_norm": qk_norm, "outside": read["outside"] + read["vocab"]}


def _stablelm(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """The second norm goes where attention and MLP run side by side."""
    parallel = bool(values.get("use_parallel_residual"))
    heads = read["heads"] + read["kv_heads"]
    qk_norm = heads * read["head_dim"] if values.get("qk_layernorm") else 0
    return {"parallel": parallel, "norms_per_layer": 1 if parallel else 2, "qk_norm": qk_norm}


def _gpt_neox(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """Attention and MLP side by side, each with its own norm."""
    return {"parallel": values.get("use_parallel_residual") is not False}


def _falcon(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """Two generations under one name: all queries sharing one key and value (7B), and groups of them (40B)."""
    new = bool(values.get("new_decoder_architecture"))
    parallel = values.get("parallel_attn") is not False
    norms = 2 if _whole(values, "num_ln_in_parallel_attn", 2 if new else 1) == 2 else 1
    kv_heads = read["kv_heads"] if new else read["heads"] if values.get("multi_query") is False else 1
    return {"kv_heads": kv_heads, "parallel": parallel, "norms_per_layer": norms if parallel else 2}


def _opt(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """Positions are counted from 2; embeddings may be narrower than the blocks (350M), with a matrix on either side."""
    narrow = _whole(values, "word_embed_proj_dim", 0) or read["hidden"]
    norm = 0 if values.get("layer_norm_elementwise_affine") is False else read["norm_parameters"]
    last = values.get("do_layer_norm_before") is not False and not values.get("_remove_final_layer_norm")
    return {
        "embedding": narrow,
        "learned_positions": read["positions"] + 2,
        "norm_parameters": norm,
        "outside": norm * last + (2 * narrow * read["hidden"] if narrow != read["hidden"] else 0),
    }


def _bert(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """An embedding of the segment, a norm on the embeddings, and a pooler: one more square matrix at the end."""
    hidden, kinds = read["hidden"], _whole(values, "type_vocab_size", 2)
    return {"outside": kinds * hidden + read["norm_parameters"] + hidden * hidden + hidden}


LLAMA = Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias")
BERT = Family(
    attention=("query", "key", "value", "dense"),
    mlp=("dense", "dense"),
    gated=False,
    grouped=False,
    qkv_bias=True,
    out_bias=True,
    mlp_bias=True,
    norm="layer",
    tied=True,
    causal=False,
    learned_positions=True,
    dropout=0.1,
    attention_dropout=0.1,
    activation="gelu",
    peculiar=_bert,
)

FAMILIES: dict[str, Family] = {
    "llama": Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias", fixed_heads=True),
    "mistral": Family(kv_heads=8, windows="all", window=4096),
    "qwen2": Family(qkv_bias=True, kv_heads=32, windows="late"),
    "qwen3": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        kv_heads=32,
        head_dim=128,
        windows="late",
        peculiar=_heads_normed,
    ),
    "gemma": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        tied=True,
        kv_heads=16,
        head_dim=256,
        activation="gelu_pytorch_tanh",
    ),
    "gemma2": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        norms=4,
        tied=True,
        kv_heads=4,
        head_dim=256,
        fixed_heads=True,
        windows="alternate",
        window=4096,
        activation="gelu_pytorch_tanh",
    ),
    "gemma3_text": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        norms=4,
        tied=True,
        kv_heads=4,
        head_dim=256,
        windows="most",
        window=4096,
        activation="gelu_pytorch_tanh",
        peculiar=_heads_normed,
    ),
    "phi": Family(
        attention=("q_proj", "k_proj", "v_proj", "dense"),
        mlp=("fc1", "fc2"),
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm="layer",
        norms=1,
        activation="gelu_new",
        peculiar=_phi,
    ),
    "phi3": Family(attention=("qkv_proj", "o_proj"), mlp=("gate_up_proj", "down_proj"), windows="all"),
    "gpt_neox": Family(
        attention=FUSED,
        mlp=("dense_h_to_4h", "dense_4h_to_h"),
        gated=False,
        grouped=False,
        qkv_bias="+attention_bias",
        out_bias="+attention_bias",
        mlp_bias=True,
        norm="layer",
        fixed_heads=True,
        activation="gelu",
        peculiar=_gpt_neox,
    ),
    "gpt2": Family(
        attention=("c_attn", "c_proj"),
        mlp=("c_fc", "c_proj"),
        gated=False,
        grouped=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm="layer",
        tied=True,
        learned_positions=True,
        dropout=0.1,
        attention_dropout=0.1,
        activation="gelu_new",
    ),
    "falcon": Family(
        attention=FUSED,
        mlp=("dense_h_to_4h", "dense_4h_to_h"),
        gated=False,
        qkv_bias="bias",
        out_bias="bias",
        mlp_bias="bias",
        norm="layer",
        tied=True,
        activation="gelu",
        peculiar=_falcon,
    ),
    "stablelm": Family(qkv_bias="use_qkv_bias", norm="layer", kv_heads=32, peculiar=_stablelm),
    "opt": Family(
        attention=("q_proj", "k_proj", "v_proj", "out_proj"),
        mlp=("fc1", "fc2"),
        gated=False,
        grouped=False,
        qkv_bias="+enable_bias",
        out_bias="+enable_bias",
        mlp_bias="+enable_bias",
        norm="layer",
        tied=True,
        dropout=0.1,
        activation="relu",
        peculiar=_opt,
    ),
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "distilbert": Family(
        attention=("q_lin", "k_lin", "v_lin", "out_lin"),
        mlp=("lin1", "lin2"),
        gated=False,
        grouped=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm="layer",
        tied=True,
        causal=False,
        learned_positions=True,
        dropout=0.1,
        attention_dropout=0.1,
        activation="gelu",
    ),
    "olmo2": Family(qkv_bias="attention_bias", out_bias="attention_bias", peculiar=_projections_normed),
    "granite": LLAMA,
    "smollm3": Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias", tied=True, kv_heads=4),
}
