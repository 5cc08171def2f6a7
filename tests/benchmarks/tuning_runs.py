"""Ways of instruction tuning on the same model, examples and settings: transformers' Trainer, trl's SFTTrainer, ours.

Each gets token ids and labels (so that no template or tokenizer differs), the same initial weights, the same AdamW,
warm-up, cosine and clipping, one epoch, float32. The Trainer gets the same batches in the same order as the course;
where lengths are grouped or rows packed, the examples of an epoch are the same and their order is not.

What is measured is the CPU time of the process (all threads) from the end of the first step to the end of the last:
batching and all that a trainer does between steps is in it, loading and tokenising are not.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tuning_data import LIMIT, Example

from course_lib import train
from course_lib.batching import Batches

BASE = Path(__file__).parents[2] / "assets" / "models" / "course-base"


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    method: str = "lora"  # or "full"
    batch: int = 16
    rate: float = 2e-3
    warmup: float = 0.1  # of all steps
    decay: float = 0.01
    seed: int = 0
    rank: int = 8
    base: Path = BASE

    def loop(self) -> train.TrainConfig:
        """The same in the course's words."""
        return train.TrainConfig(epochs=1, learning_rate=self.rate, weight_decay=self.decay, warmup=self.warmup)


@dataclass
class Clock:
    """CPU seconds at the end of each step, and the lengths of the examples in each batch."""

    per_step: int = 1  # batches
    ends: list[float] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)

    def tick(self) -> None:
        self.ends.append(time.process_time())

    def finish(self, model: nn.Module) -> Run:
        """What was measured; the first step warms up and does not count."""
        useful = sum(map(sum, self.batches[self.per_step :]))
        return Run(model, len(self.ends), useful, self.ends[-1] - self.ends[0], self.batches)


@dataclass(frozen=True)
class Run:
    """A trained model, and what it took after the first step."""

    model: nn.Module
    steps: int
    useful: int  # tokens of prompts and answers, without padding
    cpu_seconds: float
    batches: list[list[int]]  # the lengths of the examples in each, the first step's included

    @property
    def speed(self) -> float:
        """Useful tokens per CPU second."""
        return self.useful / self.cpu_seconds

    @property
    def lengths(self) -> list[int]:
        """Of all examples that were trained on, sorted."""
        return sorted(length for batch in self.batches for length in batch)


Runner = Callable[[Sequence[Example], Setting], Run]


def in_order(examples: Sequence[Example], setting: Setting) -> list[Example]:
    """The examples in the order in which the course visits them in its first epoch."""
    lengths = [len(one.ids) for one in examples]
    visited = Batches(examples, lengths, lambda items: {}, setting.batch, setting.seed, bucket=False).epoch(0)
    return [examples[k] for batch in visited for k in batch]


# -- the libraries -----------------------------------------------------------------------------------------------------


