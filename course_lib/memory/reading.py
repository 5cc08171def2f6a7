"""From a configuration to the fields of an `Architecture`, or to one sentence that says why not.

A config.json leaves out what its class assumes, spells the same quantity in a dozen ways, and may be nonsense. So each
number is looked for under all its names, missing ones are filled in as transformers does, and numbers that do not fit
together are refused before anything is computed from them. A model of an unknown type that describes itself with a
Llama's keys is read like one, and says so.

Left out: mixtures of experts, state-space and hybrid models, encoder-decoders, models of more than text: they are
refused, because counting them like this would be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from course_lib.errors import CourseError
from course_lib.memory.families import FAMILIES, KEYS, LLAMA, Family, Values

# A config with one of these describes something else than one dense block repeated.
OTHERWISE = {
    "kv_lora_rank": "attention with compressed keys and values",
    "state_size": "a state-space model",
    "mamba_d_state": "a state-space model",
    "hidden_size_per_layer_input": "a model with embeddings in every layer",
    "L_cycles": "a model that runs its layers several times",
    "lru_width": "a recurrent model",
    "text_config": "a model of more than text",
    "vision_config": "a model of more than text",
    "thinker_config": "a model of more than text",
}
# With these, an unknown model has the Llama's gated MLP; others ("relu2", "xielu") come with a plain one.
GATED_ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh")
LLAMA_LIKE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
BLOCKS = ("full_attention", "sliding_attention")


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


def read(config: Any, name: str = "") -> dict[str, Any]:
    """The fields of the Architecture that a dict or a transformers config describes. Raises CourseError."""
    values = _values(config)
    kind, known = family(values)
    fields = _numbers(values, kind)
    fields |= {"known": known, "name": name or str(values.get("_name_or_path") or values["model_type"])}
    _check(values, fields, kind)
    try:
        if kind.peculiar is not None:
            fields |= kind.peculiar(values, fields)
        return fields | windows(values, fields, kind) | _linears(values, fields, kind)
    except (TypeError, ValueError) as error:  # a word where a number belongs, in one of the rarer settings
        raise CourseError(f"The config of {fields['name']} has a setting of the wrong kind: {error}.") from error


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
    types = values.get("layer_types") or ()
    if not isinstance(types, list | tuple):
        raise CourseError(f"layer_types must be a list with a word for each layer, not {types!r}.")
    if odd := next((word for word in types if word not in BLOCKS), None):
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


def windows(values: Values, fields: dict[str, Any], kind: Family) -> dict[str, int]:
    """How far back the layers with sliding windows look, in tokens, and how many layers those are."""
    size = values.get("sliding_window", kind.window) or 0
    if kind.windows == "late" and not values.get("use_sliding_window"):
        size = 0
    layers, types = fields["layers"], values.get("layer_types")
    if types and kind.windows != "all":
        count = sum(one == "sliding_attention" for one in types)
    else:
        late = layers - min(layers, values.get("max_window_layers") or 0)
        most = layers - layers // (values.get("sliding_window_pattern") or 6)
        count = {"": 0, "all": layers, "alternate": (layers + 1) // 2, "late": late, "most": most}[kind.windows]
    return {"window": int(size) if count else 0, "window_layers": count if size else 0}


def flag(values: Values, setting: bool | str) -> bool:
    """A bias of a Family, looked up in a config."""
    if isinstance(setting, bool):
        return setting
    found = values.get(setting.lstrip("+"))
    return setting.startswith("+") if found is None else bool(found)


def _values(config: Any) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "to_dict") and hasattr(config, "model_type"):
        return {"model_type": config.model_type} | dict(config.to_dict())
    raise CourseError(f"A model's config is a dict or a transformers config, not {type(config).__name__}.")


def _numbers(values: Mapping[str, Any], kind: Family) -> dict[str, Any]:
    """What all families have, under the names of the fields."""
    fields: dict[str, Any] = {key: _count(values, key) for key in ("layers", "hidden", "heads", "vocab")}
    hidden = fields["hidden"]
    tied = values.get("tie_word_embeddings")
    fields["kv_heads"] = (
        _count(values, "kv_heads", kind.kv_heads or fields["heads"]) if kind.grouped else fields["heads"]
    )
    fields["head_dim"] = _count(values, "head_dim", kind.head_dim or max(1, hidden // fields["heads"]))
    fields["intermediate"] = _count(values, "intermediate", None if kind.gated else 4 * hidden)
    fields["positions"] = _count(values, "positions", 0)
    fields["dropout"] = _share(values, "dropout", kind.dropout)
    fields["attention_dropout"] = _share(values, "attention_dropout", kind.attention_dropout)
    norm_parameters = hidden if kind.norm == "rms" else 2 * hidden
    return fields | {
        "model_type": values["model_type"],
        "gated": kind.gated,
        "tied": kind.tied if tied is None else bool(tied),
        "causal": kind.causal,
        "norm": kind.norm,
        "norms_per_layer": kind.norms,
        "parallel": False,
        "learned_positions": fields["positions"] if kind.learned_positions else 0,
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


def _share(values: Mapping[str, Any], key: str, default: float) -> float:
    """A share from 0 to below 1 under any of its names."""
    found = _find(values, key)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1:
        raise CourseError(f"{key} is a share from 0 to below 1, not {found!r}.")
    return float(found)


def _check(values: Mapping[str, Any], fields: dict[str, Any], kind: Family) -> None:
    """Raise CourseError where the numbers describe no model."""
    hidden, heads, kv_heads = fields["hidden"], fields["heads"], fields["kv_heads"]
    if heads > hidden:
        raise CourseError(f"{heads} heads are more than the width {hidden}: every head needs at least one number.")
    if hidden % heads and (kind.fixed_heads or not (kind.head_dim or values.get("head_dim"))):
        raise CourseError(f"{heads} heads cannot share the width {hidden} evenly; choose a number that divides it.")
    if heads % kv_heads:
        raise CourseError(f"{heads} heads of queries cannot share {kv_heads} heads of keys evenly.")
    window = values.get("sliding_window")
    if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 0):
        raise CourseError(f"sliding_window must be a whole number from 0 up, or null, not {window!r}.")
    kinds = values.get("layer_types")
    if kinds and len(kinds) != fields["layers"]:
        raise CourseError(f"layer_types names {len(kinds)} layers, num_hidden_layers says {fields['layers']}.")


def _linears(values: Mapping[str, Any], fields: dict[str, Any], kind: Family) -> dict[str, Any]:
    """The linear layers of one block, by the shape of the family's attention and MLP."""
    hidden, inner = fields["hidden"], fields["intermediate"]
    queries, keys = fields["heads"] * fields["head_dim"], fields["kv_heads"] * fields["head_dim"]
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
