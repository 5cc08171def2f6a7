"""Self-instruct: a model proposes its own training data, filters reject most of what is wrong (Wang et al. 2023).

    seeds -> propose tasks -> answer them -> filters -> records to train on

People write few examples; a model writes many, and some are bad: not in the form, no task at all, a copy, a wrong
answer. The filters need no people either. In order:

    form        it could be read as a task
    length      neither a stub nor a ramble
    answer      something is said, and neither it nor the task is the same words again and again
    echo        the answer is not the input or the instruction
    agreement   enough of the answers drawn at a temperature are equal to the likeliest one: a model that knows an
                answer repeats it, one that guesses does not (Wang, Wei et al. 2023). Not in the paper
    new         no near copy of a seed, of a test record or of one accepted before: ROUGE-L below 0.7, as in the paper

What that is worth can be measured where answers can be checked: the yield of every filter, and the share of right
records before and after. Agreement is no proof: what the model is sure of and wrong about passes all filters.

Left out: the paper's guess whether a task is a classification, for which it writes the output before the input, and its
growing pool (here the seeds shown are people's only).

Sources: Y. Wang et al., "Self-Instruct: Aligning language models with self-generated instructions", 2023;
X. Wang, J. Wei et al., "Self-consistency improves chain of thought reasoning in language models", 2023.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError
from course_lib.instruct.asking import Asked, Record, Share, parts
from course_lib.instruct.proposals import Candidate, answered, propose
from course_lib.metrics.text import rouge_l
from course_lib.records.duplicates import folded

Check = Callable[[dict[str, Any]], bool | None]  # whether a record's answer is right; None: it cannot be checked

# One to four words, three times in a row: what a small model falls into.
_LOOP = re.compile(r"(?<!\S)(\S+(?:\s+\S+){0,3})(?:\s+\1){2}(?!\S)")


@dataclass(frozen=True)
class Recipe:
    """How tasks are proposed, answered and filtered.

    examples: seeds shown in the prompt (0: the model was trained on `proposals.meta_records`). temperature, top_p: of
    proposing; a small model needs low ones, or what it writes makes no sense. words: the least and the most of a task;
    answer_words: the most of its answer. samples, agree: answers drawn, and how many of them must be equal to the
    likeliest one. near: ROUGE-L from which on a task is a copy. seed: of all draws.

    Raises CourseError when more answers must agree than are drawn.
    """

    examples: int = 0
    temperature: float = 0.7
    top_p: float = 0.9
    max_new: int = 160
    words: tuple[int, int] = (3, 150)
    answer_words: int = 60
    answer_max_new: int = 64
    answer_temperature: float = 0.7
    samples: int = 5
    agree: int = 3
    near: float = 0.7
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.agree <= self.samples:
            raise CourseError(
                f"Of {self.samples} samples, {self.agree} cannot agree: give agree between 0 and samples."
            )


@dataclass(frozen=True)
class Step:
    """A filter: how many candidates are left behind it, how many it took from those that came, how many it alone would
    take from all that are in the form, and the share of right ones among those left (None: nothing to check)."""

    name: str
    left: int
    rejected: int
    alone: int
    right: Share | None


@dataclass(frozen=True)
class Yield:
    """What came of it: all candidates, the steps in order, and the accepted ``records``, ready for training."""

    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    records: tuple[dict[str, Any], ...]

    @property
    def share(self) -> Share | None:
        """The accepted part of all candidates."""
        return Share.of([1.0] * len(self.records) + [0.0] * (len(self.candidates) - len(self.records)))

    @property
    def before(self) -> Share | None:
        """The share of right ones among all that could be read as a task, before any other filter."""
        return self.steps[0].right

    @property
    def after(self) -> Share | None:
        """The share of right ones among the accepted."""
        return self.steps[-1].right

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a table: filter, left, rejected, alone, checked, right, low, high (None where nothing was checked).

        ``checked`` is how many of those left could be: a task that makes no sense has no right answer.
        """
        rows = []
        for step in (Step("proposed", len(self.candidates), 0, 0, None), *self.steps):
            known = step.right
            values = (known.n, known.value, known.low, known.high) if known else (0, None, None, None)
            counts = {"filter": step.name, "left": step.left, "rejected": step.rejected, "alone": step.alone}
            rows.append({**counts, **dict(zip(("checked", "right", "low", "high"), values, strict=True))})
        return rows

    def to_json(self) -> dict[str, Any]:
        """The table, the shares, and the accepted records."""
        shares = {"share": self.share, "before": self.before, "after": self.after}
        found = {name: share and share.to_json() for name, share in shares.items()}
        return {"n": len(self.candidates), **found, "steps": self.rows(), "records": list(self.records)}


