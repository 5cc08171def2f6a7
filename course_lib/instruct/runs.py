"""An experiment in a line: a fresh model, examples in, an assistant out that can be asked and scored.

    tuned = train_on("course-base", records, epochs=2)
    report(tuned.assistant, tests).macro().score

What a record is here: a dictionary with ``instruction``, perhaps ``input`` and ``system``, and ``output``, as
`course_lib.world.instructions` makes them; a `Conversation` will do as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from course_lib import hardware, train
from course_lib.batching import Item
from course_lib.errors import CourseError
from course_lib.instruct import examples, models
from course_lib.instruct.asking import Asked
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.models import Learner
from course_lib.instruct.settings import Tuning
from course_lib.instruct.tune import tune
from course_lib.metrics.report import TaskReport
from course_lib.records.conversations import Conversation
from course_lib.records.exchange import load_conversations

Record = Mapping[str, Any]
LONGEST = 1200  # characters of an example of people's that an experiment uses
OWN = ("instruction", "input", "output", "system")  # what becomes messages; everything else of a record is a field


@dataclass(frozen=True)
class Tuned:
    """A model after training: to be asked, to be trained further, and what happened."""

    assistant: Assistant
    learner: Learner
    history: train.History
    seconds: float
    tokens: int  # read in all epochs together


def load_records(
    name: str, train: int, test: int, kinds: Sequence[str] | None = None, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records to learn from and to test on: of "world" (``kinds`` of its tasks), or of a data set or file.

    People's instructions do not say how to be scored; ROUGE-L stands in for a judgement. Those of more than `LONGEST`
    characters, their answer included, are left out: with a few of them in every prompt a batch would fill a GPU.
    """
    if name == "world":
        from course_lib.world import instructions
        from course_lib.world.place import Place

        return tuple(  # type: ignore[return-value]
            instructions.mixture(Place.build(split=part), Random(f"{part} {seed}"), n, kinds)
            for part, n in (("train", train), ("test", test))
        )
    whole, apart = ([one for one in load_conversations(name, part) if _short(one)] for part in ("train", "test"))
    found = examples.hold_out(whole, apart or None, most=test, seed=seed)
    return tuple([_told(one) for one in part] for part in (found.train[:train], found.test[:test]))  # type: ignore[return-value]


def _short(one: Conversation) -> bool:
    return sum(len(message.content) for message in one.messages) <= LONGEST


def _told(one: Conversation) -> dict[str, Any]:
    """A conversation of one question as a record."""
    scored = {"task": "instructions", "metric": "rouge"}
    return {**scored, **one.fields, "instruction": one.messages[-2].content, "input": "", "output": one.reply}


def conversation(record: Record | Conversation) -> Conversation:
    """A record as a conversation of one question and its answer, with what else it has in the fields."""
    if isinstance(record, Conversation):
        return record
    made = Conversation.of(*(str(record.get(name, "")) for name in OWN))
    return replace(made, fields={**made.fields, **{k: v for k, v in record.items() if k not in OWN}})


def train_on(
    model: str | Learner,
    records: Sequence[Record | Conversation] | Sequence[Item],
    tuning: Tuning | None = None,
    *,
    title: str = "tuning",
    progress: bool | None = None,
    **settings: Any,
) -> Tuned:
    """Tune a fresh copy of a model, or go on with a learner, on records (or on items: ids and which of them count).

    ``settings`` are those of `Tuning`; a learner keeps its own where nothing else is said. Raises CourseError where
    `models.load` or `tune` do, and for a learner that was loaded for another method.
    """
    if isinstance(model, Learner):
        tuning = replace(tuning or model.tuning, **settings)
        if tuning.method != model.tuning.method:
            raise CourseError(
                f"This learner was loaded for {model.tuning.method}, not {tuning.method}: give the model's name."
            )
        learner = replace(model, tuning=tuning.settled(hardware.detect(), model.parameters[0]))
    else:
        learner = models.load(model, replace(tuning or Tuning(method="full"), **settings))
    if records and isinstance(records[0], tuple):
        items: list[Item] = list(records)  # type: ignore[arg-type]
    else:
        items, _ = examples.items(learner.chat, [conversation(one) for one in records], learner.limit)  # type: ignore[arg-type]
    with hardware.Meter() as meter:
        history = tune(learner, items, title=title, progress=progress)
    tokens = learner.tuning.epochs * sum(len(ids) for ids, _ in items)
    return Tuned(
        Assistant(learner.model, learner.tokenizer, learner.chat), learner, history, meter.wall_seconds, tokens
    )


def report(assistant: Asked, records: Sequence[Record | Conversation], name: str = "", max_new: int = 80) -> TaskReport:
    """Scores of the assistant's answers, by each record's own metric."""
    return examples.evaluate(assistant, [conversation(one) for one in records], name, max_new)


def scored(records: Sequence[Record | Conversation], answers: Sequence[str], name: str = "") -> TaskReport:
    """Scores of answers that are there already."""
    return examples.scored([conversation(one) for one in records], answers, name)
