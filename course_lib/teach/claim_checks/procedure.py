"""Checks of lesson 04: the ways of working around a training run, such as judges, proposals, and trying small first.

The rules by which verdicts follow stand in `lesson04`.
"""

from __future__ import annotations

from collections.abc import Sequence

from course_lib.metrics.classification import wilson_interval
from course_lib.metrics.interval import paired_difference
from course_lib.metrics.report import TaskReport
from course_lib.teach.claim_checks import worked
from course_lib.teach.claim_checks.evidence import Finding
from course_lib.teach.claim_checks.tuned import Judged, Recorded, beats, missing, shown
from course_lib.teach.claim_checks.worked import CONDITIONS, CORRECTED, HOLDS, of_two

ACCEPTED = 0.25  # share of proposals that must survive for a model to be called able to write its own data
SCORED = 0.1  # a score that looks like something learned


def self_instruct(told: Recorded) -> Finding:
    """How many proposals survive, and are the survivors right more often than what was rejected?"""
    if lacks := [name for name in ("trained", "untrained") if not told.proposed.get(name)]:
        return missing("self-instruct", [f"proposals of the {name} model" for name in lacks])
    found, base = told.proposed["trained"], told.proposed["untrained"]
    n, rows = int(found["n"]), found["candidates"]
    if n < 100:
        return missing("self-instruct", ["at least 100 proposals"])
    accepted = sum(one for one, _ in rows)
    kept, gone = ([right for one, right in rows if one == which and right is not None] for which in (1, 0))
    writes = wilson_interval(accepted, n)[0] >= ACCEPTED
    sifts = bool(kept and gone) and worked.higher_share(sum(kept), len(kept), sum(gone), len(gone)) < 0.05
    right = sum(kept) / len(kept) if kept else 0.0
    before = sum(kept + gone) / len(kept + gone) if kept + gone else 0.0
    figure = f"{accepted} of {n} survive; {right:.0%} of them right, {before:.0%} before the filters"
    sentence = (
        f"A model trained to propose tasks wrote {n}, of which {len(rows)} had the form of a task and {accepted}"
        f" survived all filters ({told.source}). Of those that the world can check, {before:.0%} were right before"
        f" the filters"
        f" and {right:.0%} behind them, which is {shown(sifts)} to be more than among the rejected. The untrained model"
        f" wrote {len(base['candidates'])} tasks in {base['n']} attempts."
    )
    values = {"accepted": accepted / n, "right": right, "before": before, "checked": float(len(kept))}
    return Finding("self-instruct", figure, values, of_two(writes, sifts), sentence)


def domain_adaptation(told: Recorded) -> Finding:
    """Perplexity in the domain and outside of it, before and after."""
    lacks = [f"documents/{stage}" for stage in ("base", "dialect", "mixed") if not told.documents.get(stage)]
    if lacks:
        return missing("domain-adaptation", lacks)
    if any(len(some) < 20 for stage in told.documents.values() for some in stage.values()):
        return missing("domain-adaptation", ["at least 20 documents in and out of the domain"])
    inside, outside = (_loss_change(told, "dialect", where) < 0 for where in ("in", "out"))
    adapts = inside and _document_p(told, "dialect", "in") < 0.05
    worse = not outside and _document_p(told, "dialect", "out") < 0.05
    supports = CORRECTED if not adapts else CONDITIONS if worse else HOLDS
    values = {f"{s} {w}": told.perplexity(s, w) for s in ("base", "dialect", "mixed") for w in ("in", "out")}
    moved = {where: f"{values[f'base {where}']:.3g} to {values[f'dialect {where}']:.3g}" for where in ("in", "out")}
    figure = f"perplexity in the domain {moved['in']}, outside {moved['out']}"
    sentence = (
        f"Continued on dialect alone, perplexity went from {moved['in']} on dialect and from {moved['out']} on the old"
        f" documents ({told.source}); with as many old documents mixed in it is {values['mixed in']:.3g} and"
        f" {values['mixed out']:.3g}."
    )
    return Finding("domain-adaptation", figure, values, supports, sentence)


