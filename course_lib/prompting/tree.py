"""Search instead of one go: propose several next steps, judge where they lead, go on from the best (Yao et al. 2023).

    kept = [nothing written yet]
    for each step:   proposals = next steps from every kept state
                     kept = the best ``width`` of the states they lead to

What a step may be, and how good a state looks, belongs to the problem (`puzzle.State`), not to the search. A model
proposes in one of two ways: it *writes* steps, and those that are not allowed are thrown away; or it *chooses*, by
likelihood, among all that are allowed, where there are few enough to list, which suits models that write too many wrong
ones. The price is the tokens of all that was proposed, and every state sends the whole prompt again.

`best_of` is what a search must beat: whole solutions, sampled for the same price, each of them checked. Left out: going
back to states that were dropped (best-first, Monte Carlo), and models that judge states in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from course_lib.errors import CourseError
from course_lib.generate import Decoding
from course_lib.prompting import puzzle
from course_lib.prompting.answer import Answer, Examples, Record, Shown, build, settle
from course_lib.prompts import Template

if TYPE_CHECKING:
    from course_lib.generate import Writer

STEP_TOKENS = 20
VALUES = ("distance", "likelihood")
PROPOSALS = ("write", "choose")


class Thought(Protocol):
    """A state of a solution, as `puzzle.State` is one."""

    @property
    def finished(self) -> bool:
        """No step can follow."""

    @property
    def solved(self) -> bool:
        """It is a solution."""

    @property
    def written(self) -> str:
        """Its steps so far, as text."""

    @property
    def distance(self) -> float:
        """How far it is from a solution; 0 is one."""

    @property
    def options(self) -> Sequence[str]:
        """The steps that are allowed next, as text."""

    @property
    def place(self) -> Hashable:
        """Equal for states with the same future."""

    def take(self, text: str) -> Thought | None:
        """The state after a step; None if it is not allowed."""


@dataclass
class _Search:
    """One record's search: the kept states with the log-probability of their steps, and what it has cost."""

    shown: Shown
    kept: list[tuple[Thought, float]]
    best: Thought
    tokens_in: int = 0
    tokens_out: int = 0
    calls: int = 0
    legal: int = 0
    levels: list[list[str]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return bool(self.kept) and not self.best.solved and not all(state.finished for state, _ in self.kept)


Asked = tuple[_Search, Thought, float]


def tree_of_thoughts(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    start: Callable[[Record], Thought] = puzzle.start,
    width: int = 4,
    tries: int = 8,
    temperature: float = 1.0,
    propose: str = "write",
    value: str = "distance",
) -> list[Answer]:
    """Search for a solution of each record, at most ``width`` states kept and ``tries`` proposals from each.

    ``propose``: "write" samples steps at ``temperature``, "choose" takes the likeliest of the allowed ones. ``value``
    says which states are kept: "distance" takes the problem's own measure, "likelihood" the model's probability of the
    steps. The answer's text are the steps of the solution, or of the best try. ``detail``: ``solved``, ``levels`` (the
    states kept after each step), ``legal`` (the share of proposals that were allowed; 1 where they were chosen).

    Raises CourseError for a width, tries or temperature that would search nothing, for another ``value`` or
    ``propose``.
    """
    if width < 1 or tries < 1 or temperature <= 0:
        raise CourseError(f"A search needs width and tries of 1 or more and a temperature above 0: {width=}, {tries=}.")
    for name, given, known in (("value", value, VALUES), ("propose", propose, PROPOSALS)):
        if given not in known:
            raise CourseError(f"{name} must be one of {', '.join(known)}, not {given!r}.")
    base = settle(template, decoding)
    chosen = replace(base, n=tries, temperature=temperature, stop=(".", "\n"), max_new=min(STEP_TOKENS, base.max_new))
    shown = build(writer, template, records, examples, base.max_new)
    states = [start(record) for record in records]
    searches = [_Search(one, [(state, 0.0)], state) for one, state in zip(shown, states, strict=True)]
    while going := [search for search in searches if search.open]:
        asked = [(search, state, score) for search in going for state, score in search.kept if not state.finished]
        reached = _written(writer, asked, chosen) if propose == "write" else _selected(writer, asked, tries)
        found: dict[int, dict[Thought, float]] = {id(search): {} for search in going}
        for (search, _, _), states_after in zip(asked, reached, strict=True):
            found[id(search)] |= states_after
        for search in going:
            _keep(search, found[id(search)], width, value)
    return [_answer(search) for search in searches]


def best_of(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    start: Callable[[Record], Thought] = puzzle.start,
    n: int = 16,
    temperature: float = 1.0,
) -> list[Answer]:
    """``n`` whole solutions of each record, sampled; the first that is right, or the first of all.

    Raises CourseError when n is below 1 or the temperature not above 0.
    """
    if n < 1 or temperature <= 0:
        raise CourseError(f"Sampling needs n of 1 or more and a temperature above 0, not n={n}, {temperature=}.")
    chosen = replace(settle(template, decoding), n=n, temperature=temperature)
    shown = build(writer, template, records, examples, chosen.max_new)
    written = writer.generate([one.text for one in shown], chosen)
    answers = []
    for record, one, samples in zip(records, shown, written, strict=True):
        texts = [template.read(sample.text) for sample in samples]
        right = [text for text in texts if _solved(start(record), text)]
        out = sum(len(sample.ids) for sample in samples)
        detail = {"examples": one.examples, "solved": bool(right), "right": len(right)}
        answers.append(Answer((right or texts)[0], samples[0].text, samples[0].prompt_tokens, out, n, detail))
    return answers


def _written(writer: Writer, asked: Sequence[Asked], decoding: Decoding) -> list[dict[Thought, float]]:
    """Where the steps lead that the model writes after each state, with the log-probability of all steps so far."""
    written = writer.generate([search.shown.text + state.written for search, state, _ in asked], decoding)
    found = []
    for (search, state, score), samples in zip(asked, written, strict=True):
        search.tokens_in += samples[0].prompt_tokens
        search.tokens_out += sum(len(sample.ids) for sample in samples)
        search.calls += len(samples)
        reached: dict[Thought, float] = {}
        for sample in samples:
            after = state.take(sample.text)
            if after is not None:
                search.legal += 1
                reached[after] = max(reached.get(after, -math.inf), score + sum(sample.logprobs))
        found.append(reached)
    return found


def _selected(writer: Writer, asked: Sequence[Asked], tries: int) -> list[dict[Thought, float]]:
    """Where the ``tries`` allowed steps lead that the model finds the likeliest after each state."""
    prompts = [search.shown.text + state.written for search, state, _ in asked]
    pairs = [(prompt, one) for prompt, (_, state, _) in zip(prompts, asked, strict=True) for one in state.options]
    scores = iter(writer.scores(pairs))
    found = []
    for prompt, (search, state, score) in zip(prompts, asked, strict=True):
        scored = [(next(scores), one) for one in state.options]
        search.tokens_in += writer.tokens(prompt) + sum(writer.tokens(one) - writer.tokens("") for one in state.options)
        search.calls += len(scored)
        search.legal += len(scored)
        best = sorted(scored, key=lambda pair: -pair[0])[:tries]
        steps = ((state.take(one), score + likely) for likely, one in best)
        found.append({after: total for after, total in steps if after is not None})
    return found


def _keep(search: _Search, reached: dict[Thought, float], width: int, value: str) -> None:
    """Keep the best states, one of those that have the same future, and remember the best solution so far."""

    def worth(pair: tuple[Thought, float]) -> float:
        return -pair[0].distance if value == "distance" else pair[1]

    ranked = sorted(reached.items(), key=worth, reverse=True)
    apart: dict[Hashable, tuple[Thought, float]] = {}
    for state, score in ranked:
        apart.setdefault(state.place, (state, score))
    search.kept = list(apart.values())[:width]
    # A state that solves the puzzle is seen when it is reached, whatever it is worth.
    best = next((state for state, _ in ranked if state.solved), ranked[0][0] if ranked else search.best)
    search.best = best
    search.levels.append([state.written.strip() for state, _ in search.kept])


def _answer(search: _Search) -> Answer:
    text = search.best.written.strip()
    detail = {
        "examples": search.shown.examples,
        "solved": search.best.solved,
        "levels": search.levels,
        "legal": search.legal / max(1, search.calls),
    }
    return Answer(text, text, search.tokens_in, search.tokens_out, search.calls, detail)


def _solved(state: Thought, written: str) -> bool:
    """Whether the steps of a text lead from ``state`` to a solution."""
    for text in filter(None, (part.strip() for part in written.split("."))):
        after = state.take(text)
        if after is None:
            return False
        state = after
    return state.solved
