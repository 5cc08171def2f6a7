"""The numbers that make a decoder, and how a Llama checkpoint's config.json says them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from course_lib.errors import CourseError

LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


@dataclass(frozen=True)
class DecoderConfig:
    """The numbers that make a decoder. Field names and meanings are those of transformers' LlamaConfig."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 512
    rope_theta: float = 10000.0
    rope_scaling: tuple[tuple[str, float], ...] = ()  # the four numbers of Llama 3 (`LLAMA3`), by name
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name.startswith(("num_", "max_", "vocab", "hidden", "intermediate", "head")) and value < 1:
                raise CourseError(f"{name} must be at least 1, not {value}.")
        if self.num_attention_heads % self.num_key_value_heads:
            heads = f"{self.num_attention_heads} query heads cannot share {self.num_key_value_heads} key/value heads"
            raise CourseError(f"{heads} evenly: choose a divisor.")
        if self.head_dim % 2:
            raise CourseError(f"head_dim must be even, because rotary positions turn pairs, not {self.head_dim}.")

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> DecoderConfig:
        """From the content of a Llama checkpoint's config.json, of transformers 4 or 5.

        Raises CourseError for other architectures and for ways of scaling positions that are not written here.
        """
        kind = config.get("model_type", "unknown")
        if kind != "llama":
            raise CourseError(f"The decoder reads Llama checkpoints, not {kind!r}: load that one with transformers.")
        if (act := config.get("hidden_act", "silu")) != "silu":
            raise CourseError(f"The decoder's MLP uses silu, not {act!r}: load this checkpoint with transformers.")
        rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        way = rope.pop("rope_type", None) or rope.pop("type", None) or "default"
        theta = rope.pop("rope_theta", None) or config.get("rope_theta", 10000.0)
        if way not in ("default", "llama3"):
            raise CourseError(f"The decoder cannot scale positions as {way!r}: load this one with transformers.")
        heads = config["num_attention_heads"]
        given = {
            "num_key_value_heads": config.get("num_key_value_heads") or heads,
            "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
            "rope_theta": float(theta),
            "rope_scaling": tuple(sorted((k, float(rope[k])) for k in LLAMA3)) if way == "llama3" else (),
            "tie_word_embeddings": config.get("tie_word_embeddings", False),
        }
        names = [name for name in cls.__dataclass_fields__ if name not in given and name in config]
        return cls(**{name: config[name] for name in names}, **given)

    def to_hf(self) -> dict[str, Any]:
        """The content of a config.json that transformers loads as LlamaForCausalLM."""
        plain = {name: value for name, value in asdict(self).items() if not name.startswith("rope_")}
        way = {"rope_type": "llama3", **dict(self.rope_scaling)} if self.rope_scaling else {"rope_type": "default"}
        rope = {"rope_parameters": {**way, "rope_theta": self.rope_theta}}
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", **plain, **rope}
