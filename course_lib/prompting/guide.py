"""Prompt, retrieve or tune; buy or build: what to try first, and why.

The questions come in the order in which they decide. What rules a way out comes before what it costs, and every way
begins with a test set: without one there is no telling whether the next way is better. What is missing tells the way:

    the model does not know the facts                 retrieval: training teaches form sooner than facts
    it knows, but does not answer in the form asked    a better prompt, examples, then fine-tuning
    it cannot do the task with any prompt              fine-tuning, or a larger model
    it can, but the prompt costs too much              fine-tuning, when the volume pays for it (`cost.break_even`)

Left out: training a model from scratch, which answers none of these questions.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Situation:
    """What is known about a task. Counts are whole numbers; ``answers_per_month`` and ``pays_from`` (the break-even of
    fine-tuning, answers per month) are numbers of answers."""

    needs_facts: bool = False  # answers are in documents that the model has not read
    facts_change: bool = False  # more often than one could train
    labels: int = 0  # checked examples at hand
    form_matters: bool = False  # a fixed form, tone or set of labels
    prompts_suffice: bool = True  # measured: the best prompt is good enough
    answers_per_month: float = 1_000
    pays_from: float = 100_000
    data_must_stay: bool = False  # nothing may leave one's own machines

    def __post_init__(self) -> None:
        if self.labels < 0 or self.answers_per_month < 0 or self.pays_from < 0:
            raise CourseError("Labels and answers are counted: give 0 or more.")


@dataclass(frozen=True)
class Advice:
    """``steps`` in the order to try them, each a pair of a way and the reason; ``host`` is "own" or "any"."""

    steps: tuple[tuple[str, str], ...]
    host: str

    def __str__(self) -> str:
        lines = [f"{number}. {way}: {why}" for number, (way, why) in enumerate(self.steps, start=1)]
        place = "Only a model on your own machines will do." if self.host == "own" else "Hosted or your own: by price."
        return "\n".join([*lines, place])


ENOUGH_LABELS = 100  # fewer are better shown in the prompt, and needed for testing


def advise(situation: Situation) -> Advice:
    """What to try, in order."""
    s = situation
    steps = [("test set", "put aside some 200 checked answers; every later step is judged by them")]
    if s.needs_facts:
        why = "the answers stand in documents that the model has not read"
        steps.append(("retrieval", why + (", and they change faster than one could train" if s.facts_change else "")))
    steps.append(("prompt with examples", "the cheapest to try, and the examples can be used again for training"))
    worth = s.answers_per_month >= s.pays_from
    if not s.prompts_suffice or worth or s.form_matters:
        why = (
            "no prompt is good enough" if not s.prompts_suffice
            else "at this volume shorter prompts pay for the training" if worth
            else "a fixed form is what training teaches best, if examples do not get it"
        )  # fmt: skip
        if s.labels < ENOUGH_LABELS:
            steps.append(("label more", f"{s.labels} labels are few to train on: collect at least {ENOUGH_LABELS}"))
        steps.append(("fine-tuning", why))
    return Advice(tuple(steps), "own" if s.data_must_stay else "any")
