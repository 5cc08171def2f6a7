"""Ask the course's two base models in all ways of lesson 02, with more questions than the notebook, and record it.

python tests/benchmarks/record_prompting.py [--items 200] [--small NAME] [--large NAME] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import tiny_families
import torch
from recording import FOLDER, about

from course_lib import decoder, hardware, hub, problems, prompting, prompts, supervised, train
from course_lib.generate import Writer
from course_lib.prompting import puzzle
from course_lib.prompts import Template
from course_lib.teach.claim_checks.prompted import Asked
from course_lib.world import facts, passages, reviews, worksheets
from course_lib.world.place import Place

SHOTS = (0, 1, 2, 4, 8, 16)
VOTES = 9
SAMPLES = 16
MOODS = {"1": "bad", "2": "bad", "3": "mixed", "4": "good", "5": "good"}
BRIEF = Template(
    "brief",
    "Question: {{ question }}{{ request }}\n||| {{ work }}Answer: {{ answer }}",
    stop=("\n\n", "\nQuestion:"),
    answer_after="Answer:",
    max_new=96,
)
REQUEST = " Be brief."

Record = dict[str, str]
Kept = dict[str, Asked]


def wordings(models: dict[str, Writer], n: int) -> Kept:
    """Questions on passages, every wording, both models."""
    items, task = passages.items(Place.build(split="test"), Random(11), n), prompts.task("passages/open")
    return {
        f"wording-{name}/{wording}": Asked.of(found)
        for name, writer in models.items()
        for wording, found in prompting.across_wordings(prompting.zero_shot, writer, task, items).items()
    }


def shots(writer: Writer, n: int) -> Kept:
    """Made-up labels with k examples."""
    items = worksheets.items(Place.build(split="test"), Random(12), n, k=max(SHOTS))
    template, rows = prompts.task("worksheets/label").main, prompting.own_rows
    return {
        f"shots/{k}": Asked.of(prompting.measure(prompting.k_shot, writer, template, items, examples=rows, k=k))
        for k in SHOTS
    }


def steps(writer: Writer, n: int) -> Kept:
    """Problems of one, two and three steps, bare and worked; the vote on the last ones."""
    bare, worked = prompts.task("problems/bare").main, prompts.task("problems/worked").main
    kept: Kept = {}
    for count in (1, 2, 3):
        items = problems.load("world", "test", n, seed=20 + count, steps=count)
        kept[f"steps-{count}/bare"] = Asked.of(prompting.measure(prompting.zero_shot, writer, bare, items))
        kept[f"steps-{count}/worked"] = Asked.of(prompting.measure(prompting.step_by_step, writer, worked, items))
    kept["vote/greedy"] = kept["steps-3/worked"]
    for name, votes in (("one", 1), ("all", VOTES)):
        found = prompting.measure(prompting.self_consistency, writer, worked, items, n=votes, temperature=0.7)
        kept[f"vote/{name}"] = Asked.of(found)
    return kept


def by_lot(record: Record, random: Random, width: int = 4, tries: int = 8) -> bool:
    """The tree's search with its steps drawn by lot."""
    kept = [puzzle.start(record)]
    while not all(state.finished for state in kept):
        drawn = [random.sample(state.options, min(tries, len(state.options))) for state in kept]
        after = [state.take(step) for state, some in zip(kept, drawn, strict=True) for step in some]
        kept = sorted((state for state in after if state), key=lambda state: state.distance)[:width]
    return any(state.solved for state in kept)


def trees(writer: Writer, n: int) -> Kept:
    """Puzzles with four numbers."""
    items = puzzle.items(Random(31), n, count=4)
    shown = [one for one in puzzle.items(Random(32), 8, count=4) if one not in items][:3]
    ask: dict[str, Any] = {"examples": shown, "judge": lambda record, answer: puzzle.solves(record, answer.text)}
    ask |= {"writer": writer, "template": prompts.task("puzzle/steps").main, "records": items}
    tree = prompting.tree_of_thoughts
    found = {
        "at once": prompting.measure(prompting.k_shot, **ask),
        "best of": prompting.measure(prompting.best_of, **ask, n=SAMPLES),
        "written": prompting.measure(tree, **ask, width=4, tries=8),
        "chosen": prompting.measure(tree, **ask, width=4, tries=8, propose="choose"),
    }
    lot = Asked(tuple(by_lot(one, Random(i)) for i, one in enumerate(items)), calls=0)
    return {f"tree/{name}": Asked.of(one) for name, one in found.items()} | {"tree/by lot": lot}


def tuned(name: str, pairs: list[tuple[str, str]], epochs: int) -> tuple[Writer, float]:
    """A fresh copy of a model, trained on pairs; and the seconds that took."""
    folder = hub.causal_folder(name)
    model, tokenizer = decoder.load(folder, torch.float32).to(hardware.device()), hub.load_tokenizer(folder)
    config = train.TrainConfig(epochs=epochs, learning_rate=0.125 / model.config.hidden_size)
    began = time.monotonic()
    supervised.tune(model, tokenizer, pairs, config)
    return Writer(model, tokenizer), time.monotonic() - began


