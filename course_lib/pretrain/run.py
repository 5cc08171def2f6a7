"""Create your own GPT: a decoder from random weights, on the course's corpus, with the course's own training loop.

One pass over the rows: no text is seen twice. The loss is the mean surprise about the next token, in nats; exp(loss) is
the perplexity. Two recipes are committed with the course (`assets/models`), and these commands make them again:

    course pretrain course-base-small        course pretrain course-base

Everything is decided by the recipe and its seed: the documents, the tokenizer, the rows, the first weights, the order.
The learning rate rises for the first steps and falls along half a cosine to nothing (`TrainConfig.rate`). Matrix
products are computed in bf16 where the processor has instructions for it; weights, sums and the optimizer stay float32.

Left out: everything that large runs need and small ones do not (sharding, filtering what people wrote, several epochs).
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from course_lib import decoder, hardware, hub, train
from course_lib.batching import IGNORE, Batches
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.errors import CourseError
from course_lib.hardware import Meter
from course_lib.pretrain.rows import Row, collate, rows
from course_lib.pretrain.tokenizer import train_tokenizer
from course_lib.world.corpus import documents

CHUNK = 1024  # tokens whose logits exist at once: 3072 scores each would be the largest tensors by far
LENGTHS = (256, 512)  # tokens in a row
TRIED = 12  # steps that a forecast of the time rests on


@dataclass(frozen=True)
class Recipe:
    """A model to be made: its shape, how much it reads, and how it learns."""

    name: str
    shape: DecoderConfig
    tokens: int
    batch_size: int = 8  # rows
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.03
    long_share: float = 0.3  # of the tokens, in rows of 512
    tokenizer_documents: int = 20_000  # that the tokenizer is learned from
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_size", "tokenizer_documents"):
            if getattr(self, name) < 1:
                raise CourseError(f"{name} must be at least 1, not {getattr(self, name)}.")


def _shape(hidden: int, layers: int, heads: int, head_dim: int, mlp: int) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=3072,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        head_dim=head_dim,
        max_position_embeddings=LENGTHS[1],
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("course-base-small", _shape(192, 5, 4, 48, 512), tokens=30_000_000, learning_rate=3e-3),
        Recipe("course-base", _shape(256, 7, 4, 64, 704), tokens=30_000_000, learning_rate=2.5e-3),
    )
}


@dataclass
class Pretrained:
    """A finished run: the model, its tokenizer, and what happened."""

    recipe: Recipe
    model: Decoder
    tokenizer: PreTrainedTokenizerBase
    history: train.History
    tokens: int  # that were predicted
    seconds: float  # of all processes that worked on it
    precision: str


def pretrain(recipe: Recipe, out: Path | None = None, **settings: Any) -> Pretrained:
    """Make the model of a recipe; with ``out`` the same call continues there after an interruption, exactly.

    ``settings`` go into `train.TrainConfig` (precision, save_every, progress, memory ...).

    Raises CourseError when ``out`` holds a run of another recipe, or when the run cannot fit into memory.
    """
    tokenizer, data = prepared(recipe, out)
    model = Decoder(recipe.shape)
    decoder.initialise(model, recipe.seed)
    batches = Batches(
        data,
        [len(row) for row in data],
        collate,
        recipe.batch_size,
        recipe.seed,
    )
    config = train.TrainConfig(
        epochs=1,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup=recipe.warmup,
        beta2=0.95,
        seed=recipe.seed,
        save_to=out / "checkpoints" if out else None,
        **{"save_every": 500, "title": recipe.name, **settings},
    )
    clock = _Clock(out / "seconds.json" if out else None)

    def timed(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        clock.note(every=30)
        return loss(model, batch)

    try:
        history = train.fit(model, batches, timed, config)
    finally:
        clock.note()
    tokens = sum(len(row) - 1 for row in data)
    chosen = hardware.detect().precision if config.precision == "auto" else config.precision
    return Pretrained(recipe, model, tokenizer, history, tokens, clock.seconds, chosen)


class _Clock:
    """The seconds that all processes of a run have worked, kept on disk: a process that is killed tells nobody."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        held = file.read_text(encoding="utf-8") if file and file.is_file() else "0"
        self.before, self.start, self.noted = float(held), time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    def note(self, every: float = 0.0) -> None:
        """Write the seconds down, unless that was done less than ``every`` seconds ago."""
        if self.file and self.seconds - self.noted >= every:
            self.noted = self.seconds
            partial = self.file.with_suffix(".partial")
            partial.write_text(f"{self.noted:.1f}\n", encoding="utf-8")
            os.replace(partial, self.file)


