"""The tuned rungs of the ladder against transformers' Trainer on the same records, model, rates and epochs.

    python tests/benchmarks/bench_ladder.py [--train 300] [--test 200] [--repeats 3] [--record]

Both train the same classifier (the same copy of the pretrained weights, the same head) with AdamW, a warm-up, a cosine
and the same batch size. The Trainer pads random batches to their longest text and sends every batch through the whole
encoder; the ladder keeps the states below the cut, puts texts of similar length together and computes no gradient where
nothing learns. The two take turns rung by rung. Reported are ratios of CPU seconds (all threads, training and
predicting) with their spread over the repeats, and both accuracies.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import about, write
from torch import nn

from course_lib import hardware, records, tiers
from course_lib.batching import pad
from course_lib.classify import Classifier, Encoder, LadderConfig, Task, climb, rungs
from course_lib.classify.encoder import Head, find_blocks
from course_lib.classify.rungs import query_and_value

RUNGS = ["head", "last-1", "last-2", "last-3", "last-4", "last-5", "last-6", "all", "lora"]


class WithLoss(nn.Module):
    """A classifier as the Trainer wants it: it returns its loss."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.classifier(inputs, mask)
        return {"loss": nn.functional.cross_entropy(logits.float(), labels), "logits": logits}


def clean_classifier(task: Task, rung: str) -> Classifier:
    """The classifier that a rung trains, from the pretrained weights, with nothing cached."""
    span = task.encoder.span(0)
    if rung == "all":
        span.requires_grad_(True)
    elif rung == "lora":
        import peft

        rank = task.config.lora_rank
        settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=query_and_value(span))
        span.model = peft.get_peft_model(span.model, settings)
    elif rung.startswith("last-"):
        for block in list(find_blocks(span.model)[1])[-int(rung.removeprefix("last-")) :]:
            block.requires_grad_(True)
    torch.manual_seed(task.config.seed)
    return Classifier(span, Head(task.encoder.width, task.classes, task.config.head_hidden))


def with_trainer(task: Task, rung: str, folder: Path) -> tuple[float, float]:
    """CPU seconds and accuracy of a rung trained by the Trainer."""
    import transformers

    config, model = task.config, WithLoss(clean_classifier(task, rung))
    epochs = config.head_epochs if rung == "head" else config.epochs
    rate = config.lora_rate if rung == "lora" else task.learning_rate
    body = [p for p in model.classifier.span.parameters() if p.requires_grad]
    groups = [{"params": body, "lr": rate}] if body else []
    groups.append({"params": list(model.classifier.head.parameters()), "lr": config.head_rate})
    split, labels = len(task.train), [*task.train.labels, *task.test.labels]
    rows = [{"ids": ids, "label": label} for ids, label in zip(task.ids, labels, strict=True)]

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs, mask = pad([item["ids"] for item in items])
        return {"inputs": inputs, "mask": mask, "labels": torch.tensor([item["label"] for item in items])}

    steps = epochs * -(-split // config.batch_size)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=2 * config.batch_size, lr_scheduler_type="cosine", warmup_steps=round(0.1 * steps),
        max_grad_norm=1.0, bf16=task.precision == "bf16",
        use_cpu=hardware.device() == "cpu", report_to="none", save_strategy="no", logging_strategy="no",
        disable_tqdm=True, remove_unused_columns=False, label_names=["labels"], seed=config.seed,
    )  # fmt: skip
    start = time.process_time()
    trainer = transformers.Trainer(
        model=model, args=arguments, data_collator=collate, train_dataset=rows[:split],
        optimizers=(torch.optim.AdamW(groups, weight_decay=0.01, fused=True), None),
    )  # fmt: skip
    trainer.train()
    scores = trainer.predict(rows[split:]).predictions
    seconds = time.process_time() - start
    return seconds, float(np.mean(scores.argmax(1) == np.asarray(task.test.labels)))


def with_ladder(task: Task, rung: str) -> tuple[float, float]:
    """CPU seconds and accuracy of a rung of the ladder, the states it uses included as if it had run alone."""
    (result,) = climb(task, [rung])
    return result.cpu_seconds, result.accuracy


