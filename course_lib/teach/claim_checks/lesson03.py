"""Lesson 03: do the rungs of the ladder come out where the talks say?

A verdict follows from rules that stand here before anything is measured:

- A claimed figure is met when it lies in the 95% interval of the measured one. A wide interval would meet anything,
  so one wider than `WIDEST` can contradict a figure but not confirm it.
- One rung beats another when the paired test says p < `LEVEL`; where one of them was picked as the best of k, its p
  counts k-fold (Bonferroni).
- Evidence that lacks a rung, or is too small to decide, gives no verdict and says what is missing.

Left out: the luck of the training seed and of the texts drawn for training. One run cannot show it, the intervals do
not contain it, and a difference that rests on it alone will not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.teach.claim_checks.evidence import Evidence, Finding, Run

HOLDS, CONDITIONS, CORRECTED = "holds", "holds with conditions", "corrected"
LEVEL = 0.05
WIDEST = 0.08  # of an interval: the figures to be told apart (85, 90 and 93%) lie 3 to 5 points from each other
MINUTES = 3 * 60.0  # seconds that "minutes" may take
TIE = 0.1  # CPU times less than a tenth apart may change places when they are measured again
ORDERED = 0.8  # rank correlation from which an order is as claimed
MOST = 0.8  # "most of the gain"
MORE_THAN_HALF = 0.5  # what the resampled share must exceed in 95% of the draws before "most" is believed
SPREAD = 4  # how many times more labels "plentiful" is than "scarce"

BASELINES = ("tfidf", "rnn")
FROZEN = ("features-logreg", "features-svm")


def baseline_85(evidence: Evidence) -> Finding:
    """The better baseline: is its interval below 90%, and is 85% in it?"""
    if lacks := _lacking(evidence, BASELINES):
        return _missing("baseline-85", lacks)
    best = evidence.best(evidence.runs[name] for name in BASELINES)
    low, high = evidence.interval(best)
    values = {name: evidence.accuracy(evidence.runs[name]) for name in BASELINES} | {"low": low, "high": high}
    near = _meets(0.85, low, high)
    if near is None:
        return _undecided("baseline-85", evidence, best, values)
    if low >= 0.90:
        supports, ceiling = CORRECTED, "beyond 90%"
    elif high < 0.90:
        supports, ceiling = HOLDS if near else CONDITIONS, "below 90%"
    else:
        supports, ceiling = CONDITIONS, "too near 90% to exclude it"
    place = "in line with 85%" if near else "below 85%" if high < 0.85 else "above 85%"
    sentence = (
        f"{evidence.where} the better baseline, {best.rung}, is right on {_shown(evidence, best)}: {place}, {ceiling}."
    )
    return Finding("baseline-85", _shown(evidence, best), values, supports, sentence)


def feature_90(evidence: Evidence) -> Finding:
    """Frozen features: is 90% in the interval of the better rung, and does the slower one take three minutes?"""
    rungs = _present(evidence, FROZEN)
    if not rungs:
        return _missing("feature-90", FROZEN[:1])
    clocks = [run.wall_seconds for run in rungs if run.wall_seconds is not None]
    if not clocks:
        return _missing("feature-90", ["the wall time of the features"])
    best = evidence.best(rungs)
    low, high = evidence.interval(best)
    seconds = max(clocks)  # the states they share are counted for each of them
    values = {"accuracy": evidence.accuracy(best), "low": low, "high": high, "wall_seconds": seconds}
    near = _meets(0.90, low, high)
    if near is None:
        return _undecided("feature-90", evidence, best, values)
    quick = seconds <= MINUTES
    supports = {2: HOLDS, 1: CONDITIONS, 0: CORRECTED}[near + quick]
    sentence = (
        f"{evidence.where} {best.rung} is right on {_shown(evidence, best)} after {seconds:.0f} s: "
        f"90% is {'met' if near else 'not met' if high < 0.90 else 'exceeded'}, three minutes "
        f"{'suffice' if quick else 'do not suffice'}."
    )
    return Finding("feature-90", f"{_shown(evidence, best)} in {seconds:.0f} s", values, supports, sentence)


def full_93(evidence: Evidence) -> Finding:
    """All layers: is 93% in the interval, and do they beat the better of the frozen features?"""
    if lacks := _lacking(evidence, ("all",)) or ([] if _present(evidence, FROZEN) else list(FROZEN[:1])):
        return _missing("full-93", lacks)
    full, frozen = evidence.runs["all"], evidence.best(_present(evidence, FROZEN))
    low, high = evidence.interval(full)
    gain, p = evidence.accuracy(full) - evidence.accuracy(frozen), evidence.p_value(full, frozen)
    values = {"accuracy": evidence.accuracy(full), "low": low, "high": high, "gain": gain, "p": p}
    near = _meets(0.93, low, high)
    if near is None:
        return _undecided("full-93", evidence, full, values)
    beats = gain > 0 and p < LEVEL
    supports = {2: HOLDS, 1: CONDITIONS, 0: CORRECTED}[near + beats]
    sentence = (
        f"{evidence.where} all layers are right on {_shown(evidence, full)}: 93% is {'met' if near else 'not met'}, "
        f"and {100 * gain:+.1f} points against {frozen.rung} are {'a' if beats else 'no proven'} gain (p = {p:.2g})."
    )
    return Finding("full-93", _shown(evidence, full), values, supports, sentence)


def cheap_to_dear(evidence: Evidence) -> Finding:
    """From frozen features over ever more blocks to all layers: do CPU times rise, and where is more in vain?

    Holds if features cost least, all layers most (but for a tie) and the rank correlation is at least `ORDERED`.
    """
    ladder = [*_present(evidence, FROZEN[:1]), *_last_blocks(evidence), *_present(evidence, ["all"])]
    lacks = _lacking(evidence, ("features-logreg", "all")) + (["at least two of last-n"] if len(ladder) < 4 else [])
    if lacks:
        return _missing("cheap-to-dear", lacks)
    costs = [run.cpu_seconds for run in ladder if run.cpu_seconds is not None]
    if len(costs) < len(ladder):
        return _missing("cheap-to-dear", ["the CPU seconds of every rung"])
    correlation = rank_correlation(costs)
    cheapest, dearest = costs[0] == min(costs), costs[-1] >= (1 - TIE) * max(costs)
    best = evidence.best(ladder)
    unbeaten = [run for run in ladder if evidence.p_value(best, run) >= LEVEL or run is best]
    enough = min(unbeaten, key=lambda run: run.cpu_seconds or 0.0)
    if cheapest and dearest and correlation >= ORDERED:
        supports = HOLDS
    else:
        supports = CONDITIONS if costs[0] < costs[-1] and correlation > 0 else CORRECTED
    ratio = costs[-1] / costs[0]
    values = {run.rung: cost for run, cost in zip(ladder, costs, strict=True)}
    values |= {"rank correlation": correlation, "ratio": ratio, "cheapest unbeaten": enough.cpu_seconds or 0.0}
    sentence = (
        f"{evidence.where} all layers take {ratio:.1f} times the CPU time of frozen features, and the order in between "
        f"has a rank correlation of {correlation:.2f}; {enough.rung} is the cheapest rung that the most accurate of "
        f"them, {best.rung}, is not shown to beat."
    )
    return Finding("cheap-to-dear", f"{ratio:.1f} times the CPU time", values, supports, sentence)


def blocks_saturate(evidence: Evidence) -> Finding:
    """What share of the gain of the best tuned rung over frozen features do the last three blocks reach?

    Holds if it is at least `MOST`, more than half in 95% of the resamples of the test texts, and the best is not shown
    to beat them; with conditions if it is more than half; corrected if it is less, or if nothing is gained at all.
    """
    blocks, frozen_rungs = _last_blocks(evidence), _present(evidence, FROZEN)
    lacks = _lacking(evidence, ("last-2", "last-3", "all")) + ([] if frozen_rungs else [FROZEN[0]])
    if not lacks and _depth(blocks[-1]) < 4:  # of a shallow encoder the last three blocks are everything
        lacks = ["a rung that trains more than three blocks"]
    if lacks:
        return _missing("blocks-saturate", lacks)
    frozen, tuned = evidence.best(frozen_rungs), [*blocks, evidence.runs["all"]]
    best = evidence.best(tuned)
    gain = evidence.accuracy(best) - evidence.accuracy(frozen)
    # All layers were named before the run; any other best was picked from many and has to be clearer.
    p_gain = min(evidence.p_value(best, frozen, looks=len(tuned)), evidence.p_value(tuned[-1], frozen))
    if gain <= 0 or p_gain >= LEVEL:
        values = {"gain": gain}
        sentence = f"{evidence.where} no number of trained blocks is shown to gain anything over {frozen.rung}."
        return Finding("blocks-saturate", "no gain", values, CORRECTED, sentence)
    shares = {run.rung: (evidence.accuracy(run) - evidence.accuracy(frozen)) / gain for run in tuned}
    sure, (fewest, most) = _resampled(evidence, frozen, blocks, tuned[-1])
    three = evidence.runs["last-3"]
    p = evidence.p_value(best, three) if best is not three else 1.0
    if shares["last-3"] >= MOST and p >= LEVEL and sure >= 0.95:
        supports = HOLDS
    else:
        supports = CONDITIONS if shares["last-3"] > MORE_THAN_HALF else CORRECTED
    deepest = _depth(blocks[-1])
    needed = next((_depth(run) for run in blocks if shares[run.rung] >= MOST), deepest + 1)
    values = {f"share {name}": share for name, share in shares.items()}
    values |= {"gain": gain, "blocks": needed, "blocks low": fewest, "blocks high": most, "sure": sure, "p": p}
    sentence = (
        f"{evidence.where} the last two blocks reach {shares['last-2']:.0%} and the last three {shares['last-3']:.0%} "
        f"of the {100 * gain:.1f} points that {best.rung} gains over {frozen.rung} (three reach more than half in "
        f"{sure:.0%} of the resamples); {MOST:.0%} are reached with {_blocks(needed, deepest)} "
        f"(95% of the resamples: from {_blocks(fewest, deepest)} to {_blocks(most, deepest)})."
    )
    return Finding("blocks-saturate", f"{shares['last-3']:.0%} with three blocks", values, supports, sentence)


def freeze_scarce(evidence: Evidence) -> Finding:
    """Frozen against tuned, at the fewest and at the most labels.

    Holds if frozen features are at least as accurate at the fewest and beaten at the most; has to be corrected if they
    are beaten at the fewest already, or if the lead of tuning does not grow with the labels; conditions in between.
    """
    budgets = {n: row for n, row in evidence.curve.items() if FROZEN[0] in row and any(map(_is_tuned, row))}
    if len(budgets) < 2 or max(budgets) < SPREAD * min(budgets):
        need = f"frozen and tuned rungs at two numbers of labels that are at least {SPREAD}-fold apart"
        return _missing("freeze-scarce", [need])
    leads = {n: _lead(evidence, row) for n, row in budgets.items()}
    (few, (few_lead, few_p)), (many, (many_lead, many_p)) = min(leads.items()), max(leads.items())
    tuned_early, tuned_late = few_lead > 0 and few_p < LEVEL, many_lead > 0 and many_p < LEVEL
    if tuned_early or many_lead <= few_lead:
        supports = CORRECTED
    else:
        supports = HOLDS if few_lead <= 0 and tuned_late else CONDITIONS
    values = {f"lead at {n}": lead for n, (lead, _) in leads.items()} | {"p few": few_p, "p many": many_p}
    sentence = (
        f"{evidence.where} the lead of the better tuned rung over frozen features is {100 * few_lead:+.1f} points at "
        f"{few} labels (p = {few_p:.2g}) and {100 * many_lead:+.1f} at {many} (p = {many_p:.2g}), from one draw of "
        "labels."
    )
    if {"all", "layerwise"} <= set(evidence.runs):
        layerwise, full = evidence.runs["layerwise"], evidence.runs["all"]
        difference, p = evidence.accuracy(layerwise) - evidence.accuracy(full), evidence.p_value(layerwise, full)
        values |= {"layer-wise rates": difference, "p layer-wise": p}
        sentence += f" A learning rate per layer changes all layers by {100 * difference:+.1f} points (p = {p:.2g})."
    figure = f"{100 * few_lead:+.1f} points at {few} labels, {100 * many_lead:+.1f} at {many}"
    return Finding("freeze-scarce", figure, values, supports, sentence)


def rank_correlation(costs: Sequence[float]) -> float:
    """Spearman's correlation of values with their position: ``1 - 6 sum d^2 / (k (k^2 - 1))`` (Spearman 1904).

    1 when they rise all the way, -1 when they fall; ties are ranked as they come.

    >>> rank_correlation([1.0, 2.0, 4.0, 3.0])  # d = 0, 0, 1, 1: 1 - 12/60
    0.8
    """
    k, ranks = len(costs), np.argsort(np.argsort(costs, kind="stable"))
    return float(1 - 6 * ((ranks - np.arange(k)) ** 2).sum() / (k * (k**2 - 1)))


def _lead(evidence: Evidence, row: Mapping[str, Run]) -> tuple[float, float]:
    """How far the best tuned rung of one label budget is ahead of frozen features, and the p of that difference."""
    frozen, tuned = row[FROZEN[0]], [run for name, run in row.items() if _is_tuned(name)]
    best = evidence.best(tuned)
    return evidence.accuracy(best) - evidence.accuracy(frozen), evidence.p_value(best, frozen, looks=len(tuned))


def _is_tuned(rung: str) -> bool:
    """Does it change the encoder's own weights? The baselines, the features and the head do not."""
    return rung.startswith("last-") or rung in ("all", "layerwise", "lora")


