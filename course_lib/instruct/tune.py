"""Supervised fine-tuning: examples in, a model that answers out, through the course's one training loop.

An example is token ids and, for each, whether it counts (`course_lib.prompts.Chat` makes both). The loss is the mean
surprise about the tokens that count, the answers' and their ends', in nats:

    loss = - mean over the tokens t that count of  log p(t | everything before t in the same example)

Dividing by the tokens of a whole step, and not per example, makes every answer's token weigh the same.

What makes it fast: a batch is one row without padding (`course_lib.batching.packing`), attention stays inside each
example without a mask (the course's decoder, or `attention` for other models), logits are made only for tokens that
count; in the course's decoder they never exist all at once (`surprise`), and LoRA's products are merged (`fused`). Each
of these leaves the loss and the gradient as they were up to rounding, which tests check.

Continued pretraining is the same with texts in which every token counts (`domain`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import train
from course_lib.batching import Batches, Item, packed, padded
from course_lib.decoder import Decoder
from course_lib.errors import CourseError
from course_lib.instruct.attention import forward
from course_lib.instruct.models import Learner
from course_lib.instruct.surprise import surprise

TIMED = 4  # batches that a forecast of the time rests on


def tune(
    learner: Learner,
    items: Sequence[Item],
    *,
    save_to: Path | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    **settings: Any,
) -> train.History:
    """Train the learner's model in place on items (token ids, and which of them count).

    With ``save_to`` the same call continues there after an interruption, exactly. ``settings`` go into
    `train.TrainConfig`. Raises CourseError when there is nothing to learn, or where `train.fit` does.
    """
    if not any(any(learn) for _, learn in items):
        raise CourseError("No token of these examples counts for the loss: every example needs an answer.")
    return train.fit(
        learner.trained, batches(learner, items), loss, config(learner, save_to, **settings), evaluate=evaluate
    )


def batches(learner: Learner, items: Sequence[Item]) -> Batches:
    """The items in batches as this model takes them: packed, or padded with texts of similar length together."""
    tuning = learner.tuning
    collate = packed if learner.packing else partial(padded, pad=learner.tokenizer.pad_token_id or 0)
    lengths = [len(ids) for ids, _ in items]
    return Batches(items, lengths, collate, tuning.at_a_time, tuning.seed, bucket=not learner.packing)


def config(learner: Learner, save_to: Path | None = None, **settings: Any) -> train.TrainConfig:
    """The settings of the loop that belong to a tuning; ``settings`` replace them."""
    tuning = learner.tuning
    given = {
        "epochs": tuning.epochs,
        "learning_rate": learner.rate,
        "weight_decay": tuning.weight_decay,
        "warmup": tuning.warmup,
        "accumulate": tuning.accumulate,
        "precision": learner.numbers.precision,
        "optimizer": tuning.optimizer or "adamw",
        "seed": tuning.seed,
        "save_to": save_to,
        "title": "tuning",
    }
    return train.TrainConfig(**{**given, **settings})


def loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """The sum of minus the log-probabilities (nats) of the labels of a packed or padded batch."""
    bare = getattr(model, "module", model)  # several processes wrap it
    head = getattr(bare, "lm_head", None)
    if isinstance(bare, Decoder) and type(head) is nn.Linear and head.bias is None:
        h = model(batch["input_ids"], lengths=batch["lengths"], keep=batch["keep"], scores=False)[0]
        return surprise(h, head.weight, batch["labels"])
    return F.cross_entropy(forward(model, batch).float(), batch["labels"], reduction="sum")


@torch.no_grad()
def held_out_loss(learner: Learner, items: Sequence[Item], batch_size: int = 16) -> float:
    """The mean loss (nats per token that counts) on items that nothing was learned from."""
    training = learner.trained.training
    learner.trained.eval()
    device = next(learner.trained.parameters()).device
    data = batches(learner, items)
    order = Batches(data.items, data.lengths, data.collate, batch_size, shuffle=False).epoch(0)
    total, count = 0.0, 0
    for indices in order:
        batch = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in data.fetch(indices).items()}
        if len(batch["labels"]):
            with _autocast(learner, device):
                total += float(loss(learner.trained, batch))
            count += len(batch["labels"])
    learner.trained.train(training)
    if not count:
        raise CourseError("No token of these examples counts for the loss: every example needs an answer.")
    return total / count


def seconds_ahead(learner: Learner, items: Sequence[Item]) -> float:
    """How long `tune` will take on this machine, from the time of a few of its batches forward and backward.

    The median of several: the first is slow, and somebody may be using the machine. Nothing is changed by this: no step
    is taken, and random numbers go on where they were.
    """
    data = batches(learner, items)
    order = data.epoch(0)
    some = order[:: max(1, len(order) // TIMED)][:TIMED]
    device = next(learner.trained.parameters()).device
    speeds = []
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device.type == "cuda" else []):
        train.training_mode(learner.trained)
        for indices in [some[0], *some]:
            batch = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in data.fetch(indices).items()}
            began = time.perf_counter()
            with _autocast(learner, device):
                value = loss(learner.trained, batch)
            value.backward()
            float(value.detach())  # a GPU is waited for
            speeds.append((time.perf_counter() - began) / sum(data.lengths[k] for k in indices))
    learner.trained.zero_grad(set_to_none=True)
    learner.trained.eval()
    return statistics.median(speeds[1:]) * sum(data.lengths) * learner.tuning.epochs


def _autocast(learner: Learner, device: torch.device) -> Any:
    computed = getattr(torch, learner.numbers.computed)
    return torch.autocast(device.type, computed, enabled=learner.numbers.precision != "no")