def knowledge(writer: Writer, name: str, n: int) -> tuple[Kept, dict[str, float]]:
    """Facts kept out of training: from memory, searched, trained on."""
    documents, questions = facts.documents(), facts.items()[: max(n, 8)]
    pieces = [piece for one in documents for piece in prompting.chunk(one["id"], one["text"])]
    closed, given = prompts.task("passages/closed").main, prompts.task("passages/open").main
    wanted = {one["document"] for one in questions}
    texts = [one["text"] for wording in (0, 1) for one in facts.documents(wording=wording) if one["id"] in wanted]
    crammed, seconds = tuned(name, [("", text) for text in texts], 6)
    index = prompting.WordIndex(pieces)
    found = {
        "asked": prompting.measure(prompting.zero_shot, writer, closed, questions),
        "retrieved": prompting.measure(prompting.with_passages, writer, given, questions, index=index),
        "tuned": prompting.measure(prompting.zero_shot, crammed, closed, questions),
    }
    words = float(sum(len(one["text"].split()) for one in documents))
    numbers = {"facts words": words, "facts labels": 0.0, "facts seconds": seconds}
    return {f"facts/{key}": Asked.of(one) for key, one in found.items()}, numbers


def rated(split: str, seed: int, n: int) -> list[Record]:
    items = reviews.items(Place.build(split=split), Random(seed), n)
    return [one | {"mood": MOODS[one["stars"]]} for one in items]


def form(writer: Writer, name: str, n: int) -> tuple[Kept, dict[str, float]]:
    """One word for a review: asked, with examples, with similar reviews, trained."""
    exam, lessons = rated("test", 41, n), rated("train", 42, 320)
    template = prompts.task("reviews/mood").wording("order")
    shelf = prompting.WordIndex([prompting.Passage(one["text"], str(i)) for i, one in enumerate(lessons)])

    def similar(record: Record) -> list[Record]:
        (hits,) = shelf.search([record["text"]], 4)
        return [lessons[int(hit.passage.document)] for hit in reversed(hits)]

    graded, seconds = tuned(name, [tuple(template.render(one)) for one in lessons], 2)
    found = {
        "asked": prompting.measure(prompting.zero_shot, writer, template, exam),
        "examples": prompting.measure(prompting.k_shot, writer, template, exam, examples=lessons[:4]),
        "retrieved": prompting.measure(prompting.k_shot, writer, template, exam, examples=similar),
        "chosen": prompting.measure(prompting.choose, writer, template, exam, examples=lessons[:4]),
        "tuned": prompting.measure(prompting.zero_shot, graded, template, exam),
    }
    words = float(sum(len(one["text"].split()) for one in lessons))
    numbers = {"form words": words, "form labels": float(len(lessons)), "form seconds": seconds}
    return {f"form/{key}": Asked.of(one) for key, one in found.items()}, numbers


def concise(writer: Writer, name: str, n: int) -> Kept:
    """Problems with and without a request to be brief: the base model, and one tuned to take the request."""

    def asked(items: list[Record], brief: bool) -> list[Record]:
        request = {"request": REQUEST if brief else ""}
        return [one | request | {"work": "" if brief else f"Steps: {one['steps']}\n"} for one in items]

    half = [problems.load("world", "train", 200, seed=51 + count, steps=count) for count in (2, 3)]
    taught = [one for k, some in enumerate(zip(*half, strict=True)) for one in asked(list(some), brief=k % 2 == 1)]
    items = [one for count in (2, 3) for one in problems.load("world", "test", n // 2, seed=53 + count, steps=count)]
    obedient, _ = tuned(name, [tuple(BRIEF.render(one)) for one in taught], 2)
    kept = {}
    for key, who in (("", obedient), ("base ", writer)):
        for how, brief in (("plain", False), ("asked", True)):
            found = prompting.measure(prompting.k_shot, who, BRIEF, asked(items, brief))
            kept[f"concise/{key}{how}"] = Asked.of(found)
    return kept


def families(n: int) -> Kept:
    """Tiny members of the three families on the same task."""
    found = tiny_families.measure(n)
    return {f"families/{name}": Asked(tuple(right), calls=passes) for name, (right, passes) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--small", default="course-base-small")
    parser.add_argument("--large", default="course-base")
    parser.add_argument("--out", type=Path, default=FOLDER / "prompting.json")
    options = parser.parse_args()
    hardware.use_threads()
    n, large = options.items, Writer.from_name(options.large)
    names = {"course-base-small": options.small, "course-base": options.large}
    models = {name: Writer.from_name(where) for name, where in names.items()}
    asked: Kept = {}
    numbers: dict[str, float] = {}
    parts: dict[str, Callable[[], Any]] = {
        "wordings": lambda: wordings(models, n),
        "shots": lambda: shots(large, n),
        "steps": lambda: steps(large, n),
        "trees": lambda: trees(large, max(4, n // 2)),
        "knowledge": lambda: knowledge(large, options.large, n),
        "form": lambda: form(large, options.large, n),
        "concise": lambda: concise(large, options.large, n),
        "families": lambda: families(n),
    }
    for name, part in parts.items():
        began, found = time.monotonic(), part()
        kept, more = found if isinstance(found, tuple) else (found, {})
        asked, numbers = asked | kept, numbers | more
        print(f"{name}: {time.monotonic() - began:.0f} s", *(f"  {key}: {one}" for key, one in kept.items()), sep="\n")
    facts_of_run = about("python tests/benchmarks/record_prompting.py", seed=0, items=n)
    recording = {
        "recorded": facts_of_run,
        "models": list(names),
        "numbers": {key: round(value, 1) for key, value in numbers.items()},
        "outside": tiny_families.outside(),
        "asked": {key: one.to_json() for key, one in asked.items()},
    }
    options.out.write_text(json.dumps(recording, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
