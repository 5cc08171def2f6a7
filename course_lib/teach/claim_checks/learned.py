"""Checks of lesson 04: what was learned, from how many examples and how good ones, and what was lost.

The rules by which verdicts follow stand in `lesson04`.
"""

from __future__ import annotations

from course_lib.metrics.report import TaskReport
from course_lib.teach.claim_checks.evidence import Finding
from course_lib.teach.claim_checks.tuned import PROMPTS, Recorded, beats, gain, missing, scored, shown, without
from course_lib.teach.claim_checks.worked import CONDITIONS, CORRECTED, HOLDS, of_two

FORMED = 0.9  # share of answers in the form asked for, from which on a model follows instructions
ENOUGH = (100, 1000)  # examples, as claimed
SPECIAL_ITEMS = 30  # test items of one task


def sft_beats_prompt(told: Recorded) -> Finding:
    """Is the best prompt better than the bare question, and are a thousand examples better than that prompt?"""
    ways = [f"base/{way}" for way in PROMPTS]
    if lacks := told.lacking("base/bare", *ways, "curve/1000"):
        return missing("sft-beats-prompt", lacks)
    bare, tuned = told.reports["base/bare"], told.curve[1000]
    prompted = told.best(ways)
    first, second = beats(prompted, bare, len(ways)), beats(tuned, prompted)
    figure = f"{scored(bare)}, {scored(prompted)} with the best prompt, {scored(tuned)} after 1000 examples"
    sentence = (
        f"On the same {len(bare.scores)} items ({told.source}) the base model reaches {figure}; the best of {len(ways)}"
        f" prompts is {shown(first)} to help, tuning {shown(second)} to beat it."
    )
    values = {name: one.macro().score for name, one in (("bare", bare), ("prompt", prompted), ("tuned", tuned))}
    return Finding("sft-beats-prompt", figure, values, of_two(first, second), sentence)


def sft_100_1000(told: Recorded) -> Finding:
    """Are answers in form, and do more than a thousand examples add nothing that is shown?"""
    few, many = ENOUGH
    if lacks := told.lacking("curve/0", f"curve/{few}", f"curve/{many}"):
        return missing("sft-100-1000", lacks)
    most = max(told.curve)
    if most <= many:
        return missing("sft-100-1000", [f"a model trained on more than {many} examples"])
    formed = {n: one.macro().in_form for n, one in told.curve.items()}
    follows = min((n for n, share in formed.items() if n and share >= FORMED), default=0)
    obeys = 0 < follows <= many
    more = told.reports[f"curve/{most}/0"]
    enough = not beats(more, told.reports[f"curve/{many}/0"])
    figure = ", ".join(f"{one.macro().score:.0%} with {n}" for n, one in told.curve.items())
    sentence = (
        f"Right: {figure}; in the form asked for: {formed[0]:.0%} untrained, {formed[few]:.0%} after {few},"
        f" {formed[many]:.0%} after {many} examples ({told.source}). {most} examples are {shown(not enough)} to be"
        f" better than {many}: the form is {'learned' if obeys else 'not yet learned'}, the skill"
        f" {'is' if enough else 'is not'} complete."
    )
    values = {f"right {n}": one.macro().score for n, one in told.curve.items()}
    values |= {f"in form {n}": share for n, share in formed.items()} | {"follows from": float(follows)}
    return Finding("sft-100-1000", figure, values, of_two(obeys, enough), sentence)


def quality_over_size(told: Recorded) -> Finding:
    """Do few clean examples beat many noisy ones? If neither wins: does noise cost at the same size?"""
    if lacks := told.lacking("noise/noisy", "noise/cleaned", "curve/300", "curve/1000"):
        return missing("quality-over-size", lacks)
    few, many = told.small_and_large
    names = (f"{few} clean", f"{many} noisy", f"{many} cleaned", f"{many} clean")
    small, noisy, cleaned, clean = (told.noise[name] for name in names)
    wins, loses, costs = beats(small, noisy), beats(noisy, small), beats(clean, noisy)
    supports = HOLDS if wins else CONDITIONS if costs and not loses else CORRECTED
    figure = ", ".join(f"{told.noise[name].macro().score:.0%} with {name}" for name in names)
    better = "the few clean ones win" if wins else "the many noisy ones win" if loses else "neither is shown to win"
    sentence = (
        f"{figure} ({told.source}; every set is seen about as often): {better}. At the same size noise is"
        f" {shown(costs)} to cost, and mending without knowing the answers is {shown(beats(cleaned, noisy))} to help."
    )
    values = {name: told.noise[name].macro().score for name in names} | {"p": gain(small, noisy).p}
    return Finding("quality-over-size", figure, values, supports, sentence)


