"""A decoder-only transformer, whole, in the form that Llama made common.

A text is a row of token ids. Each becomes a vector; every block adds to it what attention finds in the tokens before
(`Attention`) and what a small network makes of that (`MLP`); a last norm and one matrix turn it into a score for every
possible next token. What GPT-2 did differently, and why it was left behind: layer norms (`RMSNorm` drops the mean),
learned positions (rotary ones turn queries and keys by an angle per position, so that only distances matter), one key
and value head for each query head (grouped queries share them, and the cache shrinks), a plain MLP (a gated one does
more with the same weights).

    h = h + attention(norm(h))        attention = softmax(q k^T / sqrt(D)) v over the tokens so far
    h = h + mlp(norm(h))              mlp(x) = down(silu(gate(x)) * up(x))

The names of the weights are those of Hugging Face's Llama checkpoints (`weights` reads and writes them), and the scores
equal transformers' (tests/test_decoder.py). Sources: Touvron et al. 2023 (Llama), Su et al. 2021 (rotary
positions), Zhang and Sennrich 2019 (RMSNorm), Shazeer 2020 (gated MLP), Ainslie et al. 2023 (grouped queries).

Left out: dropout, other ways of stretching positions than Llama 3's, attention kernels of our own (torch's SDPA has
them). How to pick the next token from the scores is another room's matter (`course_lib.generate`).

Shapes: B texts, T new tokens, S tokens so far (cached and new), H query heads, K key/value heads, D width of a
head, C width of the model, V tokens of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.decoder.config import DecoderConfig
from course_lib.errors import CourseError


class Cache:
    """Keys and values (L layers, each B, K, capacity, D) of the tokens so far, written in place as they come.

    Its bytes: 2 * layers * B * K * capacity * D * bytes per number, which is what serving pays for every open request.
    """

    def __init__(self, model: Decoder, batch: int, capacity: int) -> None:
        weight, c = model.model.norm.weight, model.config
        shape = (c.num_hidden_layers, batch, c.num_key_value_heads, capacity, c.head_dim)
        # The storage is fresh memory: what lies beyond `length` is never looked at.
        self.keys = torch.empty(shape, dtype=weight.dtype, device=weight.device)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def extend(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values behind the old ones; all of them (B, K, S, D)."""
        end = self.length + k_BKTD.shape[2]
        if end > self.keys.shape[3]:
            raise CourseError(f"The cache holds {self.keys.shape[3]} tokens and is full: make it larger.")
        keys, values = self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
        keys[:, :, self.length :] = k_BKTD
        values[:, :, self.length :] = v_BKTD
        return keys, values

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order (rows may repeat). What is not written yet is not copied."""
        for name, old in (("keys", self.keys), ("values", self.values)):
            new = old.new_empty(old.shape[0], len(rows), *old.shape[2:])
            new[:, :, :, : self.length] = old[:, rows, :, : self.length]
            setattr(self, name, new)


@dataclass(frozen=True)
class Row:
    """What is special about a row in training: the texts in it, and the places of which more is wanted."""

    lengths: tuple[int, ...] = ()
    keep: Tensor | None = None

    def kept(self, x_BTC: Tensor) -> Tensor:
        """The vectors at the places that are kept; all of them, if nothing is said."""
        return x_BTC if self.keep is None else x_BTC[:, self.keep]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x_BTC: Tensor) -> Tensor:
        return self.weight * F.rms_norm(x_BTC.float(), (x_BTC.shape[-1],), eps=self.eps).to(x_BTC.dtype)


class Attention(nn.Module):
    """Causal attention with rotary positions; ``heads`` queries share ``kv_heads`` keys and values."""

    def __init__(self, width: int, heads: int, kv_heads: int, head_dim: int, bias: bool) -> None:
        super().__init__()
        self.head_dim, self.shared = head_dim, heads > kv_heads
        self.q_proj = nn.Linear(width, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(width, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, width, bias=bias)

    def forward(
        self, x_BTC: Tensor, turn: Turn, mask: Tensor | None, cache: Cache | None, layer: int, row: Row
    ) -> Tensor:
        B, T, _ = x_BTC.shape
        heads = (project(x_BTC).view(B, T, -1, self.head_dim) for project in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (x.transpose(1, 2) for x in heads)
        q, k = rotate(q, turn), rotate(k, turn)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        # Without a mask the new tokens are all there is (causal), or one token that may see everything.
        causal = mask is None and T > 1
        texts = zip(*(x.split(row.lengths, 2) for x in (q, k, v)), strict=True) if row.lengths else [(q, k, v)]
        seen = [
            F.scaled_dot_product_attention(a, b, c, attn_mask=mask, is_causal=causal, enable_gqa=self.shared)
            for a, b, c in texts
        ]
        out_BHTD = seen[0] if len(seen) == 1 else torch.cat(seen, 2)
        return self.o_proj(row.kept(out_BHTD.transpose(1, 2).reshape(B, T, -1)))


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=bias)
        self.up_proj = nn.Linear(width, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTC)) * self.up_proj(x_BTC))


class Block(nn.Module):
    """One layer: attention and MLP, each on a normed copy of the stream and added back to it."""

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        shape = (c.num_attention_heads, c.num_key_value_heads, c.head_dim)
        self.self_attn = Attention(c.hidden_size, *shape, c.attention_bias)
        self.mlp = MLP(c.hidden_size, c.intermediate_size, c.mlp_bias)
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def forward(
        self, h_BTC: Tensor, turn: Turn, mask: Tensor | None, cache: Cache | None, layer: int, row: Row
    ) -> Tensor:
        h_BTC = row.kept(h_BTC) + self.self_attn(self.input_layernorm(h_BTC), turn, mask, cache, layer, row)
        return h_BTC + self.mlp(self.post_attention_layernorm(h_BTC))


class Stream(nn.Module):
    """Embedding, blocks and the last norm: what Hugging Face's checkpoints call ``model``."""

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Block(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class Decoder(nn.Module):
    """A causal language model: token ids in, scores of the next token out."""

    angles: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Stream(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.register_buffer("angles", angles(config), persistent=False)

    def forward(
        self,
        ids_BT: Tensor,
        mask_BS: Tensor | None = None,
        cache: Cache | None = None,
        last: int = 0,
        scores: bool = True,
        lengths: Sequence[int] = (),
        keep: Tensor | None = None,
    ) -> Tensor:
        """The logits (B, T, V) of the token after each of ``ids_BT``.

        ``mask_BS`` has a zero for each padding token, which must be on the left, and a one for each other token so
        far. With ``cache`` only new tokens are passed, and it is extended. ``last``: only the logits of that many
        last tokens (B, last, V). ``scores=False``: not the logits but what ``lm_head`` makes them of (B, T, C).

        For training, B may be 1 and the row hold several texts of these ``lengths``, none of which sees another
        (`course_lib.batching.packing`); only the logits at the places ``keep`` (L) are made then: (1, L, V).
        """
        T = ids_BT.shape[1]
        past = cache.length if cache is not None else 0
        if (longest := max(lengths, default=past + T)) > len(self.angles):
            raise CourseError(
                f"{longest} tokens do not fit the {len(self.angles)} positions of this model: shorten them."
            )
        positions, mask = see(T, past, mask_BS, ids_BT.device)
        if lengths:
            positions = torch.cat([positions[:length] for length in lengths])
        turn = self.turn(positions)
        h_BTC = self.model.embed_tokens(ids_BT)
        top = len(self.model.layers) - 1
        for layer, block in enumerate(self.model.layers):
            # Nothing but the places kept is asked of the last block, beyond what others see of them.
            row = Row(tuple(lengths), keep if layer == top else None)
            h_BTC = block(h_BTC, turn, mask, cache, layer, row)
        if cache is not None:
            cache.length += T
        h_BTC = self.model.norm(h_BTC[:, -last:])
        return self.lm_head(h_BTC) if scores else h_BTC

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    def turn(self, positions: Tensor) -> Turn:
        """Cosine and signed sine (..., 1, T, D) of the angles at these positions, as `rotate` takes them."""
        if self.angles.device != positions.device:  # somebody else's weights were moved (`weights.adopt`)
            self.angles = self.angles.to(positions.device)
        at = self.angles[positions].unsqueeze(-3)
        cos, sin = at.cos(), at.sin()
        dtype = self.model.norm.weight.dtype
        return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


Turn = tuple[Tensor, Tensor]


def angles(c: DecoderConfig) -> Tensor:
    """The angle of each position and pair of numbers (positions, D/2): position / theta^(2i/D), Su et al. 2021.

    Llama 3 slows down the turns that are longer than its first context ("high" and "low" are turns within it): the
    slowest by ``factor``, those in between partly (Llama 3.1's release; transformers' rope type "llama3").
    """
    speed = c.rope_theta ** -(torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim)
    if c.rope_scaling:
        scaling = dict(c.rope_scaling)
        turns = scaling["original_max_position_embeddings"] * speed / (2 * math.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        speed = speed * (kept + (1 - kept) / scaling["factor"])
    return torch.outer(torch.arange(c.max_position_embeddings, dtype=torch.float32), speed)


def rotate(x_BHTD: Tensor, turn: Turn) -> Tensor:
    """Turn each pair (a, b) = (x_i, x_{i+D/2}) by its position's angle: (a cos - b sin, b cos + a sin)."""
    cos, sin = turn
    return x_BHTD * cos + x_BHTD.roll(x_BHTD.shape[-1] // 2, -1) * sin


def see(T: int, past: int, mask_BS: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Positions of the new tokens, (T,) or (B, T); which token sees which, (..., T, S), or None if plainly causal."""
    if mask_BS is not None and bool(mask_BS.all()):
        mask_BS = None
    if mask_BS is None and (past == 0 or T == 1):
        return torch.arange(past, past + T, device=device), None
    S = past + T
    causal = torch.ones(T, S, dtype=torch.bool, device=device).tril(past)
    if mask_BS is None:
        return torch.arange(past, S, device=device), causal
    real = mask_BS.bool()
    positions = (real.long().cumsum(-1) - 1).clamp(min=0)[:, past:]
    # A padding token sees itself, for a softmax over nothing is no number.
    own = causal.triu(past)
    return positions, ((causal & real[:, None, :]) | own)[:, None]


def initialise(model: Decoder, seed: int) -> None:
    """Fill the weights for training from scratch: normal with deviation 0.02, what adds to the stream with less.

    The two matrices of a block that write into the stream get 0.02 / sqrt(2 * layers), so that its size does not grow
    with depth (Radford et al. 2019, section 2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    small = 0.02 / math.sqrt(2 * model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(0, small if writes else 0.02, generator=generator)
            elif name.endswith("bias"):
                weight.zero_()
            else:
                weight.fill_(1)
