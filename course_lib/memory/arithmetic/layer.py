"""One layer of a transformer, tensor by tensor: which results its backward pass will ask for.

Three rules decide. A product ``y = x w`` keeps x only where w learns. A non-linear step keeps its input or its output
either way, since the gradient passes through it. And a tensor that two steps keep is stored once, unless a cast makes
a copy: an RMS norm computes on an fp32 copy of its 16-bit input (4 bytes more per value), and under autocast q, k, v
each make a 16-bit copy of the same input.

The counts are those of transformers' layers on a CUDA device; the tests compare them with what autograd really keeps.

Left out: what lives for one operation only, masks and rotary tables (shared by all layers), padding inside kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import choice, count, share

ATTENTIONS = ("eager", "sdpa", "flash")
NORMS = ("rms", "gemma", "layer")
ACTIVATIONS = ("silu", "gelu", "gelu-python", "relu")
LINEARS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer and the program that runs it. CourseError for a choice that does not exist or a shape that cannot be.

    Sizes in values: ``hidden`` (residual stream), ``intermediate`` (MLP), ``head_dim`` (one head).
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    gated: bool  # three MLP matrices (gate, up, down) instead of two
    norm: str  # "rms" (llama), "gemma" (the same, its product in fp32 too) or "layer" (no copy)
    norms: int = 2
    parallel: bool = False  # attention and MLP read the same residual stream
    activation: str = "silu"  # "gelu-python": GPT-2's tanh spelled out, which keeps four tensors instead of one
    fused_qkv: bool = False  # one product gives q, k and v ...
    rotary: bool = True  # ... and if q and k are then rotated into new tensors, v, a view, keeps the old ones alive
    output_copied: bool = False  # rotating a part of each head reorders q, and o keeps a copy in order (NeoX, Phi)
    qk_norm: bool = False  # RMS norms on the heads of q and k (Qwen3)
    softmax_upcast: bool = True  # eager attention's softmax is in fp32 (llama) or not (GPT-2)
    attention: str = "sdpa"
    expanded_kv: bool | None = None  # keys and values repeated for every head; None: in eager attention only
    dropout: float = 0.0  # on what attention and MLP add to the residual stream
    attention_dropout: float = 0.0
    bytes_per_value: int = 2  # of what matrix products compute with
    autocast: bool = False  # weights and residual stream in fp32, products in 16 bits
    frozen: bool = False  # no weight of the layer learns ...
    inputs_of: Collection[str] = ()  # ... but inputs of these linear layers are kept for adapters beside them

    def __post_init__(self) -> None:
        for name in ("hidden", "heads", "kv_heads", "head_dim", "intermediate", "norms", "bytes_per_value"):
            count(name, getattr(self, name), 1)
        choice("norm", self.norm, NORMS)
        choice("attention", self.attention, ATTENTIONS)
        choice("activation", self.activation, ACTIVATIONS)
        share("dropout", self.dropout)
        share("attention_dropout", self.attention_dropout)
        for name in self.inputs_of:
            choice("inputs_of", name, self.linears)
        if self.heads % self.kv_heads:
            raise CourseError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly.")
        if self.attention == "flash" and self.bytes_per_value != 2:
            raise CourseError("FlashAttention computes in 16 bits: give bytes_per_value=2, or choose attention sdpa.")
        if self.autocast and self.bytes_per_value != 2:
            raise CourseError("Autocast computes in 16 bits: give bytes_per_value=2.")

    @property
    def linears(self) -> tuple[str, ...]:
        """Names of the linear layers: q, k, v, o, gate (where gated), up, down."""
        return tuple(name for name in LINEARS if self.gated or name != "gate")

    def saved(self, batch: int, seq: int) -> dict[str, int]:
        """Bytes of every tensor kept for the backward pass of ``batch`` sequences of ``seq`` tokens, by name."""
        length = count("seq", seq)
        tokens = count("batch", batch) * length
        scores = tokens * length * self.heads if self.attention == "eager" else 0
        parts = {name: tokens * size for name, size in (self._norms() | self._attention() | self._mlp()).items()}
        parts |= {name: scores * size for name, size in self._per_score().items()}
        return {name: int(size) for name, size in parts.items() if size}

    # Bytes per token

    @property
    def _residual(self) -> int:
        """Of one value of the residual stream."""
        return 4 if self.autocast else self.bytes_per_value

    def _copies(self, *linears: str) -> int:
        """How often these linear layers keep the input they share: under autocast each for itself."""
        readers = len(set(self.inputs_of if self.frozen else self.linears) & set(linears))
        return readers if self.autocast else min(readers, 1)

    def _norms(self) -> dict[str, int]:
        value, product = {"rms": (4, self._residual), "gemma": (4, 4), "layer": (self._residual, 0)}[self.norm]
        # Norms that read the same residual stream share it, unless each computes on a copy of its own.
        shared = self.parallel and value == self._residual
        return {
            "norm inputs": (1 if shared else self.norms) * self.hidden * value,
            "norm products": 0 if self.frozen else self.norms * self.hidden * product,
            "norm statistics": self.norms * (8 if self.norm == "layer" else 4),
        }

    def _attention(self) -> dict[str, int]:
        value, eager = self.bytes_per_value, self.attention == "eager"
        queries, pairs = self.heads * self.head_dim, self.kv_heads * self.head_dim
        expanded = eager if self.expanded_kv is None else self.expanded_kv
        a_view = self.fused_qkv and self.rotary and not eager and not (expanded and pairs < queries)
        values = queries + 2 * pairs if a_view else queries if expanded else pairs
        keys = queries if expanded else pairs
        inputs = self._copies("q", "k", "v")
        # A fused kernel keeps its output for itself; o adds a copy of it only where the order differs.
        outputs = self._copies("o") if eager else 1 + self.output_copied * self._copies("o")
        normed = (self.heads + self.kv_heads) if self.qk_norm else 0
        return {
            "attention inputs": (min(inputs, 1) if self.fused_qkv else inputs) * self.hidden * value,
            "head norms": normed * (self.head_dim * (4 + (0 if self.frozen else value)) + 4),
            "queries": queries * value,
            "keys": keys * value,
            "values": values * value,
            "attention output": outputs * queries * value,
            "attention statistics": 0 if eager else 4 * self.heads,
            "dropout masks": 2 * self.hidden if self.dropout else 0,  # one byte per value, after attention and MLP
        }

    def _mlp(self) -> dict[str, int]:
        value, width = self.bytes_per_value, self.intermediate
        inputs = self._copies("gate", "up")
        if self.parallel and self.norms == 1 and not self.autocast and self._copies("q", "k", "v"):
            inputs = 0  # the same tensor as attention's
        # x, tanh, 1 + tanh and x/2; autocast computes x**3, and so the first three, in fp32
        spelled_out = 14 if self.autocast else 4 * value
        kept = {"relu": 0, "gelu-python": spelled_out}.get(self.activation, value)
        own_result = self.activation == "relu" and not self.gated  # relu keeps what it gives to the next product
        return {
            "mlp inputs": inputs * self.hidden * value,
            "activation inputs": width * kept,
            "activation outputs": width * value if self.gated else 0,
            "up": width * value if self.gated else 0,
            "down inputs": (1 if own_result else self._copies("down")) * width * value,
        }

    def _per_score(self) -> dict[str, int]:
        """Bytes per score of eager attention: batch * heads * seq * seq of them."""
        value, upcast = self.bytes_per_value, self.softmax_upcast or self.autocast
        softmax = 4 if upcast else value
        return {
            "scores": softmax,
            "probabilities": value if softmax != value or self.attention_dropout else 0,
            "score masks": 1 if self.attention_dropout else 0,
        }
