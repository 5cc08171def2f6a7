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

from dataclasses import dataclass
from typing import Any

from course_lib.memory.reading import Linear, read

__all__ = ["Architecture", "Linear"]


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
        return cls(**read(config, name))

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
