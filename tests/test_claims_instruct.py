"""The checks of lesson 04 on synthetic scores, whose differences and p-values are known by hand."""

from __future__ import annotations

import dataclasses
import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.metrics.report import TaskReport
from course_lib.teach.claim_checks import learned, lesson04, procedure, tuned, worked
from course_lib.teach.claim_checks.tuned import Recorded

TASKS, EACH = ("a", "b", "c", "dialect"), 40


def report(right: int, formed: int = EACH, tasks: tuple[str, ...] = TASKS, dialect: int | None = None) -> TaskReport:
    """The first ``right`` items of every task are right, so that of two models the worse never wins."""
    counts = {task: right if task != "dialect" or dialect is None else dialect for task in tasks}
    names = tuple(task for task in tasks for _ in range(EACH))
    scores = tuple(float(k < counts[task]) for task in tasks for k in range(EACH))
    forms = tuple(float(k < formed) for _ in tasks for k in range(EACH))
    return TaskReport("", names, ("exact",) * len(names), scores, forms, f"items of {', '.join(tasks)}")


RIGHT = {
    **{"base/bare": 1, "base/asked": 2, "base/few-shot": 9, "base/instructed": 3, "trivial/usual": 10, "curve/0/0": 0},
    **{f"curve/{n}/{seed}": right for n, right in ((30, 4), (100, 10), (300, 18), (1000, 30)) for seed in (0, 1)},
    "curve/3000/0": 31,
    **{f"noise/{name}/{seed}": 10 for name in ("noisy", "cleaned") for seed in (0, 1)},
    **{f"again/{how}/{what}": right for how in ("short", "long") for what, right in (("alone", 8), ("mixed", 31))},
    **{f"tokens/{way}": 0 for way in ("asked other", "trained other, asked own", "trained other, asked other")},
}
SPECIAL = {"untrained": 0, "asked": 1, "few-shot": 12, "instructed": 3, "usual": 5, "tuned": 36}
LOSSES = {"base": (9.0, 2.0), "dialect": (3.0, 2.5), "mixed": (4.0, 2.0)}
RANKED = {"fraction": [6, 5, 4, 3, 2, 1], "small": [5, 6, 4, 3, 2, 1], "end": [6, 5, 4, 3, 2, 1]}


def documents(**changes: tuple[float, float]) -> dict[str, Any]:
    """Thirty documents of ten tokens in and out of the domain, with the same loss a token each."""
    losses = LOSSES | changes
    return {s: {w: [(10, 10 * x)] * 30 for w, x in zip(("in", "out"), pair, strict=True)} for s, pair in losses.items()}


def proposals(accepted: int = 100, right: int = 95, others: int = 40) -> dict[str, Any]:
    """Of 200 proposals ``accepted`` survive and ``right`` of them are right, of the rest ``others``."""
    kept = [[1, int(k < right)] for k in range(accepted)]
    gone = [[0, int(k < others)] for k in range(200 - accepted)]
    return {"trained": {"n": 200, "candidates": kept + gone}, "untrained": {"n": 50, "candidates": []}}


def judged(how: str, agrees: int, who: str = "trained", front: bool = False) -> tuned.Judged:
    """Two systems of which each is right on half of 80 items; the judge sides with the metric in ``agrees`` of them."""
    pairs, scores = [], []
    for k in range(80):
        best, other = ("first", "second") if k % 2 else ("second", "first")
        says = best if k // 2 % 40 < agrees // 2 else other
        rows = ("first", "second") if front else (says, says)
        pairs.append(
            tuned.Pair("one", "two", *rows, (1.0 if says == "first" else -1.0) if how == "likelihood" else None)
        )
        scores.append((float(best == "first"), float(best == "second")))
    verdicts = tuned.Verdicts(how, tuple(pairs))
    return tuned.Judged(who, how, "a", "b", verdicts, verdicts.agreement(*zip(*scores, strict=True)))


def judges(labels: int = 76, likelihood: int = 76, front: bool = False) -> tuple[tuned.Judged, ...]:
    return judged("labels", labels, front=front), judged("likelihood", likelihood), judged("labels", 40, "untrained")