def self_instruct(
    assistant: Asked,
    seeds: Sequence[Record],
    n: int,
    *,
    recipe: Recipe | None = None,
    check: Check | None = None,
    apart: Sequence[Record] = (),
) -> Yield:
    """Let the assistant propose ``n`` tasks of the seeds' kinds and answer them; filter, and count what is right.

    ``check`` says whether a record's answer is right, as far as that can be known; it filters nothing. Near copies of
    ``apart`` (the test records) are rejected like those of the seeds: a model can stumble on what it is tested with.
    """
    how = recipe or Recipe()
    candidates = propose(
        assistant,
        seeds,
        n,
        examples=how.examples,
        temperature=how.temperature,
        top_p=how.top_p,
        max_new=how.max_new,
        seed=how.seed,
        batch_size=how.batch_size,
    )
    candidates = answered(
        assistant,
        candidates,
        samples=how.samples,
        temperature=how.answer_temperature,
        max_new=how.answer_max_new,
        seed=how.seed,
        batch_size=how.batch_size,
    )
    return funnel(candidates, seeds, recipe=how, check=check, apart=apart)


def funnel(
    candidates: Sequence[Candidate],
    seeds: Sequence[Record],
    *,
    recipe: Recipe | None = None,
    check: Check | None = None,
    apart: Sequence[Record] = (),
) -> Yield:
    """Send candidates with their answers through the filters, in order and through each alone."""
    how = recipe or Recipe()
    metrics = {str(seed.get("task")): seed["metric"] for seed in reversed(seeds) if "metric" in seed}
    formed = [k for k, candidate in enumerate(candidates) if candidate.instruction]
    made = {k: _record(candidates[k], metrics) for k in formed}
    right = {k: check(dict(made[k])) if check else None for k in formed}

    def step(name: str, left: Sequence[int], came: int, alone: int) -> Step:
        known = [float(bool(right[k])) for k in left if right[k] is not None]
        return Step(name, len(left), came - len(left), alone, Share.of(known))

    steps = [step("form", formed, len(candidates), len(candidates) - len(formed))]
    left = formed
    for name, keep in _filters(candidates, [*seeds, *apart], how).items():
        came, alone = len(left), len(formed) - len(keep(formed))
        left = keep(left)
        steps.append(step(name, left, came, alone))
    return Yield(tuple(candidates), tuple(steps), tuple(made[k] for k in left))


def _record(candidate: Candidate, metrics: dict[str, Any]) -> dict[str, Any]:
    known = {"metric": metrics[candidate.kind]} if candidate.kind in metrics else {}
    return {**candidate.record, **known, "source": "self-instruct"}


# -- filters: from places of candidates to those that stay -----------------------------------------------------------

Keep = Callable[[Sequence[int]], list[int]]


def _filters(candidates: Sequence[Candidate], known: Sequence[Record], how: Recipe) -> dict[str, Keep]:
    def each(good: Callable[[Candidate], bool]) -> Keep:
        return lambda places: [k for k in places if good(candidates[k])]

    old = [_compared(*parts(record)) for record in known]
    mine = [_compared(one.instruction, one.input) for one in candidates]
    return {
        "length": each(lambda one: _long_enough(one, how)),
        "answer": each(lambda one: bool(one.output.strip()) and not any(map(_LOOP.search, (one.input, one.output)))),
        "echo": each(lambda one: folded(one.output) not in (folded(one.input), folded(one.instruction))),
        "agreement": each(lambda one: one.votes >= how.agree),
        "new": lambda places: [places[k] for k in new_ones([mine[k] for k in places], old, how.near)],
    }


def _long_enough(candidate: Candidate, how: Recipe) -> bool:
    asked = len(f"{candidate.instruction} {candidate.input}".split())
    return how.words[0] <= asked <= how.words[1] and len(candidate.output.split()) <= how.answer_words


def _compared(instruction: str, given: str) -> str:
    """What makes a task new: its input, where it has one. The paper compares instructions; here a kind has a handful
    of wordings, and by them everything would be a copy."""
    return given.strip() or instruction.strip()


def new_ones(texts: Sequence[str], old: Sequence[str], near: float = 0.7) -> list[int]:
    """Positions of the texts with a ROUGE-L below ``near`` to every text of ``old`` and to every earlier one kept."""
    known = list(dict.fromkeys(old))
    kept = []
    for place, text in enumerate(texts):
        if not any(rouge_l(text, one) >= near for one in known):
            known.append(text)
            kept.append(place)
    return kept
