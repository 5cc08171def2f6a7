"""`course ladder` and `course predict`: lesson 03 on anybody's data."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, TierName, command, say
from course_lib.errors import CourseError

if TYPE_CHECKING:
    from course_lib.classify import RungResult, Task
    from course_lib.records import Split
    from course_lib.tiers import Tier


def option(help: str, **more: Any) -> Any:
    """An option without a default worth printing."""
    return typer.Option(help=help, show_default=False, **more)


@command("course ladder --data mine.csv --text review --label rating --rungs tfidf,head --out build/mine")
def ladder(
    data: Annotated[
        str | None, option("CSV, JSONL or parquet file, or a data set's name; by default the tier's.")
    ] = None,
    text: Annotated[str | None, option("The column with the texts.")] = None,
    label: Annotated[str | None, option("The column with the classes.")] = None,
    encoder: Annotated[str | None, option("minilm, distilbert, a folder or a hub id; by default the tier's.")] = None,
    rungs: Annotated[str | None, option("Only these rungs, separated by commas, for example tfidf,head,lora.")] = None,
    max_train: Annotated[int | None, option("At most this many training records.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Decides the split, the samples and every new weight.", min=0)] = 0,
    out: Annotated[
        Path | None, option("Where results and the best model go; the same command continues there.")
    ] = None,
    tier: TierName = None,
    as_json: AsJson = False,
) -> int:
    """Climb the ladder of classifiers: from the most frequent class to fine-tuning, each with its accuracy and cost."""
    from course_lib import tiers

    size = tiers.named(tier) if tier else tiers.current()
    wanted = Wanted(data or size.sentiment, text, label, encoder or size.encoder, max_train, seed, size.name)
    folder = out or wanted.folder
    split = _records(size, wanted)
    _announce(split)
    try:
        results = _climb(_task(size, split, wanted), rungs, folder)
    except KeyboardInterrupt:
        finished = len(list((folder / "rungs").glob("*.json")))
        kept = f"{finished} finished rung{'s' * (finished != 1)} saved in {folder}"
        raise KeyboardInterrupt(f"Interrupted; {kept}, where the same command continues.") from None
    if as_json:
        show.print_json(_summary(split, results, folder))
        return 0
    show.ladder_table(results, f"{split.train.name}: {len(split.train)} training and {len(split.test)} test records")
    print(f'The best model is in {folder / "model"}; try: course predict --model {folder / "model"} "your text"')
    return 0


@dataclass(frozen=True)
class Wanted:
    """What a climb is about: two command lines that agree on it share a folder."""

    data: str
    text: str | None
    label: str | None
    encoder: str
    max_train: int | None
    seed: int
    tier: str

    @property
    def folder(self) -> Path:
        """Where results go unless told otherwise."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:8]
        return Path("build") / "ladder" / f"{Path(self.data).stem}-{digest}"


def _records(size: Tier, wanted: Wanted) -> Split:
    """The records: a named data set as large as the tier wants it, one's own file whole unless told otherwise."""
    from course_lib import hub, records

    named = wanted.data in hub.DATA
    return records.load(
        wanted.data,
        wanted.text,
        wanted.label,
        train_size=wanted.max_train or (size.train_size if named else None),
        test_size=size.test_size if named else None,
        seed=wanted.seed,
    )


def _announce(split: Split) -> None:
    classes = ", ".join(f"{name} {count}" for name, count in split.train.counts().items())
    copies = split.exact + split.near
    say(f"{split.train.name}: {len(split.train)} training records ({classes}), {len(split.test)} test records", 0)
    if copies:
        say(
            f"{split.exact} exact and {split.near} near copies of test records were left out of the training records", 0
        )


def _task(size: Tier, split: Split, wanted: Wanted) -> Task:
    from course_lib import hardware
    from course_lib.classify import Encoder, LadderConfig, Task

    hardware.use_threads()
    encoder = Encoder.load(wanted.encoder, size.max_length)
    return Task(split.train, split.test, encoder, LadderConfig.for_tier(size, seed=wanted.seed))


def _climb(task: Task, rungs: str | None, folder: Path) -> list[RungResult]:
    """Climb, with a line on standard error for each rung when it is done."""
    from course_lib.classify import climb, select

    names = [name.strip() for name in rungs.split(",") if name.strip()] if rungs else None
    titles = [rung.title for rung in select(task.encoder.depth, names)]
    done: list[RungResult] = []

    def report(result: RungResult) -> None:
        done.append(result)
        say(f"{len(done):>3}/{len(titles)}  {show.rung_line(result)}", 0)
        announce_next()

    def announce_next() -> None:
        if len(done) < len(titles) and sys.stderr.isatty():  # overwritten by the rung's own progress, then by its line
            print(f"     {titles[len(done)]} ...", end="\r", file=sys.stderr, flush=True)

    announce_next()
    try:
        return climb(task, names, folder, report)
    except OSError as error:
        if error.errno is None:
            raise
        raise CourseError(
            f"The ladder could not go on: {os.strerror(error.errno)} ({error.filename or folder})."
        ) from error


def _summary(split: Split, results: list[RungResult], folder: Path) -> dict[str, Any]:
    best = max(results, key=lambda result: (result.accuracy, -result.cpu_seconds))
    return {
        "data": split.train.name,
        "classes": list(split.train.classes),
        "train_records": len(split.train),
        "test_records": len(split.test),
        "dropped_copies": {"exact": split.exact, "near": split.near},
        "rungs": [result.row() for result in results],
        "best": best.rung,
        "model": str(folder / "model"),
        "out": str(folder),
    }


@command('course predict --model build/mine/model "It broke on the second day."')
def predict(
    texts: Annotated[
        list[str], typer.Argument(help="Texts to classify; - reads one text per line from standard input.")
    ],
    model: Annotated[Path, option("The folder of a model, as `course ladder` leaves it.")],
    as_json: AsJson = False,
) -> int:
    """Classify texts with the best model of a ladder."""
    from course_lib.classify import load_predictor

    if texts == ["-"]:
        texts = sys.stdin.read().splitlines()
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise CourseError("There is no text to classify: give one, or - and lines on standard input.")
    found = list(zip(texts, load_predictor(model).predict(texts), strict=True))
    if as_json:
        show.print_json([{"text": text, "label": p.label, "probability": p.probability} for text, p in found])
        return 0
    width = max(len(prediction.label) for _, prediction in found)
    for text, prediction in found:
        print(f"{prediction.label:<{width}}  {prediction.probability:6.1%}  {text}")
    return 0
