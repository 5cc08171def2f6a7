"""From a file of examples to a model that answers, with everything that saves people from the usual mistakes.

    read, check      a test part is cut off, its copies are dropped
    plan             memory by the model's configuration, before its weights are fetched; refused where it cannot fit
    ask before       the untuned model on the test part: without it nobody knows what training bought
    tune             `tune.tune`, with checkpoints; a killed run continues to the same bits
    ask after        the same questions
    save             the model or the adapter, its tokenizer with the chat template, a card, the figures

A run lives in a folder: ``run.json`` (what it is), ``checkpoints``, ``before.json``, at the end ``model`` and
``report.json``. Whatever is there already is not done again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from course_lib import checkpoint, hardware, hub, train
from course_lib.errors import CourseError
from course_lib.instruct import card, examples, models, settings
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.examples import Examples
from course_lib.instruct.models import Learner
from course_lib.instruct.settings import Tuning
from course_lib.instruct.tune import held_out_loss, seconds_ahead, tune
from course_lib.memory import gpus, report
from course_lib.memory.plan import plan as planned
from course_lib.memory.subject import subject
from course_lib.metrics.report import TaskReport
from course_lib.records.exchange import load_conversations
from course_lib.records.inspection import KINDS, inspect

CHARACTERS = 4  # in a token of English, roughly: only for the plan before there is a tokenizer
RUN = "run.json"
MARKS = 8  # tokens that a chat template adds to each message, roughly

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A run from a file to a model. ``data`` and ``test`` are files, short names or hub ids; ``items`` of the test part
    are answered before and after (0: none); ``max_train`` limits what is learned from (0: no limit)."""

    data: str
    model: str
    out: Path
    tuning: Tuning = field(default_factory=Tuning)
    test: str | None = None
    test_share: float = 0.1
    items: int = 100
    max_train: int = 0
    format: str | None = None
    columns: dict[str, str] | None = None
    save_every: int = 0  # steps between checkpoints; 0: one after each epoch
    memory: str = "check"  # or "ignore"

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out).expanduser())


@dataclass(frozen=True)
class Done:
    """A finished run: where its model lies, and its figures as ``report.json`` has them."""

    folder: Path
    report: dict[str, Any]


def finetune(job: Job, resume: bool = False, say: Say = lambda sentence: None, progress: bool | None = None) -> Done:
    """Run a job; with ``resume`` go on with the run that is in ``job.out``.

    Raises CourseError for data that cannot be used, a run that cannot fit, and a folder that holds another run.
    """
    data = read(job)
    say(
        f"{len(data.train)} examples to learn from, {len(data.test)} to test on"
        + (f"; {data.copies} copies of test examples left out" if data.copies else "")
        + (f"; {data.silent} without an answer left out" if data.silent else "")
    )
    if findings := inspect(data.train).counts():
        said = ", ".join(f"{count} {KINDS[kind].title}" for kind, count in findings.items())
        say(f"Among the examples: {said}; `course data check` names them.")
    _look_for_another_run(job, data, resume)
    finished = job.out / "report.json"
    if finished.is_file():
        say(f"This run is finished: its model is in {job.out / 'model'}.")
        return Done(job.out / "model", _read(finished))
    if job.memory == "check":
        plan(job, data, say)
    learner = models.load(job.model, job.tuning)
    for problem in learner.chat.problems(learner.model.get_input_embeddings().num_embeddings):
        say(f"Note: {problem}")
    return _run(job, data, learner, say, progress)


def read(job: Job) -> Examples:
    """The job's examples, split into those to learn from and those to test on."""
    whole = load_conversations(job.data, "train", job.format, columns=job.columns)
    test = load_conversations(job.test or job.data, "train" if job.test else "test", job.format, columns=job.columns)
    silent = sum(not one.reply.strip() for one in [*whole, *test])
    whole, test = ([one for one in part if one.reply.strip()] for part in (whole, test))
    found = examples.hold_out(whole, test or None, job.test_share, seed=job.tuning.seed)
    most = job.max_train or len(found.train)
    return Examples(found.train[:most], found.test, found.copies, silent)