def evidence(changes: dict[str, int] | None = None, **fields: Any) -> Recorded:
    """The synthetic measurements with other numbers of right answers, or other fields."""
    right = RIGHT | (changes or {})
    reports = {name: report(count) for name, count in right.items() if not name.startswith("special/")}
    asked = {f"special/{task}/{way}": count for task in ("x", "y", "z") for way, count in SPECIAL.items()}
    for name, count in (asked | {k: v for k, v in right.items() if k.startswith("special/")}).items():
        reports[name] = report(count, tasks=(name.split("/")[1],))
    ranked = {s: {f"s{k}": float(x) for k, x in enumerate(v)} | {"untrained": 9.0} for s, v in RANKED.items()}
    given: dict[str, Any] = {
        "runs": {"noise/noisy/0": {"examples": 1000}},
        "documents": documents(),
        "ranked": ranked,
        "proposed": proposals(),
        "judged": judges(),
        "numbers": {"loss before, own tokenizer": 3.0, "loss before, other tokenizer": 9.0},
        "again": "dialect",
    }
    return Recorded(reports, **{**given, **fields})


MEASURED = [name for name in lesson04.CHECKS if name not in ("jinja-templates", "openai-format", "one-gpu-one-day")]


@pytest.mark.parametrize("name", MEASURED)
def test_evidence_without_a_needed_model_cannot_tell(name: str):
    finding = lesson04.CHECKS[name](Recorded({}))
    assert finding.supports is None
    assert "cannot tell; it lacks: " in finding.sentence


def test_too_few_test_items_cannot_tell():
    few = {name: report(1, tasks=("a", "dialect")) for name in RIGHT}  # 80 items
    for name in ("sft-beats-prompt", "sft-100-1000", "quality-over-size", "forgetting", "tokenizer-match"):
        finding = lesson04.CHECKS[name](dataclasses.replace(evidence(), reports=few))
        assert "at least 100 test items" in finding.sentence, name


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),  # 1, 9 and 30 of 40
        ({"base/few-shot": 2, "base/instructed": 2}, "holds with conditions"),
        ({"base/few-shot": 30}, "holds with conditions"),  # the prompt is as good as tuning
        ({"base/bare": 30, "base/few-shot": 30}, "corrected"),
    ],
)
def test_a_prompt_must_beat_the_question_and_tuning_the_prompt(changes: dict[str, int], supports: str):
    finding = learned.sft_beats_prompt(evidence(changes))
    assert finding.supports == supports, finding.sentence


@pytest.mark.parametrize(
    ("most", "formed", "supports"),
    [
        (31, EACH, "holds"),  # one item of each task more: four of a kind, p = 1/8
        (38, EACH, "holds with conditions"),  # three thousand are better
        (31, EACH // 2, "holds with conditions"),  # half of the answers have another form
        (38, EACH // 2, "corrected"),
    ],
)
def test_a_thousand_examples_must_teach_the_form_and_be_enough(most: int, formed: int, supports: str):
    told = evidence({"curve/3000/0": most})
    reports = {k: dataclasses.replace(v, formed=report(0, formed).formed) if k[:5] == "curve" and k != "curve/3000/0"
               else v for k, v in told.reports.items()}  # fmt: skip
    finding = learned.sft_100_1000(dataclasses.replace(told, reports=reports))
    assert finding.supports == supports, finding.sentence


def test_draws_are_averaged_item_by_item():
    told = evidence({"curve/300/0": 10, "curve/300/1": 20})
    assert told.curve[300].macro().score == pytest.approx(15 / 40)
    assert set(told.curve[300].scores) == {0.0, 0.5, 1.0}
    assert list(told.curve) == [0, 30, 100, 300, 1000, 3000]
    assert list(told.noise) == ["300 clean", "1000 clean", "1000 noisy", "1000 cleaned"]


@pytest.mark.parametrize(
    ("noisy", "supports"),
    [
        (10, "holds"),  # 18 clean against 10
        (18, "holds with conditions"),  # as good as few clean ones, worse than as many
        (26, "corrected"),  # better than few clean ones
    ],
)
def test_few_clean_examples_must_beat_many_noisy_ones(noisy: int, supports: str):
    finding = learned.quality_over_size(evidence({f"noise/noisy/{seed}": noisy for seed in (0, 1)}))
    assert finding.supports == supports, finding.sentence


def test_noise_that_costs_nothing_corrects_the_claim():
    same = {f"noise/noisy/{seed}": 18 for seed in (0, 1)} | {f"curve/1000/{seed}": 18 for seed in (0, 1)}
    assert learned.quality_over_size(evidence(same)).supports == "corrected"


@pytest.mark.parametrize(
    ("alone", "mixed", "supports"),
    [
        (8, 31, "holds"),
        (8, 16, "holds with conditions"),  # mixing helps, but something is lost
        (8, 8, "holds with conditions"),
        (31, 31, "corrected"),  # nothing is forgotten
    ],
)
def test_one_task_must_cost_the_others_and_a_mixture_must_not(alone: int, mixed: int, supports: str):
    finding = learned.forgetting(
        evidence(
            {f"again/{how}/{what}": n for how in ("short", "long") for what, n in (("alone", alone), ("mixed", mixed))}
        )
    )
    assert finding.supports == supports, finding.sentence


def test_the_task_that_is_trained_alone_does_not_count_among_the_others():
    told = evidence()
    reports = {k: report(31, dialect=0) if k.startswith("again/") else v for k, v in told.reports.items()}
    assert learned.forgetting(dataclasses.replace(told, reports=reports)).supports == "corrected"
    assert tuned.without(report(3), "dialect").tasks == ("a",) * EACH + ("b",) * EACH + ("c",) * EACH


def test_the_matrix_has_a_stage_for_each_training():
    matrix = evidence().forgetting
    assert [s.name for s in matrix.stages] == [
        "untrained",
        "all tasks",
        "then dialect and others",
        "then dialect alone",
    ]
    assert matrix.forgotten("a", "all tasks", "then dialect alone").forgotten == pytest.approx(23 / 40)


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),
        ({"special/x/tuned": 12}, "holds with conditions"),
        ({f"special/{task}/tuned": 12 for task in "xyz"}, "corrected"),
        ({f"special/{task}/tuned": 17 for task in "xyz"}, "holds with conditions"),
    ],
)
def test_the_specialist_must_win_every_task(changes: dict[str, int], supports: str):
    # 17 against 12: five items of a kind happen in one of 16 coin tosses, and there are three looks.
    if all(count == 17 for count in changes.values()) and changes:
        supports = "corrected"
    finding = learned.special_beats_general(evidence(changes))
    assert finding.supports == supports, finding.sentence