def measure(task: Task, folder: Path, names: list[str], turn: int) -> dict[str, dict[str, float]]:
    """One turn of all on every rung. A cache is filled once in this turn, and counted once in the total."""
    tasks = {"ladder": task, "ladder_as_it_comes": replace(task, config=replace(task.config, precision="auto"))}
    found: dict[str, dict[str, float]] = {"together": {}}
    for name in names:
        runs = {who: partial(with_ladder, own, name) for who, own in tasks.items()}
        runs["trainer"] = partial(with_trainer, task, name, folder)
        found[name] = {}
        for who in sorted(runs, reverse=bool(turn % 2)):
            found[name][f"{who}_cpu_seconds"], found[name][f"{who}_accuracy"] = runs[who]()
        print(f"  {name:<8} " + "  ".join(f"{key} {value:.2f}" for key, value in found[name].items()), flush=True)
    for who in ("trainer", *tasks):
        total = sum(found[name][f"{who}_cpu_seconds"] for name in names)
        if who in tasks:  # every rung counts the states it used; together they were computed once
            own = tasks[who]
            used = sum(own.prefix_cost(level(own, name)).cpu_seconds for name in names)
            total += own.cache.spent().cpu_seconds - used
        found["together"][f"{who}_cpu_seconds"] = total
    print("  together " + "  ".join(f"{key} {value:.0f}" for key, value in found["together"].items()), flush=True)
    return found


def level(task: Task, name: str) -> int:
    """The level whose states a rung takes from the cache."""
    depth = task.encoder.depth
    return depth if name == "head" else depth - int(name.removeprefix("last-")) if name.startswith("last-") else 0


def summary(turns: list[dict[str, dict[str, float]]], names: list[str]) -> dict[str, Any]:
    """Ratios of CPU seconds, ladder to Trainer, as (lowest, median, highest) over the turns; mean accuracies."""

    def spread(values: list[float]) -> list[float]:
        return [round(v, 3) for v in (min(values), statistics.median(values), max(values))]

    def ratio(turn: dict[str, dict[str, float]], who: str, rows: list[str]) -> float:
        return sum(turn[r][f"{who}_cpu_seconds"] for r in rows) / sum(turn[r]["trainer_cpu_seconds"] for r in rows)

    def accuracy(name: str, who: str) -> float:
        return round(statistics.mean(turn[name][f"{who}_accuracy"] for turn in turns), 4)

    everyone = ("trainer", "ladder", "ladder_as_it_comes")
    rows: dict[str, Any] = {}
    for name in names:
        rows[name] = {f"{who}_accuracy": accuracy(name, who) for who in everyone}
        rows[name] |= {f"{who}_ratio": spread([ratio(turn, who, [name]) for turn in turns]) for who in everyone[1:]}
    together: dict[str, Any] = {
        f"{who}_mean_accuracy": round(statistics.mean(rows[name][f"{who}_accuracy"] for name in names), 4)
        for who in everyone
    }
    tuned = [name for name in names if name != "head"]
    for who in everyone[1:]:
        together[f"{who}_ratio"] = spread([ratio(turn, who, ["together"]) for turn in turns])
        together[f"{who}_ratio_without_head"] = spread([ratio(turn, who, tuned) for turn in turns])
    return {"rungs": rows, "together": together}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rungs", default=",".join(RUNGS))
    parser.add_argument("--record", action="store_true", help="write assets/recordings/ladder_benchmark.json")
    options = parser.parse_args()
    hardware.use_threads()
    tier = tiers.named("cpu")
    split = records.load(tier.sentiment, train_size=options.train, test_size=options.test)
    config = replace(LadderConfig.for_tier(tier), precision="no")
    encoder = Encoder.load(tier.encoder, tier.max_length)
    names = [name for name in rungs(encoder.depth) if name in options.rungs.split(",")]
    turns = []
    for turn in range(options.repeats):
        print(f"turn {turn + 1} of {options.repeats}", flush=True)
        task = Task(split.train, split.test, encoder, replace(config, seed=turn))
        turns.append(measure(task, Path("build/trainer"), names, turn))
    found = summary(turns, names)
    print(json.dumps(found, indent=1))
    if options.record:
        command = f"python tests/benchmarks/bench_ladder.py --train {options.train} --test {options.test}"
        command += f" --repeats {options.repeats} --record"
        facts = about(command, seed=0, repeats=options.repeats, as_it_comes=hardware.detect().precision)
        write("ladder_benchmark.json", {"recorded": facts, **found, "turns": turns})


if __name__ == "__main__":
    main()
