"""Climb the whole ladder on all of the course's reviews, with the label curve, and record it for lesson 03.

    python tests/benchmarks/record_ladder.py [--precision auto]

Took 27 minutes on two cores that had other work as well. Finished rungs are kept in build/record and not run again.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from recording import FOLDER, about, write

from course_lib import hardware, records, tiers
from course_lib.classify import Encoder, LadderConfig, RungResult, Task, climb
from course_lib.teach import plots

BUDGETS = (50, 200, 800)
CURVE = ["features-logreg", "last-2", "all"]


def show(result: RungResult) -> None:
    print(
        f"{result.train_records:>5}  {result.title:<34} {result.accuracy:.1%}  {result.cpu_seconds:.0f} CPU s",
        flush=True,
    )


def draw(results: list[RungResult]) -> None:
    """The picture of the README: accuracy against cost."""
    kinds = {"tfidf": "baseline", "rnn": "baseline", "head": "frozen encoder"}
    kinds |= {"features-logreg": "frozen encoder", "features-svm": "frozen encoder"}
    points = [
        plots.Point(
            r.title, r.cpu_seconds, r.accuracy, r.accuracy_low, r.accuracy_high, kinds.get(r.rung, "trained encoder")
        )
        for r in results
        if r.rung != "majority"
    ]
    title = f"Good or bad? {results[0].train_records:,} reviews to learn from"
    figure = plots.scatter_cost(
        points, xlabel="CPU time (s)", ylabel="Accuracy (%)", title=title, percent=True, xlog=True
    )
    folder = FOLDER.parent / "figures"
    folder.mkdir(exist_ok=True)
    figure.save(folder / "ladder.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    hardware.use_threads()
    tier = tiers.named("cpu")
    split = records.load(tier.sentiment, seed=0)
    config = replace(LadderConfig(), precision=options.precision)
    task = Task(split.train, split.test, Encoder.load(tier.encoder, tier.max_length), config)
    folder = Path("build/record")
    results = climb(task, None, folder / "all", show)
    curve = []
    for size in [*(budget for budget in BUDGETS if budget < len(task.train))]:
        curve += climb(task.sample(size), CURVE, folder / str(size), show)
    curve += [result for result in results if result.rung in CURVE]
    facts = about(
        f"python tests/benchmarks/record_ladder.py --precision {options.precision}",
        seed=config.seed,
        data="the course's reviews",
        precision=task.precision,
        train_records=len(task.train),
        test_records=len(task.test),
        dropped={"exact": split.exact, "near": split.near},
        settings=asdict(config) | {"learning_rate": task.learning_rate, "max_length": tier.max_length},
    )
    recording = {
        "recorded": facts,
        "classes": list(task.test.classes),
        "truth": list(task.test.labels),
        "results": [asdict(result) for result in results],
        "label_curve": [{"labels": result.train_records, **asdict(result)} for result in curve],
    }
    write("ladder_reviews.json", recording)
    draw(results)


if __name__ == "__main__":
    main()
