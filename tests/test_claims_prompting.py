"""The checks of lesson 02 on synthetic answers, whose differences and p-values are known by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.teach.claim_checks import lesson02, prompted
from course_lib.teach.claim_checks.prompted import Asked, Prompted

N = 200


def asked(right: int, tokens: float = 10.0, calls: float = 1.0, n: int = N) -> Asked:
    """The first ``right`` of ``n`` answers are right, so that of two ways the worse never wins."""
    return Asked(tuple(k < right for k in range(n)), (True,) * n, 50.0, tokens, calls)


RIGHT = {
    **{f"wording-small/{k}": 100 - 20 * k for k in range(5)},
    **{f"wording-large/{k}": 100 - 8 * k for k in range(5)},
    **{f"shots/{k}": right for k, right in {0: 10, 1: 60, 2: 100, 4: 150, 8: 152, 16: 120}.items()},
    **{f"steps-{k}/bare": right for k, right in {1: 180, 2: 60, 3: 20}.items()},
    **{f"steps-{k}/worked": 180 for k in (1, 2, 3)},
    **{"vote/greedy": 120, "vote/one": 90, "vote/all": 150},
    **{"tree/at once": 5, "tree/best of": 60, "tree/written": 70, "tree/chosen": 120, "tree/by lot": 40},
    **{"concise/plain": 150, "concise/asked": 148, "concise/base plain": 20, "concise/base asked": 20},
    **{"facts/asked": 4, "facts/retrieved": 140, "facts/tuned": 20},
    **{"form/asked": 4, "form/examples": 90, "form/retrieved": 100, "form/chosen": 110, "form/tuned": 170},
    **{f"families/{name}": 190 for name in ("encoder", "decoder", "encoder-decoder")},
}
TOKENS = {"vote/all": 90.0, "concise/plain": 40.0, "concise/asked": 10.0, "tree/chosen": 100.0}
NUMBERS = {
    **{"facts words": 9000.0, "facts labels": 0.0, "facts seconds": 60.0},
    **{"form words": 9000.0, "form labels": 320.0, "form seconds": 60.0},
}


def evidence(n: int = N, outside: tuple[str, ...] = (), **changes: int) -> Prompted:
    """The synthetic answers with other numbers of right ones: ``vote__all=120`` for "vote/all"."""
    right = RIGHT | {name.replace("__", "/").replace("_", " "): count for name, count in changes.items()}
    ways = {name: asked(min(count, n), TOKENS.get(name, 10.0), n=n) for name, count in right.items()}
    return Prompted(ways, ("small", "large"), NUMBERS, outside)


CHECKS = [name for name in lesson02.CHECKS if name != "choose-model"]


@pytest.mark.parametrize("name", CHECKS)
def test_evidence_without_the_way_of_asking_cannot_tell(name: str):
    finding = lesson02.CHECKS[name](Prompted({}))
    assert finding.supports is None
    assert "lacks" in finding.sentence


@pytest.mark.parametrize("name", CHECKS)
def test_too_few_questions_cannot_tell(name: str):
    finding = lesson02.CHECKS[name](evidence(n=99))
    assert finding.supports is None, finding.sentence
    assert "at least 100 questions" in finding.sentence


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),  # spreads of 40 and 16 points, both beyond chance
        ({f"wording-large__{k}": 100 - 20 * k for k in range(5)}, "holds with conditions"),  # equal spreads
        ({f"wording-{m}__{k}": 100 for m in ("small", "large") for k in range(5)}, "corrected"),
    ],
)
def test_wording_must_move_the_answers_and_the_small_model_more(changes: dict[str, int], supports: str):
    finding = lesson02.prompt_wording(evidence(**changes))
    assert finding.supports == supports, finding.sentence


def test_the_spread_is_the_one_computed_by_hand():
    values = lesson02.prompt_wording(evidence()).values
    assert values["small"] == pytest.approx(80 / 200)
    assert values["large"] == pytest.approx(32 / 200)


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),  # 150, 152, 120: nothing beats four, and sixteen are beaten
        ({"shots__16": 150}, "holds with conditions"),
        ({"shots__8": 180, "shots__16": 190}, "corrected"),
        ({"shots__8": 180}, "holds with conditions"),  # eight are better, sixteen worse
    ],
)
def test_four_examples_must_do_and_sixteen_must_harm(changes: dict[str, int], supports: str):
    assert lesson02.few_shot_24(evidence(**changes)).supports == supports


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),
        ({"steps-2__bare": 180}, "holds with conditions"),
        ({"steps-1__bare": 200}, "holds with conditions"),  # steps lose where there is one
        ({"steps-2__bare": 180, "steps-3__bare": 180}, "corrected"),
    ],
)
def test_steps_must_help_where_there_are_several(changes: dict[str, int], supports: str):
    assert lesson02.cot(evidence(**changes)).supports == supports


@pytest.mark.parametrize(
    ("votes", "supports"), [(150, "holds"), (121, "holds with conditions"), (92, "corrected"), (60, "corrected")]
)
def test_a_vote_must_beat_the_greedy_answer(votes: int, supports: str):
    finding = lesson02.self_consistency(evidence(vote__all=votes))
    assert finding.supports == supports
    assert "9.0 times the tokens" in finding.figure


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),
        ({"tree__by_lot": 119}, "holds with conditions"),  # the search does it, not the model
        ({"tree__at_once": 120}, "corrected"),
        ({"tree__chosen": 5, "tree__written": 6}, "corrected"),
    ],
)
def test_a_tree_must_beat_its_rivals(changes: dict[str, int], supports: str):
    assert lesson02.tree_of_thoughts(evidence(**changes)).supports == supports


def test_brevity_is_held_against_the_figure_and_the_accuracy():
    assert lesson02.be_concise(evidence()).supports == "holds"  # 30 of 40 tokens saved
    assert lesson02.be_concise(evidence(concise__asked=100)).supports == "holds with conditions"
    ways = dict(evidence().asked) | {"concise/asked": asked(148, tokens=36.0)}
    assert lesson02.be_concise(dataclasses.replace(evidence(), asked=ways)).supports == "corrected"  # a tenth saved


@pytest.mark.parametrize(
    ("changes", "supports"),
    [
        ({}, "holds"),
        ({"facts__tuned": 140}, "holds with conditions"),
        ({"form__tuned": 100}, "holds with conditions"),
        ({"form__chosen": 170}, "holds with conditions"),  # where the form was the only trouble
        ({"facts__tuned": 150, "form__tuned": 90}, "corrected"),
    ],
)
def test_facts_want_retrieval_and_form_wants_training(changes: dict[str, int], supports: str):
    assert lesson02.rag_facts(evidence(**changes)).supports == supports


def test_the_simple_way_first_costs_least_before_the_first_answer():
    finding = lesson02.start_simple(evidence())
    assert finding.supports in ("holds", "holds with conditions")
    once = [finding.values[f"form {how}"] for how in lesson02.WAYS]
    assert once == sorted(once)
    # 200 tests at 0.30 dollars, and for training 320 labels more and five runs of a minute at a dollar an hour
    assert once[0] == pytest.approx(60)
    assert once[2] == pytest.approx(60 + 96 + 5 / 60)


def test_three_families_are_all_only_if_nothing_is_outside():
    assert lesson02.model_families(evidence()).supports == "holds"
    assert lesson02.model_families(evidence(outside=("mamba",))).supports == "holds with conditions"
    assert lesson02.model_families(evidence(families__decoder=50)).supports == "corrected"


@pytest.mark.parametrize(
    ("silent", "supports"), [([], "holds"), (["a"], "holds with conditions"), (["a", "b", "c"], "corrected")]
)
def test_the_six_questions_must_be_answered_by_files(silent: list[str], supports: str, monkeypatch: pytest.MonkeyPatch):
    def told(name: str) -> list[dict[str, str]]:
        answers = ["yes"] * 5 + [lesson02.SILENT if name in silent else "yes"]
        return [{"answer": answer} for answer in answers]

    monkeypatch.setattr(lesson02, "checklist", told)
    monkeypatch.setattr(lesson02, "ON_BOARD", ("a", "b", "c"))
    assert lesson02.choose_model(Prompted({})).supports == supports


def test_a_recording_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one = Asked((True, False, True), (True, True, False), 12.3456, 7.0, 2.0)
    told = {"recorded": {"date": "2026-01-01"}, "models": ["s", "l"], "numbers": {}, "outside": []}
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(told | {"asked": {"a/b": one.to_json()}}))
    monkeypatch.setattr(prompted, "asset", lambda name: path)
    read = Prompted.recorded()
    assert read.asked["a/b"] == dataclasses.replace(one, tokens_in=12.346)
    assert read.source == "recorded on 2026-01-01"
    path.write_text("{}")
    with pytest.raises(CourseError, match="no recording of lesson 02"):
        Prompted.recorded()


def test_the_paired_test_counts_only_where_the_two_differ():
    # 6 answers differ, all in favour of one: p = 2 / 2^6.
    found = evidence(vote__all=126, vote__greedy=120)
    assert found.p("vote/all", "vote/greedy") == pytest.approx(2 / 64)
    assert found.p("vote/all", "vote/greedy", looks=4) == pytest.approx(8 / 64)