def tokenizer_match(told: Recorded) -> Finding:
    """Three ways to use another tokenizer of the same size, against the model's own."""
    ways = ("tokens/asked other", "tokens/trained other, asked own", "tokens/trained other, asked other")
    if lacks := told.lacking("curve/300/0", *ways):
        return missing("tokenizer-match", lacks)
    right = told.reports["curve/300/0"]
    worse = [beats(right, told.reports[way]) for way in ways]
    supports = HOLDS if all(worse) else CONDITIONS if any(worse) else CORRECTED
    scores = {way.removeprefix("tokens/"): told.reports[way].macro().score for way in ways}
    figure = f"{right.macro().score:.0%} against " + ", ".join(f"{score:.0%}" for score in scores.values())
    each = "; ".join(f"{way}: {score:.0%}" for way, score in scores.items())
    loss = [told.numbers.get(f"loss before, {which} tokenizer", float("nan")) for which in ("own", "other")]
    sentence = (
        f"With its own tokenizer the model reaches {right.macro().score:.0%} after 300 examples, with another one of"
        f" the same size {each} ({told.source}). Nothing fails loudly: the untrained model's loss is {loss[0]:.1f}"
        f" nats a"
        f" token on data of its own tokenizer and {loss[1]:.1f} on the other's."
    )
    return Finding("tokenizer-match", figure, {"own": right.macro().score, **scores}, supports, sentence)


def smallest_first(told: Recorded) -> Finding:
    """Do a fraction of an epoch, and a smaller model, rank the settings as the whole training does?"""
    if lacks := [f"ranked/{stage}" for stage in ("fraction", "small", "end") if not told.ranked.get(stage)]:
        return missing("smallest-first", lacks)
    ranked = {stage: {k: v for k, v in some.items() if k != "untrained"} for stage, some in told.ranked.items()}
    names = list(ranked["end"])
    if len(names) < 5:
        return missing("smallest-first", ["at least five settings"])
    ends = [ranked["end"][name] for name in names]
    found = {s: worked.rank_test([ranked[s][name] for name in names], ends) for s in ("fraction", "small")}
    early, small = (rho > 0 and p < 0.05 for rho, p in found.values())
    best = {stage: min((value, name) for name, value in some.items())[1] for stage, some in ranked.items()}
    figure = ", ".join(f"rank correlation {rho:.2f} (p {p:.2f}) {_STAGES[stage]}" for stage, (rho, p) in found.items())
    sentence = (
        f"{len(names)} settings ({told.source}): {figure}. Best in the end is {best['end']}; {best['fraction']} after"
        f" the fraction, {best['small']} on the small model."
    )
    values = {f"{what} {stage}": x for stage, pair in found.items() for what, x in zip(("rho", "p"), pair, strict=True)}
    return Finding("smallest-first", figure, values, of_two(early, small), sentence)


def eval_early(told: Recorded) -> Finding:
    """Has every experiment a score from before training, and would some verdict be another without it?"""
    have = {
        "curve": "curve/0/0" in told.reports,
        "special": told.special("untrained"),
        "domain": bool(told.documents.get("base")),
        "smallest": all("untrained" in some for some in told.ranked.values()) and bool(told.ranked),
        "self-instruct": "untrained" in told.proposed,
        "judge": any(one.judge == "untrained" for one in told.judged),
        "tokens": "loss before, other tokenizer" in told.numbers,
    }
    if lacks := told.lacking("trivial/usual", "curve/0/0", "curve/1000"):
        return missing("eval-early", lacks)
    tuned, floors = told.curve[1000], [told.reports["curve/0/0"], told.reports["trivial/usual"]]
    fooled = [task for task in dict.fromkeys(tuned.tasks) if _looks_learned(tuned, floors, task)]
    every = all(have.values())
    supports = CORRECTED if not every else HOLDS if fooled else CONDITIONS
    figure = f"{sum(have.values())} of {len(have)} experiments; {len(fooled)} scores mean less than they seem"
    sentence = (
        f"{sum(have.values())} of {len(have)} experiments have a score from before training ({told.source}). Without it"
        f" {len(fooled)} of {len(set(tuned.tasks))} tasks would be called learned though the untrained model, or always"
        f" the commonest answer, is not shown to be worse: {', '.join(fooled) or 'none'}."
    )
    return Finding(
        "eval-early", figure, {"fooled": float(len(fooled)), "before": float(sum(have.values()))}, supports, sentence
    )


