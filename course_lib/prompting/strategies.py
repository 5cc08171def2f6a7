"""Ways to ask: nothing but the question, with examples, by likelihood, step by step, several times.

All have the signature that `answer` describes, so any two can be compared by exchanging one name.

    zero_shot           the record's prompt, as it is
    k_shot              behind k solved examples: the prompt shows what is wanted (Brown et al. 2020)
    choose              no text is written: the likeliest of the possible answers
    step_by_step        the steps first, then the answer, asked for again where it is missing (Wei et al. 2022;
                        Kojima et al. 2022)
    self_consistency    n different workings, and the answer most of them reach (Wang et al. 2023)

The search over steps is in `tree`, answers from a collection of texts are in `grounded`. Left out: prompts that write
prompts, and examples chosen for each question.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from course_lib.errors import CourseError
from course_lib.generate import Completion, Decoding
from course_lib.prompting.answer import Answer, Examples, Record, Shown, answers_of, build, plain, settle, shots
from course_lib.prompts import Template

if TYPE_CHECKING:
    from course_lib.generate import Writer

BLANK = "N/A"  # a question that asks nothing, for calibration


def zero_shot(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
) -> list[Answer]:
    """The prompt alone; ``examples`` are there for the signature and not shown."""
    return k_shot(writer, template, records, examples=(), decoding=decoding)


def k_shot(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    k: int | None = None,
) -> list[Answer]:
    """The prompt behind the first ``k`` examples (all of them by default), as far as they fit into the model."""
    chosen = settle(template, decoding)
    shown = build(writer, template, records, _first(examples, k), chosen.max_new)
    return answers_of(template, shown, writer.generate([one.text for one in shown], chosen))


def choose(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    k: int | None = None,
    how: str = "sum",
) -> list[Answer]:
    """The option that is the likeliest continuation; an answer in another form is impossible.

    ``how``: "sum" takes the log-probability of the whole option, which favours short ones; "mean" divides it by the
    option's tokens; "calibrated" subtracts what the option has after a question that asks nothing, which favours
    options that are common anyway (Zhao et al. 2021), and reads twice as much. ``detail`` has every option's score and
    the ``probabilities`` that follow. ``decoding`` is there for the signature.

    Raises CourseError for another ``how`` and when the template has no choices.
    """
    if how not in ("sum", "mean", "calibrated"):
        raise CourseError(f"how must be sum, mean or calibrated, not {how!r}.")
    continuations = [template.continuations(record) for record in records]
    sizes = {one: max(1, writer.tokens(one) - writer.tokens("")) for group in continuations for one in group}
    room, found = max(sizes.values(), default=0), _first(examples, k)
    shown = build(writer, template, records, found, room)
    scores = _scores(writer, [one.text for one in shown], continuations)
    blank: list[Shown] = []
    if how == "calibrated":
        blank = [_blank(writer, template, record, found, room) for record in records]
        bases = _scores(writer, [one.text for one in blank], continuations)
        scores = [[s - base for s, base in zip(*both, strict=True)] for both in zip(scores, bases, strict=True)]
    if how == "mean":
        scores = [
            [s / sizes[one] for s, one in zip(*both, strict=True)] for both in zip(scores, continuations, strict=True)
        ]
    answers = []
    for i, record in enumerate(records):
        sent = [one[i].text for one in (shown, blank) if one]
        read = sum(writer.tokens(text) + sum(sizes[one] for one in continuations[i]) for text in sent)
        answers.append(
            _chosen(template.options(record), continuations[i], scores[i], read, len(sent), shown[i].examples)
        )
    return answers


def step_by_step(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    k: int | None = None,
) -> list[Answer]:
    """Steps, then the answer behind ``template.answer_after``; where that is missing, what was written is given back
    with it and the model goes on from there.

    Raises CourseError when the template does not say what the answer stands behind.
    """
    if not template.answer_after:
        raise CourseError(f"The template {template.name!r} has no answer_after: name the word before the answer.")
    chosen = settle(template, decoding)
    shown = build(writer, template, records, _first(examples, k), chosen.max_new + 16)
    answers = answers_of(template, shown, writer.generate([one.text for one in shown], chosen))
    silent = [i for i, answer in enumerate(answers) if not answer.text]
    if silent:
        again = [f"{shown[i].text}{answers[i].written.rstrip()}\n{template.answer_after}" for i in silent]
        last = replace(chosen, max_new=min(12, chosen.max_new), stop=("\n", *template.stop), n=1)
        for i, done in zip(silent, writer.generate(again, last), strict=True):
            answers[i] = _longer(template, answers[i], done[0])
    return answers


def self_consistency(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    examples: Examples = (),
    decoding: Decoding | None = None,
    k: int | None = None,
    n: int = 8,
    temperature: float = 0.7,
) -> list[Answer]:
    """``n`` samples, and the answer that most of them end in; of equally frequent ones, the one that came first.

    Samples without an answer have no vote. ``detail``: ``votes`` by answer, ``agreement`` (the winner's share of all
    samples, which says how far to trust it). ``decoding`` may set top_k, top_p and the seed.

    Raises CourseError when there would be nothing to vote on: n below 1 or no temperature.
    """
    if n < 1 or temperature <= 0:
        raise CourseError(
            f"Voting needs n of 1 or more and a temperature above 0, not n={n}, temperature={temperature}."
        )
    chosen = replace(settle(template, decoding), n=n, temperature=temperature)
    shown = build(writer, template, records, _first(examples, k), chosen.max_new)
    written = writer.generate([one.text for one in shown], chosen)
    return [_vote(template, one.examples, done) for one, done in zip(shown, written, strict=True)]


def _scores(writer: Writer, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
    """The log-probabilities of each prompt's continuations, all computed in one call."""
    pairs = [(prompt, one) for prompt, group in zip(prompts, continuations, strict=True) for one in group]
    flat = iter(writer.scores(pairs))
    return [[next(flat) for _ in group] for group in continuations]


