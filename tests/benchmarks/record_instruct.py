"""Measure what the claims of lesson 04 need, experiment by experiment, and record it answer by answer.

python tests/benchmarks/record_instruct.py [--scale 1.0] [--cache FOLDER] [--out FILE]

Every experiment scores the untrained model first. What is finished lies in the cache folder, so that an interrupted
recording goes on where it was; delete the folder to measure anew. ``--scale 0.02`` tries everything out in minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from recording import FOLDER, about

from course_lib.generate import Decoding
from course_lib.instruct import Tuned, Tuning, conversation, train_on
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.domain import texts_to_items
from course_lib.instruct.examples import items as encoded
from course_lib.instruct.judge import pairwise
from course_lib.instruct.models import load
from course_lib.instruct.proposals import meta_records
from course_lib.instruct.selfinstruct import Yield, self_instruct
from course_lib.instruct.tune import held_out_loss
from course_lib.metrics.report import TaskReport
from course_lib.pretrain.tokenizer import train_tokenizer
from course_lib.prompts import Chat
from course_lib.records import fix
from course_lib.records.conversations import joined
from course_lib.world import corpus, dialect
from course_lib.world import instructions as world
from course_lib.world.place import Place

LARGE, SMALL = "course-base", "course-base-small"
SIZES = (30, 100, 300, 1000, 3000)  # the last with one seed only
LEAST_SEEN = 4000  # examples that a run sees at least: small sets are repeated, up to
MOST_EPOCHS = 10
FEW = 12  # test items of each kind
SHOWN = 4  # examples in a prompt
LONGEST_PROMPT = 420  # tokens, so that 80 more fit
MAX_NEW = 64
AGAIN = "dialect"  # the task that is trained alone, after all
SPECIAL = ("polite", "passage-question", "rating")
CONFIGURATIONS = {
    "full 3e-4": {"method": "full", "learning_rate": 3e-4},
    "full 1e-3": {"method": "full", "learning_rate": 1e-3},
    "full 3e-3": {"method": "full", "learning_rate": 3e-3},
    "last-2 1e-3": {"method": "last-n", "blocks": 2, "learning_rate": 1e-3},
    "lora 1e-3": {"method": "lora", "learning_rate": 1e-3},
    "lora 5e-3": {"method": "lora", "learning_rate": 5e-3},
}
PROPOSED = 200
JUDGED = ((100, 1000), (300, 1000))  # pairs of models, by their numbers of examples

Record = dict[str, Any]
Found = dict[str, Any]


class Bench:
    """The data that all experiments share, and the ways to measure. ``scale`` makes everything smaller."""

    def __init__(self, cache: Path, scale: float) -> None:
        self.cache, self.scale = cache, scale
        self.sizes = tuple(dict.fromkeys(self.many(n) for n in SIZES))
        self.pools = [world.mixture(Place.build(), Random(f"instruct {seed}"), self.sizes[-1]) for seed in (0, 1)]
        self.tests = exam(FEW if scale >= 0.5 else 2, 4)
        self.best = cache / "model"  # trained on most examples

    def many(self, n: int) -> int:
        """So many at this scale, 4 at least."""
        return max(4, round(n * self.scale))

    def epochs(self, n: int) -> int:
        """Few examples are seen more often, so that a run has about as many steps as one on many."""
        return max(3, min(MOST_EPOCHS, self.many(LEAST_SEEN) // n)) if self.scale >= 0.5 else 1

    def train(self, records: Sequence[Any], model: Any = LARGE, n: int = 0, **settings: Any) -> tuple[Tuned, Found]:
        """A tuned model and what its run was."""
        settings = {"method": "full", "epochs": self.epochs(n or len(records)), **settings}
        began = time.process_time()
        made = train_on(model, records, Tuning(**settings), progress=False)
        run = {"examples": len(records), "epochs": settings["epochs"], "seed": settings.get("seed", 0)}
        run |= {"tokens": made.tokens, "seconds": round(made.seconds, 1)}
        run |= {"cpu_seconds": round(time.process_time() - began, 1), "loss": [round(x, 3) for x in made.history.loss]}
        return made, run

    def ask(self, assistant: Assistant, tests: Sequence[Record] | None = None) -> tuple[TaskReport, list[str]]:
        """Scores and answers to the test items, asked as in training."""
        records = self.tests if tests is None else tests
        answers = assistant.answer([conversation(one).dicts()[:-1] for one in records], max_new=MAX_NEW)
        return TaskReport.of(records, answers), answers

    def prompted(self, assistant: Assistant, tests: Sequence[Record] | None = None) -> dict[str, TaskReport]:
        """Scores of a base model that continues a prompt, written in each of `PROMPTS`' ways."""
        records, found = self.tests if tests is None else tests, {}
        for name, layout in PROMPTS.items():
            prompts = [fitted(assistant, self.pools[1], one, layout) for one in records]
            written = assistant.continue_(prompts, Decoding(max_new=MAX_NEW, stop=("\n",)))
            found[name] = TaskReport.of(records, [text.strip() for text in written])
        return found