def judge(told: Recorded) -> Finding:
    """Does a model's verdict agree with the exact metric more often than judges that do not read?"""
    trained = [one for one in told.judged if one.judge == "trained"]
    if not {"labels", "likelihood"} <= {one.how for one in trained}:
        return missing("judge", ["a trained judge, asked by labels and by likelihood"])
    if any(one.agreement.n < 50 for one in trained):
        return missing("judge", ["at least 50 items on which the two models differ"])
    useful = {how: [_useful(one) for one in trained if one.how == how] for how in ("labels", "likelihood")}
    supports = HOLDS if all(map(all, useful.values())) else CONDITIONS if any(map(all, useful.values())) else CORRECTED
    bias = [one.verdicts.position_bias for one in trained if one.how == "labels"]
    agrees = {how: [_agrees(one) for one in trained if one.how == how] for how in useful}
    figure = "; ".join(f"{how} {' and '.join(f'{x:.0%}' for x in some)}" for how, some in agrees.items())
    trivial = " and ".join(f"{_trivial(one):.0%}" for one in trained if one.how == "labels")
    front = " and ".join(f"{share.value:.0%}" for share in bias if share)
    sentence = (
        f"Agreement with the exact metric on {len(agrees['labels'])} pairs of models ({told.source}): {figure}; the"
        f" best judge that does not read has {trivial}. Asked for A or B, the model names the answer in front in"
        f" {front} of"
        " its verdicts."
    )
    values = {f"{how} {k}": x for how, some in agrees.items() for k, x in enumerate(some)}
    values |= {f"front {k}": share.value for k, share in enumerate(bias) if share}
    return Finding("judge", f"agreement: {figure}", values, supports, sentence)


_STAGES = {"fraction": "after a third of an epoch", "small": "on the small model"}


def _looks_learned(tuned: TaskReport, floors: Sequence[TaskReport], task: str) -> bool:
    """Whether a task has a score worth telling that is not shown to be above what needed no training."""
    scores = {id(one): [s for s, t in zip(one.scores, one.tasks, strict=True) if t == task] for one in (tuned, *floors)}
    own = scores.pop(id(tuned))
    floor = max(scores.values(), key=sum)
    found = paired_difference(own, floor)
    return sum(own) / len(own) >= SCORED and not (found.difference > 0 and found.p < 0.05)


def _loss_change(told: Recorded, stage: str, where: str) -> float:
    return told.perplexity(stage, where) - told.perplexity("base", where)


def _document_p(told: Recorded, stage: str, where: str) -> float:
    """The sign test over documents: how likely so many change to the same side by chance."""
    rows = zip(told.documents[stage][where], told.documents["base"][where], strict=True)
    changes = [after / n - before / m for (n, after), (m, before) in rows]
    return paired_difference([float(x > 0) for x in changes], [float(x < 0) for x in changes]).p


def _agrees(one: Judged) -> float:
    share = one.agreement.averaged if one.how == "likelihood" else one.agreement.every
    return share.value if share else 0.0


def _trivial(one: Judged) -> float:
    return max((share.value for share in one.agreement.baselines.values()), default=0.5)


def _useful(one: Judged) -> bool:
    """Whether the interval of its agreement is above the best judge that does not read."""
    share = one.agreement.averaged if one.how == "likelihood" else one.agreement.every
    return bool(share) and share.low > _trivial(one)  # type: ignore[union-attr]
