"""Fine-tuning on pairs of prompt and answer: the loss is on the answer only.

    <|begin|> prompt answer <|end|>        labels:  - - - - answer <|end|>

The prompt is context, not something to imitate, so its tokens carry no label; the end token carries one, or the model
would never learn to stop. Logits are computed only where there is a label: with long prompts that is most of the work
of the head saved. The model is trained in place by `train.fit`, all weights of it.

Left out, for lesson 04: chat templates, several turns, packing, adapters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from course_lib import train
from course_lib.batching import IGNORE, Batches
from course_lib.decoder import Decoder
from course_lib.errors import CourseError

Pair = tuple[str, str]  # prompt, answer


def tune(
    model: Decoder,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    config: train.TrainConfig,
    batch_size: int = 16,
) -> train.History:
    """Train ``model`` in place on pairs of prompt and answer (which must begin with the space between them, if any).

    Raises CourseError when there are no pairs, an answer is empty, or one is longer than the model's positions.
    """
    items = encode(tokenizer, pairs, model.config.max_position_embeddings)
    pad = tokenizer.pad_token_id or 0  # some base models have none; what stands there is neither read nor learned
    batches = Batches(
        items, [len(ids) for ids, _ in items], lambda some: collate(some, pad), batch_size, seed=config.seed
    )
    return train.fit(model, batches, loss, config)


def encode(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], positions: int) -> list[tuple[list[int], int]]:
    """Token ids of each pair and how many of them are the prompt's. Prompt and answer are cut into tokens apart,
    because that is how they meet when the model answers."""
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"] if pairs else []
    answers = tokenizer([answer for _, answer in pairs], add_special_tokens=False)["input_ids"] if pairs else []
    for k, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if not answer:
            raise CourseError(f"The answer of example {k + 1} is empty: leave the example out or give it an answer.")
        if len(prompt) + len(answer) + 1 > positions:
            raise CourseError(
                f"Example {k + 1} has {len(prompt) + len(answer) + 1} tokens, and the model has {positions} positions:"
                " shorten it."
            )
    # Without a token at the beginning there is nothing to predict the first one from, so it counts as the prompt's.
    return [
        ([*prompt, *answer, tokenizer.eos_token_id], max(1, len(prompt)))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def collate(items: list[tuple[list[int], int]], pad: int) -> dict[str, Tensor]:
    """``ids`` (B, T), filled up on the right, and ``labels`` (B, T): the next token where it is the answer's."""
    longest = max(len(ids) for ids, _ in items)
    ids = torch.full((len(items), longest), pad)
    labels = torch.full((len(items), longest), IGNORE)
    for k, (row, prompt) in enumerate(items):
        ids[k, : len(row)] = torch.tensor(row)
        labels[k, prompt - 1 : len(row) - 1] = torch.tensor(row[prompt:])
    return {"ids": ids[:, :-1], "labels": labels[:, :-1]}


def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The sum of minus the log-probabilities (nats) of the tokens that have a label."""
    counts = batch["labels"] != IGNORE
    h = model(batch["ids"], scores=False)[counts]
    return F.cross_entropy(model.lm_head(h).float(), batch["labels"][counts], reduction="sum")  # type: ignore[operator]