def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The sum over all labels of minus the log-probability of the next token (nats); the head works in chunks."""
    h = model(batch["ids"], scores=False).flatten(0, 1)
    head = getattr(model, "module", model).lm_head  # where several processes train, the model is inside a wrapper
    total = h.new_zeros((), dtype=torch.float32)
    for part, labels in zip(h.split(CHUNK), batch["labels"].flatten().split(CHUNK), strict=True):
        logits = head(part)  # type: ignore[operator]
        total = total + F.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORE)
    return total


# -- the data of a run ------------------------------------------------------------------------------------------------


def prepared(recipe: Recipe, out: Path | None) -> tuple[PreTrainedTokenizerBase, list[Row]]:
    """The tokenizer and rows of a recipe, from ``out`` when they are there already."""
    if out is None:
        return _made(recipe)
    wanted = json.loads(json.dumps(asdict(recipe)))
    stamp, folder, file = out / "recipe.json", out / "tokenizer", out / "rows.npz"
    try:
        if stamp.is_file():
            if json.loads(stamp.read_text(encoding="utf-8")) != wanted:
                raise CourseError(f"{out} holds a run of another recipe: name another folder or delete this one.")
            with np.load(file) as held:
                ends = np.cumsum(held["lengths"])[:-1]
                return AutoTokenizer.from_pretrained(folder), np.split(held["ids"], ends)
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CourseError(f"{out} is a file: name a folder for the run.") from None
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"The run in {out} cannot be read ({error}): name another folder or delete this one."
        ) from None
    tokenizer, data = _made(recipe)
    tokenizer.save_pretrained(folder)
    np.savez(file, ids=np.concatenate(data), lengths=np.array([len(row) for row in data]))
    stamp.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")  # last: only now is the folder complete
    return tokenizer, data


def _made(recipe: Recipe) -> tuple[PreTrainedTokenizerBase, list[Row]]:
    texts = (one.text for one in itertools.islice(documents(recipe.seed), recipe.tokenizer_documents))
    tokenizer = train_tokenizer(texts, recipe.shape.vocab_size, recipe.shape.max_position_embeddings)
    return tokenizer, rows(tokenizer, recipe.tokens, LENGTHS, recipe.long_share, recipe.seed)


# -- before and after -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What a run will be, before it starts."""

    parameters: int
    tokens: int
    rows: int
    steps: int
    flops: float  # 6 per parameter and token, and attention
    seconds: float  # at the speed that a few steps had just now on this machine


def outlook(recipe: Recipe, out: Path | None = None, precision: str = "auto") -> Outlook:
    """Prepare the data, take a few steps with a model of this shape, and reckon from their time."""
    _, data = prepared(recipe, out)
    model = Decoder(recipe.shape)
    parameters = sum(p.numel() for p in model.parameters())
    size = recipe.batch_size
    few = [row for row in data if len(row) == LENGTHS[0]][: TRIED * size] or data[: TRIED * size]
    batches = Batches(few, [len(row) for row in few], collate, size)
    decoder.initialise(model, recipe.seed)
    config = train.TrainConfig(epochs=1, precision=precision, memory="ignore", progress=False)
    begun: list[float] = []

    def timed(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        begun.append(time.perf_counter())
        return loss(model, batch)

    with Meter() as meter:
        train.fit(model, batches, timed, config)
    places = sum(len(row) for row in data)
    # From one step's beginning to the next one's: the median leaves out the first, which is slow, and what disturbs.
    taken = statistics.median(np.diff(begun)) if len(begun) > 1 else meter.wall_seconds
    speed = size * len(few[0]) / float(taken)
    shape = recipe.shape
    attention = 12 * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim * LENGTHS[0] // 2
    return Outlook(
        parameters,
        recipe.tokens,
        len(data),
        -(-len(data) // size),
        float(places * (6 * parameters + attention)),
        places / speed,
    )


def save(done: Pretrained, folder: Path) -> None:
    """Write model and tokenizer in Hugging Face's format: AutoModelForCausalLM and AutoTokenizer read the folder."""
    ids = {f"{name}_token_id": getattr(done.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    decoder.save(done.model, folder, **ids)
    done.tokenizer.save_pretrained(folder)
    hub.seal(folder)


def smaller(recipe: Recipe, steps: int) -> Recipe:
    """The same recipe, for about this many steps: what a lesson has time for."""
    tokens = max(recipe.batch_size, 1) * LENGTHS[0] * steps
    return replace(recipe, tokens=tokens, tokenizer_documents=min(recipe.tokenizer_documents, 4000))
