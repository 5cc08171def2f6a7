"""Lesson 02: what talks say about prompts, held against what two small models of one small world did.

A verdict follows from rules that stand here before anything is measured:

- One way beats another when the paired test says p < 0.05; where it was picked as the best of k, its p counts k-fold.
- A claim of two parts holds if both are found, with conditions if one is, and has to be corrected if none is.
- Evidence that lacks a way of asking, or asked too few questions, gives no verdict and says what is missing.

Left out: other models. What is shown here is shown for models of three and six million parameters; a claim about large
ones that fails here may hold there, and the sentences say what was measured on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from course_lib.prompting import cost
from course_lib.teach.checklist import SILENT, checklist
from course_lib.teach.claim_checks.evidence import Finding
from course_lib.teach.claim_checks.prompted import Prompted

HOLDS, CONDITIONS, CORRECTED = "holds", "holds with conditions", "corrected"
LESS = (0.40, 0.90)  # of an answer's tokens, as claimed of a request to be brief
LEARNED = 0.8  # accuracy from which a tiny model has learned its task
ON_BOARD = ("minilm", "course-base-small", "course-base")
VOLUMES = (1_000, 10_000_000)  # answers a month: few and many
WAYS = ("asked", "retrieved", "tuned")
DRAWS = 2000


def prompt_wording(evidence: Prompted) -> Finding:
    """Does the best wording beat the worst, and is the spread of the small model the larger one?"""
    names = [f"wording-{model}" for model in evidence.models]
    groups = [evidence.group(name) for name in names]
    if not all(len(group) > 1 for group in groups):
        return _missing("prompt-wording", ["several wordings on both models"])
    if lacks := evidence.lacking(
        *(f"{name}/{how}" for name, group in zip(names, groups, strict=True) for how in group)
    ):
        return _missing("prompt-wording", lacks)
    spreads, moved = [], []
    for name, group in zip(names, groups, strict=True):
        ranked = sorted(group, key=lambda key: group[key].accuracy)
        worst, best = ranked[0], ranked[-1]
        looks = len(list(itertools.combinations(group, 2)))
        spreads.append(group[best].accuracy - group[worst].accuracy)
        moved.append(evidence.beats(f"{name}/{best}", f"{name}/{worst}", looks))
    low, high = _spread_difference(*([[group[key].right for key in group] for group in groups]))
    touchier = low > 0
    supports = _of_two(any(moved), touchier)
    small, large = evidence.models
    figure = f"{100 * spreads[0]:.0f} points ({small}), {100 * spreads[1]:.0f} points ({large})"
    sentence = (
        f"Over {len(groups[0])} wordings of the same {evidence.size(names[0] + '/' + next(iter(groups[0])))} questions"
        f" ({evidence.source}) the accuracy moves by {figure}, which is {'more' if any(moved) else 'no more'} than"
        f" chance; the small model's spread is {100 * low:+.0f} to {100 * high:+.0f} points larger, so it is"
        f" {'' if touchier else 'not '}shown to be the touchier one."
    )
    values = {"small": spreads[0], "large": spreads[1], "low": low, "high": high}
    return Finding("prompt-wording", figure, values, supports, sentence)


def few_shot_24(evidence: Prompted) -> Finding:
    """Does anything beat four examples, and does a shorter prompt beat sixteen?"""
    if lacks := evidence.lacking("shots/0", "shots/2", "shots/4", "shots/8", "shots/16"):
        return _missing("few-shot-24", lacks)
    group = evidence.group("shots")
    best = max(group, key=lambda k: group[k].accuracy)
    looks = len(group) - 1
    enough = not any(evidence.beats(f"shots/{k}", "shots/4", looks) for k in group if int(k) > 4)
    hemmed = any(evidence.beats(f"shots/{k}", "shots/16", looks) for k in group if int(k) < 16)
    figure = ", ".join(f"{group[k].accuracy:.0%} with {k}" for k in group)
    sentence = (
        f"On made-up labels ({evidence.size('shots/4')} questions, {evidence.source}): {figure}. More than four"
        f" examples are {'not ' if enough else ''}shown to be better than four, and sixteen are"
        f" {'' if hemmed else 'not '}shown to be worse than fewer."
    )
    values = {k: one.accuracy for k, one in group.items()} | {"best": float(best)}
    return Finding("few-shot-24", figure, values, _of_two(enough, hemmed), sentence)


def cot(evidence: Prompted) -> Finding:
    """Do worked steps beat bare answers on problems of two and three steps, and lose nothing on one?"""
    pairs = {n: (f"steps-{n}/worked", f"steps-{n}/bare") for n in (1, 2, 3)}
    if lacks := evidence.lacking(*itertools.chain(*pairs.values())):
        return _missing("cot", lacks)
    better = {n: evidence.beats(*pair) for n, pair in pairs.items()}
    worse = evidence.beats(pairs[1][1], pairs[1][0])
    gains = {n: evidence.gain(*pair) for n, pair in pairs.items()}
    if better[2] and better[3]:
        supports = CONDITIONS if worse else HOLDS
    else:
        supports = CONDITIONS if better[2] or better[3] else CORRECTED
    figure = ", ".join(f"{100 * gain:+.0f} points at {n} step{'s' * (n > 1)}" for n, gain in gains.items())
    shown = [str(n) for n in pairs if better[n]] or ["none"]
    sentence = (
        f"Worked steps against bare answers ({evidence.size(pairs[2][0])} problems each, {evidence.source}): {figure};"
        f" the gain is beyond chance at {' and '.join(shown)}. The model has read worked problems, so it knows how."
    )
    return Finding("cot", figure, {str(n): gain for n, gain in gains.items()}, supports, sentence)


def self_consistency(evidence: Prompted) -> Finding:
    """Does the vote beat the greedy answer, and if not, at least a single sample?"""
    if lacks := evidence.lacking("vote/greedy", "vote/one", "vote/all"):
        return _missing("self-consistency", lacks)
    group = evidence.group("vote")
    greedy, one = evidence.beats("vote/all", "vote/greedy"), evidence.beats("vote/all", "vote/one")
    supports = HOLDS if greedy else CONDITIONS if one else CORRECTED
    price = group["all"].tokens_out / group["greedy"].tokens_out
    figure = f"{100 * evidence.gain('vote/all', 'vote/greedy'):+.0f} points for {price:.1f} times the tokens"
    sentence = (
        f"A vote of {group['all'].calls:.0f} is right on {group['all']}, the greedy answer on {group['greedy']}, one"
        f" sample on {group['one']} ({evidence.size('vote/all')} problems, {evidence.source}). A gain is"
        f" {'' if greedy else 'not '}shown over the greedy answer, and {'' if one else 'not '}shown over one sample;"
        f" the vote writes {price:.1f} times the tokens."
    )
    return Finding("self-consistency", figure, {n: a.accuracy for n, a in group.items()}, supports, sentence)


def tree_of_thoughts(evidence: Prompted) -> Finding:
    """Does the better tree beat writing at once, many checked solutions, and the same search by lot?"""
    rivals = ("tree/at once", "tree/best of", "tree/by lot")
    if lacks := evidence.lacking("tree/written", "tree/chosen", *rivals):
        return _missing("tree-of-thoughts", lacks)
    group = evidence.group("tree")
    best = max(("written", "chosen"), key=lambda how: group[how].accuracy)
    beaten = [name for name in rivals if evidence.beats(f"tree/{best}", name, looks=2)]
    supports = CORRECTED if rivals[0] not in beaten else HOLDS if len(beaten) == len(rivals) else CONDITIONS
    figure = f"{group[best]} with {group[best].calls:.0f} calls, {group['at once']} with one"
    told = " and ".join(name.removeprefix("tree/") for name in beaten) or "none of its rivals"
    sentence = (
        f"On puzzles ({evidence.size('tree/chosen')}, {evidence.source}) a tree with steps {best} solves {figure}; many"
        f" checked solutions {group['best of']}, the same search with its steps drawn by lot {group['by lot']}. It is"
        f" shown to beat {told}."
    )
    values = {name: one.accuracy for name, one in group.items()} | {"calls": group[best].calls}
    return Finding("tree-of-thoughts", figure, values, supports, sentence)


def be_concise(evidence: Prompted) -> Finding:
    """On a model tuned to take the request: does it save 40 to 90%, and what do the answers lose?"""
    names = ("concise/plain", "concise/asked", "concise/base plain", "concise/base asked")
    if lacks := evidence.lacking(*names):
        return _missing("be-concise", lacks)
    group = evidence.group("concise")
    saved = 1 - group["asked"].tokens_out / group["plain"].tokens_out
    base = 1 - group["base asked"].tokens_out / group["base plain"].tokens_out
    loses = evidence.beats("concise/plain", "concise/asked")
    within = LESS[0] <= saved <= LESS[1]
    supports = CORRECTED if not within else CONDITIONS if loses else HOLDS
    figure = f"{saved:.0%} fewer tokens, {100 * evidence.gain('concise/asked', 'concise/plain'):+.0f} points"
    sentence = (
        f"A model that the course tuned to take the request (right on {group['plain']} without it, {group['asked']}"
        f" with it, {evidence.size('concise/plain')} problems, {evidence.source}) writes {saved:.0%} fewer tokens;"
        f" the base model, which was not, {base:.0%}. How much is saved is what was trained, and the words saved"
        f" {'were the working' if loses else 'are not shown to be missed'}."
    )
    return Finding("be-concise", figure, {"saved": saved, "base": base}, supports, sentence)


def rag_facts(evidence: Prompted) -> Finding:
    """Facts: does retrieval beat training on the documents? Form: does training beat examples and choosing?"""
    names = ("facts/asked", "facts/retrieved", "facts/tuned", "form/retrieved", "form/chosen", "form/tuned")
    if lacks := evidence.lacking(*names):
        return _missing("rag-facts", lacks)
    facts, form = evidence.group("facts"), evidence.group("form")
    looked_up = evidence.beats("facts/retrieved", "facts/tuned")
    trained = evidence.beats("form/tuned", "form/retrieved") and evidence.beats("form/tuned", "form/chosen")
    figure = (
        f"facts: {facts['retrieved'].accuracy:.0%} looked up, {facts['tuned'].accuracy:.0%} trained; form:"
        f" {form['retrieved'].accuracy:.0%} and {form['tuned'].accuracy:.0%}"
    )
    sentence = (
        f"Of facts kept out of training the model answers {facts['asked']} from memory, {facts['tuned']} after"
        f" training on their documents and {facts['retrieved']} with a passage that was searched; one word for a"
        f" review is right on {form['retrieved']} with similar reviews as examples,"
        f" {form['chosen']} where the likeliest of the words is taken, and {form['tuned']} after training"
        f" ({evidence.source})."
    )
    values = {f"facts {n}": a.accuracy for n, a in facts.items()} | {f"form {n}": a.accuracy for n, a in form.items()}
    return Finding("rag-facts", figure, values, _of_two(looked_up, trained), sentence)


def start_simple(evidence: Prompted) -> Finding:
    """Is the order prompt, retrieval, training that of the cost before the first answer, and of the cost at any volume?

    Corrected if not even the former; holds if it is the order at few and at many answers; else with conditions.
    """
    names = [f"{task}/{way}" for task in ("facts", "form") for way in WAYS]
    if lacks := evidence.lacking(*names):
        return _missing("start-simple", lacks)
    ways = {task: [_way(evidence, task, how) for how in WAYS] for task in ("facts", "form")}
    first = all(_rises([way.once for way in row]) for row in ways.values())
    always = all(_rises([way.per_thousand(volume) for way in row]) for row in ways.values() for volume in VOLUMES)
    supports = CORRECTED if not first else HOLDS if always else CONDITIONS
    many = {
        task: min(zip(row, WAYS, strict=True), key=lambda p: p[0].per_thousand(VOLUMES[1]))
        for task, row in ways.items()
    }
    best = {task: _best(evidence, task) for task in ways}
    figure = f"best: {best['facts']} for facts, {best['form']} for form"
    sentence = (
        f"With assumed prices the costs before the first answer {'rise' if first else 'do not rise'} from prompt to"
        f" retrieval to training; at {VOLUMES[1]:,} answers a month the cheapest is {many['facts'][1]} for facts and"
        f" {many['form'][1]} for form. The most accurate is {best['facts']} for facts and {best['form']} for form"
        f" ({evidence.source}), so what is missing decides, and the order is one of trying, not of quality."
    )
    values = {f"{task} {how}": way.once for task, row in ways.items() for way, how in zip(row, WAYS, strict=True)}
    return Finding("start-simple", figure, values, supports, sentence)


def model_families(evidence: Prompted) -> Finding:
    """Does a tiny member of each family learn the same task, and is there nothing outside the three?"""
    names = [f"families/{kind}" for kind in ("encoder", "decoder", "encoder-decoder")]
    if lacks := evidence.lacking(*names):
        return _missing("model-families", lacks)
    group = evidence.group("families")
    learned = all(one.accuracy >= LEARNED for one in group.values())
    supports = CORRECTED if not learned else CONDITIONS if evidence.outside else HOLDS
    figure = ", ".join(f"{name} {one.accuracy:.0%}" for name, one in group.items())
    calls = ", ".join(f"{name} {one.calls:.0f}" for name, one in group.items())
    sentence = (
        f"Tiny models from nothing, put to the same task, sorting digits ({evidence.size(names[0])} rows,"
        f" {evidence.source}): {figure} right; passes through the model for an answer: {calls}. Outside the three are"
        f" {', '.join(evidence.outside) or 'none'}, which have no attention or mix it with recurrence."
    )
    values = {name: one.accuracy for name, one in group.items()} | {"outside": float(len(evidence.outside))}
    return Finding("model-families", figure, values, supports, sentence)


def choose_model(evidence: Prompted) -> Finding:
    """How many of the six questions do the files of the models on board answer?"""
    answered = {name: sum(row["answer"] != SILENT for row in checklist(name)) for name in ON_BOARD}
    total = len(checklist(ON_BOARD[0]))
    everything, anything = (some(count == total for count in answered.values()) for some in (all, any))
    supports = HOLDS if everything else CONDITIONS if anything else CORRECTED
    figure = ", ".join(f"{name} {count} of {total}" for name, count in answered.items())
    told = f"Answered by a model's own files or the course's table: {figure}."
    sentence = f"{told} No file says how good a model is at *your* task."
    return Finding("choose-model", figure, {n: float(c) for n, c in answered.items()}, supports, sentence)


def _best(evidence: Prompted, task: str) -> str:
    return max(WAYS, key=lambda how: evidence.asked[f"{task}/{how}"].accuracy)


def _of_two(first: bool, second: bool) -> str:
    return (CORRECTED, CONDITIONS, HOLDS)[first + second]


def _rises(costs: Sequence[float]) -> bool:
    return all(left <= right * 1.001 for left, right in itertools.pairwise(costs))


def _way(evidence: Prompted, task: str, how: str) -> cost.Way:
    """A recorded way with the assumed prices."""
    one, numbers = evidence.asked[f"{task}/{how}"], evidence.numbers
    if how == "asked":
        return cost.prompting(one.tokens_in, one.tokens_out)
    if how == "retrieved":
        return cost.retrieval(one.tokens_in, one.tokens_out, words=numbers[f"{task} words"])
    hours = numbers[f"{task} seconds"] / 3600
    return cost.fine_tuning(one.tokens_in, one.tokens_out, labels=int(numbers[f"{task} labels"]), gpu_hours=hours)


def _spread_difference(small: Sequence[Sequence[bool]], large: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """The 95% range of how much wider the first spread is, questions drawn again with replacement (Efron)."""
    rng, both = np.random.default_rng(0), [np.asarray(rows, dtype=float) for rows in (small, large)]
    differences = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, both[0].shape[1], both[0].shape[1])
        first, second = (np.ptp(rows[:, drawn].mean(axis=1)) for rows in both)
        differences.append(first - second)
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def _missing(claim: str, what: Sequence[str]) -> Finding:
    return Finding(claim, "not measured", {}, None, f"This evidence cannot tell; it lacks: {', '.join(what)}.")


def default_evidence() -> Prompted:
    """The recorded measurements on both of the course's models."""
    return Prompted.recorded()


CHECKS = {
    "prompt-wording": prompt_wording,
    "few-shot-24": few_shot_24,
    "cot": cot,
    "self-consistency": self_consistency,
    "tree-of-thoughts": tree_of_thoughts,
    "be-concise": be_concise,
    "rag-facts": rag_facts,
    "start-simple": start_simple,
    "model-families": model_families,
    "choose-model": choose_model,
}