def exam(n: int, seed: int, kinds: Iterable[str] = tuple(world.KINDS), split: str = "test") -> list[Record]:
    """``n`` test items of every kind."""
    place = Place.build(split=split)
    return [dict(one) for kind in kinds for one in world.items(place, Random(f"exam {seed}"), kind, n)]


def asked(shown: Sequence[Record], record: Record) -> str:
    """The question alone, with a word that calls for an answer."""
    return f"{joined(record['instruction'], record['input'])}\nAnswer:".replace("\n\n", "\n")


def few_shot(shown: Sequence[Record], record: Record) -> str:
    """Whole examples in front of the question: instruction, input, "Answer:"."""
    return "\n\n".join([*(f"{asked((), one)} {one['output']}" for one in shown), asked((), record)])


def instructed(shown: Sequence[Record], record: Record) -> str:
    """The instruction once, then inputs with their answers, as in a worksheet."""
    lines = [f"{one['input']}\nAnswer: {one['output']}" for one in shown]
    return "\n\n".join([record["instruction"], *lines, f"{record['input']}\nAnswer:"])


PROMPTS: dict[str, Callable[[Sequence[Record], Record], str]] = {
    "asked": asked,
    "few-shot": few_shot,
    "instructed": instructed,
}


def fitted(assistant: Assistant, pool: Sequence[Record], record: Record, layout: Callable[..., str]) -> str:
    """A prompt with as many examples of the record's kind as fit, `SHOWN` at most."""
    own = [one for one in pool if one["task"] == record["task"]][:SHOWN]
    while own and assistant.writer.tokens(layout(own, record)) > LONGEST_PROMPT:
        own = own[1:]
    return layout(own, record)


def usual(pool: Sequence[Record], tests: Sequence[Record]) -> TaskReport:
    """The scores of who always gives the commonest answer of a kind, without reading."""
    answers = {task: Counter(one["output"] for one in pool if one["task"] == task) for task in world.KINDS}
    return TaskReport.of(
        tests, [answers[one["task"]].most_common(1)[0][0] if answers[one["task"]] else "" for one in tests]
    )


# -- experiments: each returns reports, runs, answers, and figures of its own ------------------------------------------


def before(bench: Bench) -> Found:
    """The untrained model: asked as the tuned ones will be, bare, and with a prompt; and who does not read."""
    base = Assistant.from_name(LARGE)
    report, answers = bench.ask(base)
    bare = base.continue_(
        [joined(one["instruction"], one["input"]) + "\n" for one in bench.tests],
        Decoding(max_new=MAX_NEW, stop=("\n",)),
    )
    reports = {
        "curve/0/0": report,
        "base/bare": TaskReport.of(bench.tests, [text.strip() for text in bare]),
        "trivial/usual": usual(bench.pools[0], bench.tests),
    }
    reports |= {f"base/{name}": one for name, one in bench.prompted(base).items()}
    return {"reports": reports, "answers": {"curve/0/0": answers}}


def curve(bench: Bench, n: int, seed: int) -> Found:
    """A model trained on n examples."""
    made, run = bench.train(bench.pools[seed][:n], seed=seed)
    report, answers = bench.ask(made.assistant)
    name = f"curve/{n}/{seed}"
    if n == bench.sizes[-1]:
        made.learner.save(bench.best)
    found: Found = {"reports": {name: report}, "runs": {name: run}, "answers": {name: answers} if seed == 0 else {}}
    if n == bench.sizes[2] and seed == 0:
        found["reports"]["tokens/asked other"] = bench.ask(
            Assistant(made.assistant.model, (other := other_tokenizer()), Chat(other))
        )[0]
    return found