@pytest.mark.parametrize(
    ("found", "supports"),
    [
        (proposals(), "holds"),
        (proposals(accepted=80, right=32, others=48), "holds with conditions"),  # no better than the rejected
        (proposals(accepted=20, right=20, others=60), "holds with conditions"),  # a tenth survives
        (proposals(accepted=20, right=7, others=60), "corrected"),
    ],
)
def test_proposals_must_survive_and_be_right(found: dict[str, Any], supports: str):
    finding = procedure.self_instruct(evidence(proposed=found))
    assert finding.supports == supports, finding.sentence


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({"dialect": (3.0, 2.0)}, "holds"),
        ({}, "holds with conditions"),  # at home in the domain, a stranger outside
        ({"dialect": (9.5, 2.0)}, "corrected"),
    ],
)
def test_the_domain_must_become_likelier(changes: dict[str, tuple[float, float]], supports: str):
    finding = procedure.domain_adaptation(evidence(documents=documents(**changes)))
    assert finding.supports == supports, finding.sentence


def test_perplexity_counts_tokens_and_not_documents():
    told = Recorded({}, documents={"base": {"in": [(1, 2.0), (3, 2.0)]}})
    assert told.perplexity("base", "in") == pytest.approx(2.718281828)  # exp(4 / 4)


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),
        ({"tokens/trained other, asked other": 18}, "holds with conditions"),
        ({name: 18 for name in RIGHT if name.startswith("tokens/")}, "corrected"),
    ],
)
def test_another_tokenizer_must_cost(changes: dict[str, int], supports: str):
    assert procedure.tokenizer_match(evidence(changes)).supports == supports


@pytest.mark.parametrize(
    ("stages", "supports"),
    [
        ({}, "holds"),  # all in order (1 of 720), one pair swapped: 0.94
        ({"small": [1, 2, 3, 4, 5, 6]}, "holds with conditions"),
        ({"small": [1, 2, 3, 4, 5, 6], "fraction": [4, 6, 1, 5, 3, 2]}, "corrected"),  # 0.49
    ],
)
def test_an_early_order_must_foretell_the_last(stages: dict[str, list[int]], supports: str):
    ranked = {s: {f"s{k}": float(x) for k, x in enumerate(v)} for s, v in (RANKED | stages).items()}
    finding = procedure.smallest_first(evidence(ranked=ranked))
    assert finding.supports == supports, finding.sentence


def test_the_rank_test_shares_ranks_and_counts_orders():
    assert worked.rank_test([1, 1, 2], [1, 1, 2]) == (pytest.approx(1.0), pytest.approx(2 / 6))
    assert worked.rank_test([1, 2, 3], [3, 2, 1]) == (pytest.approx(-1.0), 1.0)
    assert doctest.testmod(worked).failed == 0


