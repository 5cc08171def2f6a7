"""How each family of models spells its configuration and names its layers.

Nearly all language models of the last years are one block repeated: attention, a feed-forward part (MLP), norms. What
differs between families is little enough for a table with one entry each: whether queries, keys and values come from
one matrix or three, whether the MLP has a gate, which linear layers have a bias, what the norms are, whether input and
output share a matrix. A few do something that no column holds; each of those has a function of its own, below.

Names are those of the modules in transformers, so that a plan can speak of the same layers as a LoRA configuration. A
model of an unknown type that describes itself with a Llama's keys is read like one.

Left out: mixtures of experts, state-space and hybrid models, encoder-decoders, models of more than text: they are
refused, because counting them like this would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError

Values = Mapping[str, Any]

# The same quantity under the names that families give it; the first that a config has counts.
KEYS: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "dim", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "intermediate": ("intermediate_size", "ffn_hidden_size", "n_inner", "hidden_dim", "ffn_dim"),
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
    ``"late"``, ``"most"`` or none. ``tied``, ``window`` and the dropouts are what holds where a config is silent.
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
    fixed_heads: bool = False  # transformers insists that heads divide the width, whatever head_dim says
    learned_positions: bool = False
    windows: str = ""
    window: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: str = "silu"
    peculiar: Callable[[Values, dict[str, Any]], dict[str, Any]] | None = None


def flag(values: Values, setting: bool | str) -> bool:
    """A bias of a Family, looked up in a config."""
    if isinstance(setting, bool):
        return setting
    found = values.get(setting.lstrip("+"))
    return setting.startswith("+") if found is None else bool(found)


# -- what no column holds ----------------------------------------------------------------------------------------------
# Each takes the config and the fields read so far, and returns the fields that it adds or changes.


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
    norms = values.get("num_ln_in_parallel_attn") or (2 if new else 1)
    kv_heads = read["kv_heads"] if new else read["heads"] if values.get("multi_query") is False else 1
    return {"kv_heads": kv_heads, "parallel": parallel, "norms_per_layer": norms if parallel else 2}


def _opt(values: Values, read: dict[str, Any]) -> dict[str, Any]:
    """Positions are counted from 2; embeddings may be narrower than the blocks (350M), with a matrix on either side."""
    narrow = values.get("word_embed_proj_dim") or read["hidden"]
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
    hidden, kinds = read["hidden"], values.get("type_vocab_size", 2)
    return {"outside": kinds * hidden + read["norm_parameters"] + hidden * hidden + hidden}


LLAMA = Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias")
BERT = Family(
    attention=("query", "key", "value", "dense"),
    mlp=("dense", "dense"),
    gated=False,
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
    "mistral": Family(windows="all", window=4096),
    "qwen2": Family(qkv_bias=True, windows="late"),
    "qwen3": Family(qkv_bias="attention_bias", out_bias="attention_bias", windows="late", peculiar=_heads_normed),
    "gemma": Family(qkv_bias="attention_bias", out_bias="attention_bias", tied=True, activation="gelu_pytorch_tanh"),
    "gemma2": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        norms=4,
        tied=True,
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
    "stablelm": Family(qkv_bias="use_qkv_bias", norm="layer", peculiar=_stablelm),
    "opt": Family(
        attention=("q_proj", "k_proj", "v_proj", "out_proj"),
        mlp=("fc1", "fc2"),
        gated=False,
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
    "smollm3": Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias", tied=True),
}

# A config with one of these describes something else than one dense block repeated.
OTHERWISE = {
    "kv_lora_rank": "attention with compressed keys and values",
    "state_size": "a state-space model",
    "mamba_d_state": "a state-space model",
    "hidden_size_per_layer_input": "a model with embeddings in every layer",
    "L_cycles": "a model that runs its layers several times",
    "text_config": "a model of more than text",
    "vision_config": "a model of more than text",
    "thinker_config": "a model of more than text",
}
# With these, an unknown model has the Llama's gated MLP; others ("relu2", "xielu") come with a plain one.
GATED_ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh")
LLAMA_LIKE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
BLOCKS = ("full_attention", "sliding_attention")


def family(values: Values) -> tuple[Family, bool]:
    """The family of a config, and whether its type is known (or only read like a Llama's).

    Raises CourseError for what is not a language model of one dense block repeated.
    """
    kind = values.get("model_type")
    if not kind or not isinstance(kind, str):
        raise CourseError("This config has no model_type, so it is not one of transformers' models.")
    if values.get("is_encoder_decoder"):
        raise CourseError(f"The model type {kind!r} is an encoder-decoder, which the planner does not count.")
    experts = {key: "a mixture of experts" for key in values if key.endswith("_experts")}
    for key, what in (OTHERWISE | experts).items():
        if values.get(key):
            raise CourseError(f"The model type {kind!r} is {what} ({key}), which the planner does not count.")
    if odd := next((k for k in values.get("layer_types") or () if k not in BLOCKS), None):
        raise CourseError(f"The model type {kind!r} has layers of type {odd!r}, which the planner does not count.")
    if kind in FAMILIES:
        return FAMILIES[kind], True
    activation = next((values[key] for key in KEYS["activation"] if values.get(key)), "silu")
    llama_like = all(values.get(key) for key in LLAMA_LIKE) and "rms_norm_eps" in values
    if llama_like and activation in GATED_ACTIVATIONS:
        return LLAMA, False
    raise CourseError(
        f"The model type {kind!r} is no language model that the planner knows; it reads {', '.join(FAMILIES)}, "
        "and models whose config has a Llama's keys."
    )


def windows(values: Values, read: dict[str, Any], kind: Family) -> dict[str, int]:
    """How far back the layers with sliding windows look, in tokens, and how many layers those are."""
    size = values.get("sliding_window", kind.window) or 0
    if kind.windows == "late" and not values.get("use_sliding_window"):
        size = 0
    layers, types = read["layers"], values.get("layer_types")
    if types and kind.windows != "all":
        count = sum(one == "sliding_attention" for one in types)
    else:
        late = layers - min(layers, values.get("max_window_layers") or 0)
        most = layers - layers // (values.get("sliding_window_pattern") or 6)
        count = {"": 0, "all": layers, "alternate": (layers + 1) // 2, "late": late, "most": most}[kind.windows]
    return {"window": int(size) if count else 0, "window_layers": count if size else 0}