def plan(job: Job, data: Examples, say: Say) -> None:
    """Say what the configuration alone tells about memory. Raises CourseError, with advice, when it cannot fit.

    Lengths are guessed from characters here, on the low side; `train.fit` asks again, about the very batches.
    """
    what = replace(subject(str(hub.config_file(job.model))), name=job.model)
    machine = hardware.detect()
    tuning = job.tuning.settled(machine, what.parameters)
    guessed = max(sum(len(m.content) // CHARACTERS + MARKS for m in one.messages) for one in data.train)
    positions = what.architecture.positions or models.LONGEST
    length = max(1, min(guessed, tuning.max_length or models.LONGEST, positions))
    found = planned(what, settings.recipe(tuning, machine, length), gpu=gpus.this_machine())
    say(report.line(found))
    if not found.fits:
        advice = " ".join(one.text for one in found.advice) or "A smaller model is the only help."
        raise CourseError(f"{report.verdict(found)} {advice} --ignore-memory tries it as it is.")


def _run(job: Job, data: Examples, learner: Learner, say: Say, progress: bool | None) -> Done:
    learned, cut = examples.items(learner.chat, data.train, learner.limit)
    tested, _ = examples.items(learner.chat, data.test, learner.limit)
    if cut:
        say(f"{cut} examples have more than {learner.limit} tokens; they lost old turns or the middle of a question")
    _claim(job, data)
    whole, trainable = learner.parameters
    ahead = seconds_ahead(learner, learned)
    say(f"{whole:,} parameters, {trainable:,} of them learn; about {_time(ahead)} on this machine")
    before = _asked(job, data, learner, "before")
    with hardware.Meter() as meter:
        history = tune(
            learner,
            learned,
            save_to=job.out / "checkpoints",
            save_every=job.save_every,
            evaluate=lambda model: {"loss": held_out_loss(learner, tested)},
            progress=progress,
            memory=job.memory,
        )
    after = _asked(job, data, learner, "after")
    figures = {
        **_facts(job, data, learner, history),
        "tokens": {"train": sum(len(ids) for ids, _ in learned), "learned": sum(sum(learn) for _, learn in learned)},
        "seconds": {"predicted": ahead, "measured": meter.wall_seconds if not history.resumed_at else None},
        "before": before and before.to_json(),
        "after": after and after.to_json(),
    }
    save(learner, figures, before, after, job.out / "model")
    _write(job.out / "report.json", figures)
    say(f"The model is in {job.out / 'model'}, with its card in README.md.")
    return Done(job.out / "model", _read(job.out / "report.json"))


def _asked(job: Job, data: Examples, learner: Learner, name: str) -> TaskReport | None:
    """The scores on the test part; those from before training are kept, for a run that continues cannot repeat them."""
    if not job.items:
        return None
    file = job.out / f"{name}.json"
    if file.is_file():
        return TaskReport.from_json(_read(file))
    some = data.test[: job.items]
    assistant = Assistant(learner.model, learner.tokenizer, learner.chat)
    most = min(examples.longest_answer(learner.chat, some), learner.limit // 2)
    found = examples.evaluate(assistant, some, name, max_new=most)
    _write(file, found.to_json())
    return found


def save(
    learner: Learner, figures: dict[str, Any], before: TaskReport | None, after: TaskReport | None, folder: Path
) -> None:
    """Write the model (or its adapter), the tokenizer with its chat template, a card and ``finetune.json``.

    All of it under another name first, so that the folder is there entirely or not at all.
    """
    partial = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    with checkpoint.system_errors(folder):
        learner.save(partial)
    (partial / "README.md").write_text(card.text(figures, before, after), encoding="utf-8")
    _write(partial / "finetune.json", {"base": learner.name, "method": learner.tuning.method, **figures})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def _facts(job: Job, data: Examples, learner: Learner, history: train.History) -> dict[str, Any]:
    machine = hardware.detect()
    whole, trainable = learner.parameters
    return {
        "model": job.model,
        "data": job.data,
        "fingerprint": data.fingerprint,
        "examples": {"train": len(data.train), "test": len(data.test), "copies": data.copies},
        "tuning": asdict(learner.tuning),
        "learning_rate": learner.rate,
        "numbers": asdict(learner.numbers),
        "packing": learner.packing,
        "parameters": {"all": whole, "learned": trainable},
        "loss": history.loss,
        "held_out": history.evaluations,
        "resumed_at": history.resumed_at,
        "memory": {"predicted": history.predicted_peak, "measured": history.measured_peak},
        "hardware": {"device": machine.device_name, "cpu": machine.cpu, "cores": machine.cores},
        "versions": card.versions(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _look_for_another_run(job: Job, data: Examples, resume: bool) -> None:
    """Make sure that the folder is this run's: its own, or nobody's."""
    file = job.out / RUN
    try:
        if file.is_file():
            _compare(_described(job, data), _read(file), job.out, resume)
        elif job.out.is_dir() and any(path.name != f".{RUN}" for path in job.out.iterdir()):  # killed while writing it
            raise CourseError(f"{job.out} holds something else: name a folder that is empty or does not exist.")
        elif job.out.exists() and not job.out.is_dir():
            raise CourseError(f"{job.out} is a file: name a folder for the run.")
    except OSError as error:
        raise CourseError(f"{job.out} cannot be used ({error.strerror or error}): name another folder.") from error


def _claim(job: Job, data: Examples) -> None:
    """Write down whose folder it is, once nothing is left that may be refused: what is refused leaves no trace."""
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        _write(job.out / RUN, _described(job, data))
    except OSError as error:
        raise CourseError(f"{job.out} cannot be used ({error.strerror or error}): name another folder.") from error


def _described(job: Job, data: Examples) -> dict[str, Any]:
    """What makes a run this one."""
    tuning = json.loads(json.dumps(asdict(job.tuning)))
    return {"model": job.model, "data": data.fingerprint, "tuning": tuning, "items": job.items}


def _compare(mine: dict[str, Any], held: dict[str, Any], out: Path, resume: bool) -> None:
    if not resume:
        raise CourseError(f"{out} holds a run already: add --resume to go on with it, or name another folder.")
    settings_of = {**held.get("tuning", {}), **{k: v for k, v in held.items() if k != "tuning"}}
    for name, value in {**mine["tuning"], **{k: v for k, v in mine.items() if k != "tuning"}}.items():
        if settings_of.get(name) != value:
            said = "another" if name == "data" else f"{settings_of.get(name)!r}, not {value!r}"
            raise CourseError(
                f"The run in {out} was started with {name} {said}: repeat its command, or name another folder."
            )


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} seconds"
        if seconds < 90
        else f"{seconds / 60:.0f} minutes"
        if seconds < 5400
        else f"{seconds / 3600:.1f} hours"
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{file} cannot be read ({error}): delete it, or name another folder.") from error
    return found


def _write(file: Path, content: dict[str, Any]) -> None:
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, file)
