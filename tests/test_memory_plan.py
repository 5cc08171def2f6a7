"""The plan as a whole: both engines behind one question, what it answers, and what it refuses to answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.memory.gpus import GPU, gpu
from course_lib.memory.models import preset
from course_lib.memory.plan import Plan, make, plan
from course_lib.memory.recipe import Recipe

PHASES = ["load", "forward", "loss", "backward", "step"]
ENGINES = ["trace", "formulas"]
SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 160,
    "vocab_size": 500,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


def card(usable: int, context: int = 0) -> GPU:
    return replace(gpu("a100-80"), name="small", usable=usable, context=context)


@pytest.fixture(scope="module")
def both() -> Plan:
    return plan("smollm2-135m", gpu="t4", engine="both", method="lora", precision="fp16", seq_len=256, micro_batch=2)


# -- what it answers ---------------------------------------------------------------------------------------------------


def test_it_has_every_part_at_every_phase(both):
    for one in (both, both.other):
        assert list(one.phases) == PHASES
        assert set(one.phases["load"]) == {"weights", "adapters"}
        assert {"gradients", "optimizer"} <= set(one.phases["step"])
        assert all(size > 0 for parts in one.phases.values() for size in parts.values())


def test_the_peak_is_the_fullest_phase(both):
    totals = {phase: sum(parts.values()) for phase, parts in both.phases.items()}
    assert both.peak_bytes == max(totals.values()) == totals[both.peak_phase]
    assert both.parts == both.phases[both.peak_phase]


def test_what_the_process_holds_is_segments_and_context(both):
    t4 = gpu("t4")
    assert both.context_bytes == t4.context
    assert both.reserved_bytes == both.segments_bytes + t4.context
    assert both.free_bytes == t4.usable - both.reserved_bytes
    assert both.segments_bytes >= both.peak_bytes


def test_both_shows_the_trace_and_beside_it_the_formulas(both):
    assert (both.engine, both.other.engine) == ("trace", "formulas")
    assert both.other.other is None
    assert both.other.peak_bytes == pytest.approx(both.peak_bytes, rel=0.02)
    assert both.total_params == both.other.total_params == preset("smollm2-135m").parameters
    assert both.trainable_params == both.other.trainable_params


def test_its_json_has_what_others_need(both):
    found = json.loads(json.dumps(both.to_json()))
    assert {"peak_bytes", "parts", "fits", "advice", "trainable_params", "total_params", "seconds"} <= found.keys()
    assert found["parts"] == both.parts
    assert found["gpu"] == "t4"
    assert found["other"]["engine"] == "formulas"
    assert "advice" not in found["other"]


@pytest.mark.parametrize("engine", ENGINES)
def test_more_of_everything_needs_more(engine):
    def peak(**settings: Any) -> int:
        return plan(SMALL, gpu="a100-80", engine=engine, advise=False, **{"seq_len": 64, **settings}).peak_bytes

    least = peak(method="lora", checkpointing=True)
    for more in ({"seq_len": 128}, {"micro_batch": 2}, {"rank": 64}, {"checkpointing": False}, {"method": "full"}):
        assert peak(**{"method": "lora", "checkpointing": True, **more}) > least, more


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("method", ["full", "last-n", "lora", "qlora", "prompt", "inference"])
def test_every_method_has_a_plan(engine, method):
    found = plan(SMALL, gpu="a100-80", engine=engine, method=method, seq_len=64)
    assert found.fits
    assert found.advice == ()
    assert found.seconds > 0
    assert found.flops > 0
    assert (found.trainable_params > 0) == (method != "inference")


def test_a_config_a_folder_and_a_recipe_mean_the_same(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    recipe = Recipe(method="lora", seq_len=64)
    found = [
        plan(SMALL, recipe, "t4", engine="formulas"),
        plan(tmp_path, recipe, gpu("t4"), engine="formulas"),
        plan(tmp_path / "config.json", gpu="T4", engine="formulas", method="lora", seq_len=64),
        plan(SMALL, Recipe(method="lora"), "t4", engine="formulas", seq_len=64),
    ]
    assert len({one.peak_bytes for one in found}) == 1


# -- whether it fits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_fits_where_segments_and_context_do(engine):
    settings: dict[str, Any] = {"engine": engine, "seq_len": 128, "micro_batch": 4, "advise": False}
    free = plan(SMALL, gpu=card(2**40), **settings)
    assert free.fits
    assert plan(SMALL, gpu=card(free.segments_bytes + 10**6, 10**6), **settings).fits
    assert not plan(SMALL, gpu=card(free.segments_bytes + 10**6, 5 * 10**7), **settings).fits
    assert not plan(SMALL, gpu=card(free.peak_bytes - 1), **settings).fits


@pytest.mark.parametrize("engine", ENGINES)
def test_advice_comes_where_it_does_not_fit_and_was_checked(engine):
    settings: dict[str, Any] = {"seq_len": 256, "micro_batch": 16, "method": "full"}
    whole = plan(SMALL, gpu=card(2**40), engine=engine, **settings)
    small = card(whole.peak_bytes // 2)
    found = plan(SMALL, gpu=small, engine=engine, **settings)
    assert not found.fits
    assert found.free_bytes < 0
    assert found.advice
    first = found.advice[0]
    again = plan(SMALL, gpu=small, engine=engine, **{**settings, **first.settings})
    assert again.fits
    assert (again.peak_bytes, again.reserved_bytes) == (first.peak_bytes, first.reserved_bytes)
    assert plan(SMALL, gpu=small, engine=engine, advise=False, **settings).advice == ()


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "lorra"}, "full, last-n, lora, qlora, prompt, inference"),
        ({"rank": -1}, "from 1 up"),
        ({"micro_batch": 0}, "from 1 up"),
        ({"targets": "q_proj,router", "method": "lora"}, "q_proj, k_proj, v_proj, o_proj"),
        ({"seq_len": 257}, "at most 256 tokens"),
        ({"method": "last-n", "blocks": 6}, "5 blocks"),
        ({"batch": 2}, "micro_batch"),
        ({"devices": 2}, "zero1, zero2, zero3 or fsdp"),
        ({"engine": "guess"}, "trace, formulas, both"),
        ({"gpu": "t5"}, "t4"),
    ],
)
def test_nonsense_gets_a_sentence_with_the_choices(settings, said):
    with pytest.raises(CourseError) as caught:
        plan(SMALL, **{"engine": "formulas", "seq_len": 64, **settings})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"num_attention_heads": 128}, "heads"), ({"hidden_size": 0}, "hidden_size"), ({"model_type": "t5"}, "t5")],
)
def test_a_model_that_cannot_be_is_refused(changed, said):
    with pytest.raises(CourseError, match=said):
        plan({**SMALL, **changed}, engine="formulas")


def test_an_unknown_model_is_answered_with_what_comes_near():
    with pytest.raises(CourseError, match="llama-2-7b"):
        plan("llama-2-7", engine="formulas")


def test_settings_become_a_recipe_or_are_refused_by_name():
    assert make({"method": "lora", "rank": 4}) == Recipe(method="lora", rank=4)
    with pytest.raises(CourseError, match="'ranks' is no setting"):
        make({"ranks": 4})
