"""Training a model to propose tasks, and asking it to.

A tuned model answers instructions; nothing taught it to write some. So part of its training data is about the other
direction: the instruction names a kind, the answer is a task of that kind. `meta_records` makes such records from
ordinary ones, `propose` asks the trained model for new tasks, `read_task` reads what it wrote:

    Write a task of the kind headline.    ->    Instruction: Give the review a headline.
                                                Input: The soup was cold and the waiter was gone.

A large model needs no such training: with ``examples`` it is shown some tasks of the kind in the prompt, as in the
paper (`selfinstruct`).
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from course_lib.errors import CourseError
from course_lib.instruct.asking import Asked, Messages, Record, messages, parts
from course_lib.records.duplicates import folded

META = "propose"  # the name of the task of proposing tasks
ORDER = "Write a task of the kind {kind}."
SHOWN = "Here are some tasks of the kind {kind}.\n\n{examples}\n\nWrite another one in the same form."
_INSTRUCTION, _INPUT = "Instruction: ", "\nInput: "
_ROUNDS = 100_000  # seeds of one call lie apart from those of the next


@dataclass(frozen=True)
class Candidate:
    """A proposed task: the ``kind`` asked for, what was ``written``, and what could be read of it ("" if nothing).

    output: the model's own answer. votes: how many of its sampled answers are equal to that one.
    """

    kind: str
    written: str
    instruction: str = ""
    input: str = ""
    output: str = ""
    votes: int = 0

    @property
    def record(self) -> dict[str, str]:
        """The candidate as a record."""
        return {"task": self.kind, "instruction": self.instruction, "input": self.input, "output": self.output}


def written_task(record: Record) -> str:
    """A record's instruction and input in the form in which tasks are proposed."""
    instruction, given = (part.strip() for part in parts(record))
    return _INSTRUCTION + instruction + (_INPUT + given if given else "")


def read_task(text: str) -> tuple[str, str] | None:
    """Instruction and input ("" if there is none) of a written task, None when it is not in that form.

    >>> read_task("Instruction: Name the odd one out.\\nInput: fig, plum, spoon")
    ('Name the odd one out.', 'fig, plum, spoon')
    """
    found, _, rest = text.strip().partition(_INSTRUCTION.strip())
    instruction, _, given = rest.partition(_INPUT.rstrip())
    if found or not instruction.strip() or _INPUT.rstrip() in given:
        return None
    return instruction.strip(), given.strip()


def meta_records(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A record of the task of proposing for each of these: "write a task of its kind" -> its instruction and input.

    Records whose text would not be read back as it was (they contain the marks of the form) are left out. Raises
    CourseError for a record without a ``task``, which names its kind.
    """
    made = []
    for record in records:
        text = written_task(record)
        if read_task(text) == tuple(part.strip() for part in parts(record)):
            made.append({"task": META, "instruction": ORDER.format(kind=_kind(record)), "input": "", "output": text})
    return made


def propose(
    assistant: Asked,
    seeds: Sequence[Record],
    n: int,
    *,
    examples: int = 0,
    temperature: float = 0.7,
    top_p: float = 0.9,
    max_new: int = 160,
    seed: int = 0,
    batch_size: int = 32,
) -> list[Candidate]:
    """``n`` tasks that the assistant proposes, of the seeds' kinds in turn; with ``examples``, that many seeds of the
    kind, drawn anew each time, are shown in the prompt.

    Raises CourseError without seeds, and at a temperature of 0, which would propose the same again and again.
    """
    if not seeds or n < 1:
        raise CourseError("Proposing needs some seed records, whose kinds are asked for, and n of at least 1.")
    if temperature <= 0:
        raise CourseError("At a temperature of 0 a model proposes the same task every time: set one above 0.")
    kinds: dict[str, list[Record]] = defaultdict(list)
    for record in seeds:
        kinds[_kind(record)].append(record)
    wanted = list(itertools.islice(itertools.cycle(kinds), n))
    dice = random.Random(seed)
    orders = [_order(kind, dice.sample(kinds[kind], min(examples, len(kinds[kind])))) for kind in wanted]
    prompts = [messages({"instruction": order}) for order in orders]
    how = {"max_new": max_new, "temperature": temperature, "top_p": top_p, "batch_size": batch_size}
    written = sample(assistant, prompts, seed=seed, **how)
    return [Candidate(kind, text, *(read_task(text) or ())) for kind, text in zip(wanted, written, strict=True)]


def answered(
    assistant: Asked,
    candidates: Sequence[Candidate],
    *,
    samples: int = 5,
    temperature: float = 0.7,
    max_new: int = 64,
    seed: int = 0,
    batch_size: int = 32,
) -> list[Candidate]:
    """The candidates that could be read with the assistant's answer, and how many of ``samples`` draws repeat it."""
    ready = [k for k, candidate in enumerate(candidates) if candidate.instruction]
    prompts = [messages(candidates[k].record) for k in ready]
    best = assistant.answer(prompts, max_new=max_new, batch_size=batch_size) if prompts else []
    how = {"max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    drawn = sample(assistant, prompts * samples, seed=seed, **how)
    found = list(candidates)
    for row, (k, output) in enumerate(zip(ready, best, strict=True)):
        same = [folded(text) == folded(output) for text in drawn[row :: len(ready)]]
        found[k] = replace(candidates[k], output=output.strip(), votes=sum(same))
    return found


def sample(assistant: Asked, prompts: Sequence[Messages], *, seed: int, **how: Any) -> list[str]:
    """An answer drawn for each prompt (``how``: the options of `Asked.answer`). An assistant gives the same prompt with
    the same seed the same answer, so those that come k times are asked in k rounds, each with a seed of its own."""
    before: Counter[str] = Counter()
    rounds: dict[int, list[int]] = defaultdict(list)
    for k, prompt in enumerate(prompts):
        text = repr(prompt)
        rounds[before[text]].append(k)
        before[text] += 1
    answers = [""] * len(prompts)
    for number, places in rounds.items():
        some = assistant.answer([prompts[k] for k in places], seed=seed * _ROUNDS + number, **how)
        for k, text in zip(places, some, strict=True):
            answers[k] = text
    return answers


def _order(kind: str, shown: Sequence[Record]) -> str:
    if not shown:
        return ORDER.format(kind=kind)
    return SHOWN.format(kind=kind, examples="\n\n".join(map(written_task, shown)))


def _kind(record: Record) -> str:
    kind = str(record.get("task") or "").strip()
    if not kind:
        raise CourseError("A record needs a task to be proposed from, which names its kind: add the field task.")
    return kind