def _resampled(evidence: Evidence, frozen: Run, blocks: list[Run], full: Run) -> tuple[float, tuple[int, int]]:
    """How sure are we of the blocks? The test texts are drawn again, with replacement (Efron's bootstrap).

    Returns the share of the draws in which the last three reach more than half of the gain, and the 95% range of the
    number of blocks that reach `MOST` of it (one more than there are where none does).
    """
    truth = np.asarray(evidence.truth)
    right = np.stack([np.asarray(run.predictions) == truth for run in (frozen, *blocks, full)], axis=1)
    # Texts on which the same rungs are right are alike: drawing texts is drawing their kinds.
    kinds, counts = np.unique(right, axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(truth), counts / len(truth), size=2000)
    hits = drawn @ kinds.astype(int)  # (draws, rungs)
    gains = hits[:, 1:] - hits[:, :1]
    gain = gains.max(axis=1)
    three = next(i for i, run in enumerate(blocks) if run.rung == "last-3")
    sure = float(np.mean((gain > 0) & (gains[:, three] > MORE_THAN_HALF * gain)))
    reached = (gains[:, :-1] >= MOST * gain[:, None]) & (gain > 0)[:, None]
    depths = np.array([*map(_depth, blocks), _depth(blocks[-1]) + 1])
    needed = depths[np.where(reached.any(axis=1), reached.argmax(axis=1), len(blocks))]
    low, high = np.percentile(needed, [2.5, 97.5], method="nearest")
    return sure, (int(low), int(high))