def _blank(writer: Writer, template: Template, record: Record, examples: Examples, room: int) -> Shown:
    """The same prompt with a question that asks nothing."""
    empty = {name: BLANK if name in template.fields else value for name, value in record.items()}
    return build(writer, template, [empty], shots(examples, record), room)[0]


def _chosen(
    options: Sequence[str], continuations: Sequence[str], scores: Sequence[float], read: int, sent: int, examples: int
) -> Answer:
    best = max(range(len(options)), key=scores.__getitem__)
    detail = {
        "examples": examples,
        "scores": dict(zip(options, scores, strict=True)),
        "probabilities": dict(zip(options, _softmax(scores), strict=True)),
    }
    return Answer(options[best], continuations[best], read, 0, sent * len(options), detail)


def _vote(template: Template, examples: int, samples: Sequence[Completion]) -> Answer:
    read = [template.read(sample.text) for sample in samples]
    votes = Counter(plain(one) for one in read if one)
    winner = max(votes, key=votes.__getitem__, default="")  # the first of the most frequent: Counter keeps the order
    at = next((i for i, one in enumerate(read) if one and plain(one) == winner), 0)
    detail = {"examples": examples, "votes": dict(votes), "agreement": votes[winner] / len(samples) if winner else 0.0}
    out = sum(len(sample.ids) for sample in samples)
    return Answer(read[at], samples[at].text, samples[0].prompt_tokens, out, len(samples), detail)


def _longer(template: Template, answer: Answer, more: Completion) -> Answer:
    """The answer after a second call."""
    text = template.read(f"{template.answer_after}{more.text}")
    written = f"{answer.written.rstrip()}\n{template.answer_after}{more.text}"
    return replace(
        answer, text=text, written=written, calls=answer.calls + 1, tokens_in=answer.tokens_in + more.prompt_tokens,
        tokens_out=answer.tokens_out + len(more.ids), detail={**answer.detail, "asked_again": True},
    )  # fmt: skip


def _first(examples: Examples, k: int | None) -> Examples:
    """At most ``k`` of the examples. Raises CourseError when there are fewer than asked for."""
    if k is None:
        return examples
    if k < 0:
        raise CourseError(f"k is a number of examples, 0 or more, not {k}.")

    def some(found: Sequence[Record]) -> Sequence[Record]:
        if len(found) < k:
            raise CourseError(f"There are {len(found)} examples, but k is {k}: give more or lower k.")
        return found[:k]

    return (lambda record: some(examples(record))) if callable(examples) else some(examples)


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]