def noise(bench: Bench, seed: int) -> Found:
    """A large noisy set; and once, what is left when all is mended that can be without knowing the answers."""
    size = bench.sizes[3]
    spoilt = world.noisy(bench.pools[seed][:size], Random(f"noise {seed}"))
    cleaned = fix([conversation(one) for one in spoilt]).conversations
    found: Found = {"reports": {}, "runs": {}}
    for name, records in (("noisy", spoilt), ("cleaned", cleaned))[: 2 - seed]:
        made, run = bench.train(records, n=size, seed=seed)
        found["reports"][f"noise/{name}/{seed}"], _ = bench.ask(made.assistant)
        found["runs"][f"noise/{name}/{seed}"] = run
    kinds = Counter(one["noise"] or "clean" for one in spoilt)
    found["numbers"] = {f"noise {kind}/{seed}": float(count) for kind, count in kinds.items()}
    return found


def again(bench: Bench, name: str) -> Found:
    """The model of all tasks is trained further, for a short or a long time: on one task alone, and among others."""
    n = bench.sizes[2]
    own = world.items(Place.build(), Random("again"), AGAIN, n)
    others = [one for one in bench.pools[1] if one["task"] != AGAIN][:n]
    mixed = [one for pair in zip(own, others, strict=False) for one in pair]
    found: Found = {"reports": {}, "runs": {}}
    for what, records in (("alone", own), ("mixed", mixed)):
        epochs = bench.epochs(len(records)) if name == "long" else 3 if bench.scale >= 0.5 else 1
        made, run = bench.train(records, str(bench.best), epochs=epochs)
        found["reports"][f"again/{name}/{what}"], _ = bench.ask(made.assistant)
        found["runs"][f"again/{name}/{what}"] = run
    return found


