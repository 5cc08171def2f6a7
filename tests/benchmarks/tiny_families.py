"""A tiny encoder, decoder and encoder-decoder, each from nothing, on the same task: sort six digits.

All have two layers (the last two plus two) of width 64 and read the same rows. The encoder writes all six places at
once; the other two write one after the other, so they run once for each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

LENGTH, DIGITS, START, WIDTH = 6, 10, 10, 64
STEPS, BATCH, RATE = 300, 128, 2e-3
# Kinds that predict the next token without attention, or with little of it (Gu and Dao 2023; Peng et al. 2023).
RECURRENT = ("mamba", "mamba2", "rwkv", "recurrent_gemma", "falcon_mamba", "xlstm")

Solve = Callable[[Tensor], Tensor]


def rows(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Digits (n, 6) and the same sorted."""
    digits = torch.randint(0, DIGITS, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    return digits, digits.sort(dim=1).values


class Encoder(nn.Module):
    """Reads the row, says the digit of each place of the sorted one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = BertModel(
            BertConfig(
                vocab_size=16, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, DIGITS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(input_ids=x).last_hidden_state)


def encoder() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], Solve]:
    model = Encoder()
    return model, lambda x, y: F.cross_entropy(model(x).flatten(0, 1), y.flatten()), lambda x: model(x).argmax(-1)


def decoder() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], Solve]:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
            max_position_embeddings=32, pad_token_id=15, bos_token_id=14, eos_token_id=13,
        )
    )  # fmt: skip

    def begun(x: Tensor) -> Tensor:
        return torch.cat([x, torch.full_like(x[:, :1], START)], dim=1)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        logits = model(input_ids=torch.cat([begun(x), y[:, :-1]], dim=1)).logits[:, LENGTH:]
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

    def solve(x: Tensor) -> Tensor:
        ids = begun(x)
        for _ in range(LENGTH):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
        return ids[:, -LENGTH:]

    return model, loss, solve


def encoder_decoder() -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], Solve]:
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=16, d_model=WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0,
            decoder_start_token_id=START, pad_token_id=15, eos_token_id=13,
        )
    )  # fmt: skip

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return model(input_ids=x, labels=y).loss

    def solve(x: Tensor) -> Tensor:
        ids = torch.full_like(x[:, :1], START)
        for _ in range(LENGTH):
            ids = torch.cat([ids, model(input_ids=x, decoder_input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
        return ids[:, 1:]

    return model, loss, solve


FAMILIES = {"encoder": (encoder, 1), "decoder": (decoder, LENGTH), "encoder-decoder": (encoder_decoder, LENGTH)}


def measure(n: int = 200, steps: int = STEPS) -> dict[str, tuple[list[bool], int]]:
    """Of each family: whether each of ``n`` new rows was sorted, and how many passes an answer takes."""
    found = {}
    for name, (make, passes) in FAMILIES.items():
        torch.manual_seed(0)
        model, loss, solve = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        for step in range(steps):
            optimizer.zero_grad()
            loss(*rows(BATCH, seed=step + 1)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        x, y = rows(n, seed=0)
        with torch.inference_mode():
            found[name] = ((solve(x) == y).all(dim=1).tolist(), passes)
    return found


def outside() -> list[str]:
    """Kinds known to the installed transformers that are in none of the three families."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return [name for name in RECURRENT if name in CONFIG_MAPPING_NAMES]
