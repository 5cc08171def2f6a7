"""A model, data and a loss that are small enough to be trained hundreds of times, yet have what can go wrong:
embeddings, attention, LayerNorm, dropout, texts of several lengths, a last batch that is not full."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.batching import IGNORE, Batches, pad
from course_lib.train import TrainConfig

CLASSES, VOCABULARY = 3, 40
Item = tuple[int, Tensor, int]  # number, token ids, label


class Tiny(nn.Module):
    """Token ids (B, T) and their mask (B, T) to logits (B, 3)."""

    def __init__(self, dropout: float = 0.2, width: int = 16, seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        states = self.norm(self.block(self.dropout(self.embedding(inputs)), src_key_padding_mask=mask == 0))
        return self.head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def items(n: int = 53, seed: int = 0, ignored: int = 0) -> list[Item]:
    """Numbered texts of 2 to 12 tokens; the label is learnable; every ``ignored``-th label does not count."""
    generator = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        ids = torch.from_numpy(generator.integers(0, VOCABULARY, int(generator.integers(2, 13))))
        rows.append((k, ids, IGNORE if ignored and k % ignored == 0 else int(ids.sum()) % CLASSES))
    return rows


def collate(rows: list[Item]) -> dict[str, Tensor]:
    inputs, mask = pad([ids for _, ids, _ in rows])
    labels = torch.tensor([label for _, _, label in rows])
    return {"inputs": inputs, "mask": mask, "labels": labels, "number": torch.tensor([k for k, _, _ in rows])}


def batches(batch_size: int = 4, rows: list[Item] | None = None, **settings: Any) -> Batches:
    rows = items() if rows is None else rows
    return Batches(rows, [len(ids) for _, ids, _ in rows], collate, batch_size, **settings)


def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    logits = model(batch["inputs"], batch["mask"])
    return F.cross_entropy(logits, batch["labels"], reduction="sum", ignore_index=IGNORE)


def noisy_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The loss with noise from every library's global random numbers (the dropout adds torch's)."""
    return loss(model, batch) * (1 + 0.1 * random.random() + 0.1 * np.random.rand() + 0.1 * torch.rand(()))


def evaluate(model: nn.Module) -> dict[str, float]:
    """The mean loss on other texts."""
    held_out = collate(items(16, seed=9))
    return {"loss": float(loss(model, held_out).detach()) / 16}


def config(folder: Path | None = None, **settings: Any) -> TrainConfig:
    """3 epochs of 5 steps: 53 texts in 14 batches, 3 batches a step, the last step has 2."""
    defaults = {"epochs": 3, "learning_rate": 1e-2, "accumulate": 3, "precision": "no", "save_every": 2}
    return TrainConfig(save_to=folder, **{**defaults, **settings})


def digest(model: nn.Module) -> str:
    """A checksum of all weights: equal bits, equal digest."""
    state = hashlib.sha256()
    for name, value in model.state_dict().items():
        state.update(name.encode() + value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def random_digest() -> str:
    """A checksum of the states of all global random numbers."""
    parts = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    return hashlib.sha256(repr(parts).encode()).hexdigest()