def with_trainer(examples: Sequence[Example], setting: Setting, strategy: str = "sequential") -> Run:
    """transformers' Trainer with peft, batches padded to their longest, or grouped by length as well."""
    import transformers

    clock, model = Clock(), fresh(setting)
    rows = [{"input_ids": list(one.ids), "labels": one.labels} for one in in_order(examples, setting)]

    def collate(some: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        clock.batches.append([len(row["input_ids"]) for row in some])
        return padded(some)

    with quietly() as folder:
        options = transformers.TrainingArguments(
            **shared(setting, folder), per_device_train_batch_size=setting.batch, train_sampling_strategy=strategy
        )
        transformers.Trainer(
            model=model, args=options, train_dataset=rows, data_collator=collate, callbacks=[timekeeper(clock)],
            optimizers=optimizers(model, setting, -(-len(rows) // setting.batch)),
        ).train()  # fmt: skip
    return clock.finish(model)


def with_groups(examples: Sequence[Example], setting: Setting) -> Run:
    """The Trainer with texts of similar length in a batch."""
    return with_trainer(examples, setting, "group_by_length")


def with_trl(examples: Sequence[Example], setting: Setting) -> Run:
    """trl's SFTTrainer with packing as it comes (best fit), loss on the answers only.

    Without flash attention, transformers keeps the texts of a row apart by a mask of N x N. Several rows in a batch
    would be one row of all their tokens with such a mask, so each row is a batch of its own here and as many as hold
    ``setting.batch`` examples make a step (`rows_of` says how long). Of trl's defaults, gradient checkpointing and
    bf16 are off.
    """
    import datasets
    import trl
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [{"input_ids": list(one.ids), "labels": one.labels} for one in in_order(examples, setting)]
    with quietly() as folder:
        data = datasets.Dataset.from_list(rows)
        longest, packed, per_step = rows_of(data, setting.batch)
        clock = Clock(per_step=per_step)
        model = fresh(setting)
        options = trl.SFTConfig(
            **shared(setting, folder), per_device_train_batch_size=1, gradient_accumulation_steps=clock.per_step,
            packing=True, max_length=longest, gradient_checkpointing=False,
        )  # fmt: skip
        trainer = trl.SFTTrainer(
            model=model, args=options, train_dataset=data, processing_class=tokenizer(setting),
            callbacks=[timekeeper(clock)], optimizers=optimizers(model, setting, -(-packed // clock.per_step)),
        )  # fmt: skip
        collator = trainer.data_collator

        class Counting(DataCollatorForLanguageModeling):
            def torch_call(self, some: list[dict[str, Any]]) -> dict[str, Any]:
                clock.batches.append([length for row in some for length in row["seq_lengths"]])
                return super().torch_call(some)

        trainer.data_collator = Counting(collator.pad_token_id, padding_free=True)
        trainer.train()
    return clock.finish(model)


def rows_of(data: Any, batch: int) -> tuple[int, int, int]:
    """How long packed rows are to be, how many there are then, and how many of them make a step.

    The longest rows, of up to 512 tokens, with which there are as many steps as without packing, or nearly.
    """
    import trl

    wanted, longest = -(-len(data) // batch), max(map(len, data["input_ids"]))
    tried = []
    for length in range(LIMIT, max(longest, LIMIT // 2) - 1, -32):
        rows = len(trl.pack_dataset(data, length, "bfd"))
        per_step = max(1, round(rows * batch / len(data)))
        tried.append((abs(-(-rows // per_step) - wanted), -length, rows, per_step))
    _, length, rows, per_step = min(tried)
    return -length, rows, per_step


def fresh(setting: Setting) -> Any:
    """The base model in float32, with adapters on all linear maps for ``lora``; the same for the same seed."""
    import peft
    import transformers

    with quietly():
        model = transformers.AutoModelForCausalLM.from_pretrained(setting.base, dtype=torch.float32)
        torch.manual_seed(setting.seed)
        if setting.method == "full":
            return model
        settings = peft.LoraConfig(
            r=setting.rank, lora_alpha=2 * setting.rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return peft.get_peft_model(model, settings)


def tokenizer(setting: Setting) -> Any:
    """The base model's."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(setting.base)


def shared(setting: Setting, folder: str) -> dict[str, Any]:
    """What Trainer and SFTTrainer are both told."""
    return {
        "output_dir": folder, "num_train_epochs": 1, "max_grad_norm": 1.0, "bf16": False, "use_cpu": True,
        "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "eval_strategy": "no",
        "disable_tqdm": True, "seed": setting.seed, "dataloader_pin_memory": False,
    }  # fmt: skip


def optimizers(model: nn.Module, setting: Setting, steps: int) -> tuple[Any, Any]:
    """The course's optimizer and schedule, for trainers of others."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, setting.rate, (0.9, 0.999), weight_decay=setting.decay, fused=True)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: setting.loop().rate(step, steps))


def timekeeper(clock: Clock) -> Any:
    """A callback that ticks at the end of each step."""
    import transformers

    class Timekeeper(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    return Timekeeper()


def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows filled up on the right to the longest, as transformers' DataCollatorForSeq2Seq does, but quicker."""
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "labels": pad_sequence([torch.tensor(row["labels"]) for row in rows], batch_first=True, padding_value=-100),
    }


@contextlib.contextmanager
def quietly() -> Iterator[str]:
    """A folder to write into; what the libraries say meanwhile is kept from the screen."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield folder


# -- the course --------------------------------------------------------------------------------------------------------


def with_course(examples: Sequence[Example], setting: Setting) -> Run:
    """The course: rows without padding, attention inside each text, logits where there are labels."""
    from course_lib.instruct import models
    from course_lib.instruct.settings import Tuning
    from course_lib.instruct.tune import batches, config, loss

    tuning = Tuning(
        method=setting.method, epochs=1, learning_rate=setting.rate, batch_size=setting.batch, rank=setting.rank,
        alpha=2 * setting.rank, warmup=setting.warmup, weight_decay=setting.decay, seed=setting.seed,
    )  # fmt: skip
    clock, learner = Clock(), models.load(str(setting.base), tuning)
    data = batches(learner, [(one.ids, one.learn) for one in examples])

    def collate(items: list[Any]) -> dict[str, torch.Tensor]:
        if clock.batches:
            clock.tick()  # a step ends where the next begins
        clock.batches.append([len(ids) for ids, _ in items])
        return data.collate(items)

    own = config(learner, progress=False, memory="ignore")
    train.fit(learner.trained, replace(data, collate=collate), loss, own)
    clock.tick()
    return clock.finish(learner.model)


RUNNERS: dict[str, Runner] = {
    "course": with_course,
    "trainer": with_trainer,
    "trainer-grouped": with_groups,
    "trl-packed": with_trl,
}


def held_out_loss(model: nn.Module, examples: Sequence[Example], batch: int = 16) -> float:
    """Mean loss per token of the answers, computed in the same plain way for every model."""
    total, count = 0.0, 0
    model.eval()
    ordered = sorted(examples, key=lambda one: len(one.ids))
    with torch.inference_mode():
        for k in range(0, len(ordered), batch):
            given = padded([{"input_ids": list(one.ids), "labels": one.labels} for one in ordered[k : k + batch]])
            labels = given.pop("labels")[:, 1:]
            logits = model(**given).logits[:, :-1]
            total += float(nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"))
            count += int((labels != -100).sum())
    return total / count