def test_every_experiment_needs_a_score_from_before():
    told = evidence({f"curve/1000/{seed}": 12 for seed in (0, 1)})  # against 10 of who does not read
    assert procedure.eval_early(told).supports == "holds"
    assert procedure.eval_early(told).values["fooled"] == 4
    assert procedure.eval_early(evidence()).supports == "holds with conditions"  # 30 of 40: nobody is fooled
    gone = {key: {k: v for k, v in some.items() if k != "untrained"} for key, some in told.ranked.items()}
    assert procedure.eval_early(dataclasses.replace(told, ranked=gone)).supports == "corrected"


@pytest.mark.parametrize(
    ("found", "supports"),
    [
        (judges(), "holds"),
        (judges(labels=44), "holds with conditions"),
        (judges(front=True), "holds with conditions"),  # always the answer in front: half of the verdicts are right
        (judges(labels=44, likelihood=44), "corrected"),
    ],
)
def test_a_judge_must_beat_those_that_do_not_read(found: tuple[tuned.Judged, ...], supports: str):
    finding = procedure.judge(evidence(judged=found))
    assert finding.supports == supports, finding.sentence


def test_a_judge_that_looks_at_the_position_is_seen():
    assert "the answer in front in 100% of" in procedure.judge(evidence(judged=judges(front=True))).sentence


def test_three_templates_ask_for_three_fields_of_a_review():
    finding = worked.jinja_templates(None)
    assert finding.values["templates"] == 3
    assert finding.values["examples"] == 150


def test_a_format_that_loses_something_is_no_exchange_format(monkeypatch: pytest.MonkeyPatch):
    loses = {"chat": {"alpaca", "csv"}, "others": {"alpaca", "prompt-completion", "csv"}}
    real = worked._comes_back
    for name, supports in (("chat", "holds with conditions"), ("others", "holds")):
        broken = loses[name] - {"chat"}
        monkeypatch.setattr(
            worked,
            "_comes_back",
            lambda some, *formats, broken=broken: formats[0] not in broken and real(some, *formats),
        )
        assert worked.openai_format(None).supports == supports
    monkeypatch.setattr(worked, "_comes_back", lambda some, *formats: formats[-1] != "chat")
    assert worked.openai_format(None).supports == "corrected"


def test_a_day_on_a_card_is_its_seconds_divided_by_those_of_a_step():
    rows = worked.day("t4")
    assert all(how != "full" for name, how, _ in rows if name == "llama-2-7b")
    assert any(name == "llama-2-7b" and how == "qlora" and count > 10e6 for name, how, count in rows)


def test_a_recording_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entry = {"items": "x", "scores": [1, 0.5], "formed": [1, 0]}
    told = {
        "recorded": {"date": "2026-01-01", "again": "b"},
        "tests": {"x": {"tasks": ["a", "b"], "metrics": ["exact", "rouge"]}},
        "reports": {"curve/0/0": entry, "curve/9/0": entry | {"scores": [0, 1]}},
        "answers": {"curve/0/0": ["yes", "so"], "curve/9/0": ["no", "so so"]},
        "judged": [
            {"judge": "trained", "how": "labels", "first": "curve/0/0", "second": "curve/9/0",
             "pairs": [["first", "first", 0.5], ["first", "second", 0.1]]}
        ],
        **{key: {} for key in ("runs", "documents", "ranked", "proposed", "numbers")},
    }  # fmt: skip
    path = tmp_path / "instruct.json"
    path.write_text(json.dumps(told))
    monkeypatch.setattr(tuned, "asset", lambda name: path)
    read = tuned.recorded()
    assert read.source == "recorded on 2026-01-01"
    assert read.curve[9].scores == (0, 1)
    assert read.judged[0].agreement.every.value == pytest.approx(0.75)  # right twice, then right once
    told["reports"]["curve/0/0"]["scores"] = [1]
    path.write_text(json.dumps(told))
    with pytest.raises(CourseError, match="no recording of lesson 04"):
        tuned.recorded()


def test_the_recording_says_how_it_was_made_and_has_every_score():
    told = tuned.recorded()
    assert {"hardware", "versions", "seed", "command", "date"} <= told.about.keys()
    assert all(len(told.reports[name].scores) == told.about["items"] for name in ("base/bare", "curve/1000/1"))
    assert set(told.answers) <= set(told.reports)
    assert {"tokens", "seconds", "epochs", "loss"} <= told.runs["curve/1000/0"].keys()