def _last_blocks(evidence: Evidence) -> list[Run]:
    """The rungs that train the last n blocks, fewest first."""
    return sorted((run for name, run in evidence.runs.items() if name.startswith("last-")), key=_depth)


def _depth(run: Run) -> int:
    return int(run.rung.removeprefix("last-"))


def _blocks(number: int, depth: int) -> str:
    if number > depth:
        return "all layers"
    return "one block" if number == 1 else f"{number} blocks"


def _meets(figure: float, low: float, high: float) -> bool | None:
    """Is the figure in the interval? None when it is, but the interval is too wide for that to mean anything."""
    if not low <= figure <= high:
        return False
    return True if high - low <= WIDEST else None


def _shown(evidence: Evidence, run: Run) -> str:
    low, high = evidence.interval(run)
    return f"{evidence.accuracy(run):.1%} ({100 * low:.1f} to {100 * high:.1f})"


def _present(evidence: Evidence, names: Sequence[str]) -> list[Run]:
    return [evidence.runs[name] for name in names if name in evidence.runs]


def _lacking(evidence: Evidence, names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in evidence.runs]


def _missing(claim: str, what: Sequence[str]) -> Finding:
    return Finding(claim, "not measured", {}, None, f"This evidence cannot tell; it lacks: {', '.join(what)}.")


def _undecided(claim: str, evidence: Evidence, run: Run, values: dict[str, float]) -> Finding:
    sentence = (
        f"{evidence.where} {run.rung} is right on {_shown(evidence, run)}: too wide an interval to confirm a figure; "
        "it takes more test texts."
    )
    return Finding(claim, _shown(evidence, run), values, None, sentence)


def default_evidence() -> Evidence:
    """The recorded climb on all of the course's reviews."""
    return Evidence.recorded()


CHECKS = {
    "baseline-85": baseline_85,
    "feature-90": feature_90,
    "full-93": full_93,
    "cheap-to-dear": cheap_to_dear,
    "blocks-saturate": blocks_saturate,
    "freeze-scarce": freeze_scarce,
}
