"""Instruction tuning by the course against transformers' Trainer with peft and trl's SFTTrainer with packing.

    python tests/benchmarks/bench_finetune.py [--train 320] [--test 100] [--repeats 3] [--methods lora,full] [--record]

The same model (course-base), examples, initial weights, optimizer and schedule; float32, one thread, one epoch in steps
of 16 examples (`tuning_runs`). The Trainer pads random batches; a second line of it has length grouping switched on.
Each repeat has a seed of its own, and the runs take turns within it, in an order that changes.

Reported for three sets of examples (`tuning_data`): useful tokens (prompts and answers, no padding) per CPU second
after the first step, the ratio of the course to each of the others as [least, median, most] over the repeats, the mean
loss per answer token on held-out examples after the epoch, and how far the course's differs from each of the others'.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from recording import about, write
from tuning_data import NAMES, Example, describe, examples
from tuning_runs import RUNNERS, Setting, held_out_loss, tokenizer

RATES = {"lora": 4e-3, "full": 5e-4}
OURS = "course"


def measure(
    train: list[Example], test: list[Example], method: str, names: list[str], repeats: int, rate: float | None = None
) -> dict[str, Any]:
    """Speeds, losses and steps of every way of tuning, a list over the repeats each."""
    found: dict[str, dict[str, list[float]]] = {name: {"speed": [], "loss": [], "steps": []} for name in names}
    for turn in range(repeats):
        setting = Setting(method=method, rate=rate or RATES[method], seed=turn)
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            run = RUNNERS[name](train, setting)
            if run.lengths != sorted(len(one.ids) for one in train):
                raise RuntimeError(f"{name} did not train on the examples that it was given")
            found[name]["speed"].append(run.speed)
            found[name]["steps"].append(run.steps)
            found[name]["loss"].append(held_out_loss(run.model, test))
            print(f"    {turn} {name:18}{run.speed:8.0f} tokens/s   loss {found[name]['loss'][-1]:.5f}", flush=True)
    return found


def summary(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Of each way the spread over the repeats; of each but the course what it is compared with the course."""
    rows: dict[str, Any] = {}
    for name, values in found.items():
        rows[name] = {
            "tokens_per_cpu_second": spread(values["speed"], 0),
            "loss": spread(values["loss"], 5),
            "steps": int(values["steps"][0]),
        }
        if name != OURS and OURS in found:
            ours = found[OURS]
            ratios = [mine / theirs for mine, theirs in zip(ours["speed"], values["speed"], strict=True)]
            apart = [mine - theirs for mine, theirs in zip(ours["loss"], values["loss"], strict=True)]
            rows[name] |= {"course_is_faster": spread(ratios, 2), "course_loss_minus_this": spread(apart, 5)}
    return rows


def spread(values: list[float], digits: int) -> list[float]:
    """Least, median and most."""
    return [round(value, digits) for value in (min(values), statistics.median(values), max(values))]


def show(rows: dict[str, Any]) -> None:
    """One line for each way of tuning."""
    for name, row in rows.items():
        line = f"  {name:18}{row['tokens_per_cpu_second'][1]:7.0f} tokens/s   loss {row['loss'][1]:.4f}"
        if "course_is_faster" in row:
            low, middle, high = row["course_is_faster"]
            least, _, most = row["course_loss_minus_this"]
            line += f"   course x{middle:.2f} ({low:.2f}-{high:.2f}), its loss {least:+.5f} to {most:+.5f}"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=320)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--sets", default=",".join(NAMES))
    parser.add_argument("--runs", default=",".join(RUNNERS), help="ways of tuning, separated by commas")
    parser.add_argument("--record", action="store_true", help="write assets/recordings/finetune_benchmark.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in RUNNERS if name in options.runs.split(",")]
    words = tokenizer(Setting())
    results = []
    for name in options.sets.split(","):
        train, test = (
            examples(name, n, words, split) for n, split in ((options.train, "train"), (options.test, "test"))
        )
        facts = describe(train)
        print(f"{name}: {facts}", flush=True)
        for method in options.methods.split(","):
            rows = summary(measure(train, test, method, names, options.repeats))
            print(f" {method}")
            show(rows)
            results.append({"set": name, "method": method, "data": facts, "runs": rows})
    if options.record:
        command = f"python tests/benchmarks/bench_finetune.py --train {options.train} --test {options.test}"
        command += f" --repeats {options.repeats} --methods {options.methods} --record"
        facts = about(command, seed=0, threads=1, repeats=options.repeats, rates=RATES, precision="float32")
        write("finetune_benchmark.json", {"recorded": facts, "results": results})


if __name__ == "__main__":
    main()