def forgetting(told: Recorded) -> Finding:
    """What further training for one task costs the others, and what it costs with the others mixed in."""
    last = f"curve/{max(told.curve, default=0)}/0"
    ways = [f"again/{how}/{what}" for how in ("short", "long") for what in ("alone", "mixed")]
    if lacks := told.lacking("curve/0/0", last, *ways):
        return missing("forgetting", lacks)
    before, *others = (without(told.reports[name], told.again) for name in (last, *ways))
    short, _, alone, mixed = others
    lost = beats(before, alone, 2) or beats(before, short, 2)  # either would do, so each counts twice
    kept = not beats(before, mixed) and beats(mixed, alone)
    supports = CORRECTED if not lost else HOLDS if kept else CONDITIONS
    figure = f"other tasks: {scored(before)}, then {scored(alone)} alone, {scored(mixed)} mixed"
    own = {name: _task(told.reports[name], told.again) for name in (last, *ways)}
    sentence = (
        f"A model of all tasks was trained on {told.again} alone: the other tasks went from {before.macro().score:.0%}"
        f" to {short.macro().score:.0%} in a short run and to {alone.macro().score:.0%} in a long one, with the others"
        f" mixed in to {mixed.macro().score:.0%} ({told.source}); the loss is {shown(lost)}, and that mixing spares it"
        f" is {shown(beats(mixed, alone))}. The task itself: {own[last]:.0%} before,"
        f" {own['again/long/alone']:.0%} alone, {own['again/long/mixed']:.0%} mixed."
    )
    values = {"before": before.macro().score, "alone": alone.macro().score, "mixed": mixed.macro().score}
    return Finding("forgetting", figure, values | {"p": gain(before, alone).p}, supports, sentence)


def special_beats_general(told: Recorded) -> Finding:
    """The small model trained on a task against the large one with a prompt, task by task."""
    tasks = _special_tasks(told)
    few = [t for t in tasks if len(told.reports[f"special/{t}/tuned"].scores) < SPECIAL_ITEMS]
    if len(tasks) < 2 or few or not all(told.special(way) for way in PROMPTS):
        return missing("special-beats-general", [f"two tasks or more with at least {SPECIAL_ITEMS} test items each"])
    pairs = {t: (told.reports[f"special/{t}/tuned"], told.best([f"special/{t}/{w}" for w in PROMPTS])) for t in tasks}
    won = [t for t, (tuned, prompted) in pairs.items() if beats(tuned, prompted, len(tasks))]
    supports = HOLDS if len(won) == len(tasks) else CONDITIONS if won else CORRECTED
    figure = ", ".join(f"{t} {a.macro().score:.0%} against {b.macro().score:.0%}" for t, (a, b) in pairs.items())
    size = told.runs.get(f"special/{tasks[0]}", {}).get("examples", "some")
    sentence = (
        f"A model of 3 million parameters, trained on {size} examples of one task, against one of 6 million with"
        f" the best of {len(PROMPTS)} prompts ({told.source}): {figure}. The small one is shown to win in {len(won)} of"
        f" {len(tasks)}."
    )
    return Finding(
        "special-beats-general", figure, {t: gain(*pair).difference for t, pair in pairs.items()}, supports, sentence
    )


def _task(report: TaskReport, task: str) -> float:
    return next(row.score for row in report.rows() if row.task == task)


def _special_tasks(told: Recorded) -> list[str]:
    names = (name.split("/") for name in told.reports if name.startswith("special/"))
    return list(dict.fromkeys(parts[1] for parts in names if parts[2] == "tuned"))
