"""The tuned rungs of the ladder against transformers' Trainer on the same records, model, rates and epochs.

    python tests/benchmarks/bench_ladder.py [--train 300] [--test 200] [--repeats 3] [--precision no] [--record]

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
    """One turn of both on every rung. The cache is filled once, in this turn, and counted once in the total."""
    task = replace(task)  # a fresh, empty cache
    found: dict[str, dict[str, float]] = {}
    for name in names:
        order = [
            ("trainer", lambda n=name: with_trainer(task, n, folder)),
            ("ladder", lambda n=name: with_ladder(task, n)),
        ]
        for who, run in order if turn % 2 else reversed(order):
            seconds, accuracy = run()
            found.setdefault(name, {}).update({f"{who}_cpu_seconds": seconds, f"{who}_accuracy": accuracy})
        row = found[name]
        print(f"  {name:<8} " + "  ".join(f"{key} {value:.2f}" for key, value in sorted(row.items())), flush=True)
    shared = sum(found[n]["ladder_cpu_seconds"] for n in names)
    own = shared - sum(task.prefix_cost(level(task, n)).cpu_seconds for n in names) + task.cache.spent().cpu_seconds
    trainer = sum(found[n]["trainer_cpu_seconds"] for n in names)
    print(f"  together: Trainer {trainer:.0f} s, ladder {own:.0f} s, ratio {own / trainer:.3f}", flush=True)
    return found | {"together": {"trainer_cpu_seconds": trainer, "ladder_cpu_seconds": own}}


def level(task: Task, name: str) -> int:
    """The level whose states a rung takes from the cache."""
    depth = task.encoder.depth
    return depth if name == "head" else depth - int(name.removeprefix("last-")) if name.startswith("last-") else 0


def summary(turns: list[dict[str, dict[str, float]]], names: list[str]) -> dict[str, Any]:
    """Ratios of CPU seconds, ladder to Trainer, as (lowest, median, highest) over the turns; mean accuracies."""

    def spread(values: list[float]) -> list[float]:
        return [round(v, 3) for v in (min(values), statistics.median(values), max(values))]

    def ratios(name: str) -> list[float]:
        return spread([t[name]["ladder_cpu_seconds"] / t[name]["trainer_cpu_seconds"] for t in turns])

    def accuracy(name: str, who: str) -> float:
        return round(statistics.mean(t[name][f"{who}_accuracy"] for t in turns), 4)

    def without_head(turn: dict[str, dict[str, float]]) -> float:
        head, both = turn.get("head", {"ladder_cpu_seconds": 0, "trainer_cpu_seconds": 0}), turn["together"]
        key = "{}_cpu_seconds".format
        return (both[key("ladder")] - head[key("ladder")]) / (both[key("trainer")] - head[key("trainer")])

    rows = {
        n: {"ratio": ratios(n), "trainer_accuracy": accuracy(n, "trainer"), "ladder_accuracy": accuracy(n, "ladder")}
        for n in names
    }
    means = {who: round(statistics.mean(rows[n][f"{who}_accuracy"] for n in names), 4) for who in ("trainer", "ladder")}
    together = {"ratio": ratios("together"), "ratio_without_head": spread([without_head(t) for t in turns])}
    return {"rungs": rows, "together": together | {f"mean_{who}_accuracy": mean for who, mean in means.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="no", choices=["no", "bf16", "auto"])
    parser.add_argument("--rungs", default=",".join(RUNGS))
    parser.add_argument("--record", action="store_true", help="write assets/recordings/ladder_benchmark.json")
    options = parser.parse_args()
    hardware.use_threads()
    tier = tiers.named("cpu")
    split = records.load(tier.sentiment, train_size=options.train, test_size=options.test)
    config = replace(LadderConfig.for_tier(tier), precision=options.precision)
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
        command += f" --repeats {options.repeats} --precision {options.precision} --record"
        write("ladder_benchmark.json", {"recorded": about(command, seed=0, repeats=options.repeats), **found})


if __name__ == "__main__":
    main()