def proposing(bench: Bench) -> Found:
    """Self-instruct, untrained and trained to propose."""
    seeds, n = bench.pools[0][: bench.many(400)], bench.many(PROPOSED)

    def tried(assistant: Assistant, n: int) -> Yield:
        return self_instruct(assistant, seeds, n, check=world.checked, apart=bench.tests)

    untrained = tried(Assistant.from_name(LARGE), max(4, n // 4))
    learned = bench.pools[0][: bench.sizes[3]]
    made, run = bench.train([*learned, *meta_records(bench.pools[0][: bench.many(600)])], epochs=3, seed=2)
    trained = tried(made.assistant, n)
    return {"proposed": {"untrained": proposed(untrained), "trained": proposed(trained)}, "runs": {"proposing": run}}


def proposed(found: Yield) -> Found:
    """The table of a yield; of each readable candidate whether it was accepted and right (1, 0, null); some records."""
    kept = Counter((one["instruction"], one["input"], one["output"]) for one in found.records)
    rows = []
    for one in (candidate.record for candidate in found.candidates if candidate.instruction):
        right = world.checked(one)
        key = (one["instruction"], one["input"], one["output"])
        accepted = kept[key] > 0  # of two that are equal only the first
        kept[key] -= accepted
        rows.append([int(accepted), None if right is None else int(right)])
    table = {"n": len(found.candidates), "steps": found.rows()}
    return {**table, "candidates": rows, "records": [dict(one) for one in found.records[:20]]}


def domain(bench: Bench) -> Found:
    """Continued pretraining on dialect, and on dialect among old documents: losses of test documents."""
    texts = dialect_texts("train", bench.many(250))
    old = corpus_texts(5, "train", bench.many(250))
    tests = {"in": dialect_texts("test", bench.many(60)), "out": corpus_texts(6, "test", bench.many(60))}
    found: Found = {"documents": {"base": losses(Assistant.from_name(LARGE), tests)}, "runs": {}}
    tuning = Tuning(method="full", epochs=2)
    for name, some in (("dialect", texts), ("mixed", [*texts, *old])):
        learner = load(LARGE, tuning)
        pieces = texts_to_items(learner.tokenizer, some, learner.limit)
        made, found["runs"][f"domain/{name}"] = bench.train(pieces, learner, epochs=2)
        found["documents"][name] = losses(made.assistant, tests)
    return found


def dialect_texts(split: str, n: int) -> list[str]:
    rng, place = Random(f"dialect {split}"), Place.build(split=split)
    return [dialect.document(place, rng) for _ in range(n)]


def corpus_texts(seed: int, split: str, n: int) -> list[str]:
    stream = corpus.documents(seed, split)
    return [next(stream).text for _ in range(n)]


def losses(assistant: Assistant, tests: dict[str, list[str]]) -> dict[str, list[list[float]]]:
    """Of every document the tokens predicted, and minus the sum of their log-probabilities (nats)."""
    found = {}
    for where, texts in tests.items():
        ids = [assistant.tokenizer(text, verbose=False)["input_ids"][:500] for text in texts]
        sums = assistant.writer.scores([(one[:1], one[1:]) for one in ids])
        found[where] = [[len(one) - 1, round(-total, 3)] for one, total in zip(ids, sums, strict=True)]
    return found


def tokens(bench: Bench) -> Found:
    """Trained on data that another tokenizer encoded; then asked through the model's own, and through the other."""
    other, size = other_tokenizer(), bench.sizes[2]
    records = bench.pools[0][:size]
    learner = load(LARGE, Tuning(method="full"))
    items, _ = encoded(Chat(other), [conversation(one) for one in records], learner.limit)
    right, _ = encoded(learner.chat, [conversation(one) for one in records], learner.limit)
    numbers = {"loss before, own tokenizer": held_out_loss(learner, right)}
    numbers |= {"loss before, other tokenizer": held_out_loss(learner, items)}
    made, run = bench.train(items, learner, n=size)
    own, _ = bench.ask(made.assistant)
    theirs, answers = bench.ask(Assistant(made.assistant.model, other, Chat(other)))
    reports = {"tokens/trained other, asked own": own, "tokens/trained other, asked other": theirs}
    numbers |= {"entries": float(len(other)), "same ids": float(shared(learner.tokenizer, other))}
    named = "tokens/trained other, asked other"
    return {"reports": reports, "runs": {named: run}, "numbers": numbers, "answers": {named: answers}}


def other_tokenizer() -> Any:
    """A tokenizer of the same size and kind, trained on other documents: nearly the same words, other numbers."""
    return train_tokenizer([*corpus_texts(77, "train", 700), *dialect_texts("train", 700)], 3072, 512)


def shared(one: Any, other: Any) -> int:
    """How many entries have the same number in both."""
    return len(one.get_vocab().items() & other.get_vocab().items())


def smallest(bench: Bench) -> Found:
    """Settings after a third of an epoch, on the small model, and after three epochs on the large one: losses."""
    records = bench.pools[0][: bench.many(240)]
    third = records[: len(records) // 3]
    held = [conversation(one) for one in exam(FEW if bench.scale >= 0.5 else 2, 9, split="train")]
    runs = {"fraction": (LARGE, third, 1), "small": (SMALL, records, 3), "end": (LARGE, records, 3)}
    found: Found = {"ranked": {}, "runs": {}}
    for stage, (model, some, epochs) in runs.items():
        learner = load(model, Tuning(method="full"))
        items, _ = encoded(learner.chat, held, learner.limit)
        found["ranked"][stage] = {"untrained": held_out_loss(learner, items)}
        for name, settings in CONFIGURATIONS.items():
            made, run = bench.train(some, model, **{**settings, "epochs": epochs})
            found["ranked"][stage][name] = round(held_out_loss(made.learner, items), 4)
            found["runs"][f"smallest/{stage}/{name}"] = run
    return found


def judging(bench: Bench, answers: dict[str, list[str]]) -> Found:
    """Pairs of models, judged by the untrained model and by the best one, by two ways each."""
    judges = {"untrained": Assistant.from_name(LARGE), "trained": Assistant.from_name(bench.best)}
    found: Found = {"judged": []}
    for few, many in (tuple(bench.sizes[SIZES.index(n)] for n in pair) for pair in JUDGED):
        first, second = (answers[f"curve/{n}/0"] for n in (few, many))
        for who, judge in judges.items():
            for how in ("labels", "likelihood"):
                verdicts = pairwise(judge, bench.tests, first, second, how=how)
                rows = [
                    [p.original, p.swapped, None if p.margin is None else round(p.margin, 4)] for p in verdicts.pairs
                ]
                names = {"first": f"curve/{few}/0", "second": f"curve/{many}/0"}
                found["judged"].append({"judge": who, "how": how, **names, "pairs": rows})
    return found


def special(bench: Bench, task: str) -> Found:
    """The small model, trained on one task, against the large one with a prompt."""
    tests = exam(bench.many(40), 8, [task])
    small, large = Assistant.from_name(SMALL), Assistant.from_name(LARGE)
    reports = {
        "untrained": bench.ask(small, tests)[0],
        **bench.prompted(large, tests),
        "usual": usual(bench.pools[0], tests),
    }
    made, run = bench.train(world.items(Place.build(), Random("special"), task, bench.sizes[2]), SMALL, epochs=5)
    reports["tuned"], _ = bench.ask(made.assistant, tests)
    return {"reports": {f"special/{task}/{k}": one for k, one in reports.items()}, "runs": {f"special/{task}": run}}


# -- putting it together -----------------------------------------------------------------------------------------------


def plain(found: Found) -> Found:
    """The same with reports as scores, which is what is kept."""
    reports = {name: short(one) for name, one in found.get("reports", {}).items()}
    return {**found, "reports": reports}


def short(report: TaskReport) -> Found:
    """Scores and forms of a report, item by item; its tasks and metrics once where they are all the same."""
    scores = [round(x, 4) if x % 1 else int(x) for x in report.scores]
    formed = [round(x, 4) if x % 1 else int(x) for x in report.formed]
    return {"items": report.items, "scores": scores, "formed": formed, "_tests": [report.tasks, report.metrics]}


def kept(cache: Path, name: str, measure: Callable[[], Found]) -> Found:
    """An experiment from the cache, or measured now and put there."""
    file = cache / f"{name.replace('/', '-')}.json"
    if not file.exists():
        began, cpu = time.monotonic(), time.process_time()
        found = plain(measure())
        found["took"] = [round(time.monotonic() - began, 1), round(time.process_time() - cpu, 1)]
        file.write_text(json.dumps(found), encoding="utf-8")
    found = json.loads(file.read_text(encoding="utf-8"))
    scores = {k: _macro(one) for k, one in found["reports"].items()}
    print(f"{name}: {found['took'][0]:.0f} s", *(f"  {k}: {v:.1%}" for k, v in scores.items()), sep="\n", flush=True)
    return found


def _macro(entry: Found) -> float:
    tasks = entry["_tests"][0]
    by = {t: [s for s, one in zip(entry["scores"], tasks, strict=True) if one == t] for t in dict.fromkeys(tasks)}
    return sum(sum(some) / len(some) for some in by.values()) / len(by)


def measured(bench: Bench) -> dict[str, Found]:
    """All experiments in order."""
    few = [(n, seed) for n in bench.sizes[:-1] for seed in (0, 1)]
    parts: dict[str, Callable[[], Found]] = {"before": lambda: before(bench)}
    parts |= {f"curve/{n}/{s}": lambda n=n, s=s: curve(bench, n, s) for n, s in [*few, (bench.sizes[-1], 0)]}
    parts |= {f"noise/{seed}": lambda seed=seed: noise(bench, seed) for seed in (0, 1)}
    parts |= {f"again/{name}": lambda name=name: again(bench, name) for name in ("short", "long")}
    parts |= {f"special/{task}": lambda task=task: special(bench, task) for task in SPECIAL}
    parts |= {"tokens": lambda: tokens(bench), "domain": lambda: domain(bench)}
    parts |= {"proposing": lambda: proposing(bench), "smallest": lambda: smallest(bench)}
    found = {name: kept(bench.cache, name, part) for name, part in parts.items()}
    answers = {key: some for one in found.values() for key, some in one.get("answers", {}).items()}
    return found | {"judging": kept(bench.cache, "judging", lambda: judging(bench, answers))}


def recording(found: dict[str, Found], facts: Found) -> Found:
    """One document of all experiments."""
    tests, reports = {}, {}
    whole: Found = {key: {} for key in ("runs", "answers", "numbers", "documents", "ranked", "proposed")}
    for one in found.values():
        for name, report in one["reports"].items():
            tasks, metrics = report.pop("_tests")
            tests[report["items"]] = {"tasks": tasks, "metrics": metrics}
            reports[name] = report
        for key in whole:
            whole[key].update(one.get(key, {}))
    took = {name: one["took"] for name, one in found.items()}
    judged = found["judging"]["judged"]
    return {"recorded": facts, "tests": tests, "reports": reports, **whole, "judged": judged, "took": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "record_instruct")
    parser.add_argument("--out", type=Path, default=FOLDER / "instruct.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    options.cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.cache, options.scale)
    found = measured(bench)
    facts = about("python tests/benchmarks/record_instruct.py", seed=0, models=[SMALL, LARGE], again=AGAIN)
    facts |= {"sizes": bench.sizes, "special": SPECIAL, "threads": 1, "items": len(bench.tests)}
    text = json.dumps(recording(found, facts), separators=(",", ":")).replace('},"', '},\n"')
    options.out.write_text(text + "\n", encoding="utf-8")
    print(f"written to {options.out}, {sum(one['took'][1] for one in found.values()):.0f} CPU-seconds")


if __name__ == "__main__":
    main()
