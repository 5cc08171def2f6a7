"""Advice: cheap changes before dear ones, nothing that does not help, and hardware where nothing else does."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.memory import formulas
from course_lib.memory.advice import Advice, suggest
from course_lib.memory.estimate import Estimate
from course_lib.memory.gpus import GPU, gpu, gpus
from course_lib.memory.models import presets
from course_lib.memory.recipe import METHODS, Recipe
from course_lib.memory.subject import subject


def advice(model: str, card: str | GPU, **settings: Any) -> tuple[Advice, ...]:
    where, what = gpu(card) if isinstance(card, str) else card, subject(model)
    return suggest(what, Recipe(**settings), where, functools.partial(formulas.estimate, what, gpu=where))


def names(found: tuple[Advice, ...]) -> list[set[str]]:
    return [set(one.settings) for one in found]


def test_a_batch_too_large_is_split_first_and_only_as_far_as_it_has_to_be():
    first = advice("gpt2", "t4", precision="fp32", micro_batch=32, seq_len=1024)[0]
    size, times = first.settings["micro_batch"], first.settings["accumulate"]
    assert size * times == 32  # a step sees the same sequences
    assert 1 < size < 32
    what, card = subject("gpt2"), gpu("t4")
    twice = Recipe(precision="fp32", seq_len=1024, micro_batch=2 * size, accumulate=times // 2)
    assert not formulas.estimate(what, twice, gpu=card).fits


def test_what_was_accumulated_before_is_accumulated_after():
    first = advice("gpt2", "t4", precision="fp32", micro_batch=32, accumulate=3, seq_len=1024)[0]
    assert first.settings["micro_batch"] * first.settings["accumulate"] == 96


def test_what_changes_nothing_that_is_learned_comes_before_what_does():
    found = names(advice("qwen2.5-0.5b", "t4", method="lora", precision="fp16", micro_batch=16, seq_len=1024))
    assert found[0] == {"micro_batch", "accumulate"}
    assert found[1] == {"checkpointing", "chunked_loss"}
    assert "seq_len" not in found[0] | found[1]


def test_no_list_contains_another():
    for model, settings in (("llama-2-7b", {"method": "lora"}), ("gpt2", {"precision": "fp32"})):
        found = names(advice(model, "t4", micro_batch=32, seq_len=1024, **settings))
        assert found
        assert not any(a <= b for i, a in enumerate(found) for b in found[i + 1 :])


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_every_list_is_confirmed_by_the_engine_that_was_given(method):
    what, card, recipe = subject("llama-2-7b"), gpu("t4"), Recipe(method=method, precision="fp16", micro_batch=4)
    asked: list[Recipe] = []

    def engine(changed: Recipe) -> Estimate:
        asked.append(changed)
        return formulas.estimate(what, changed, gpu=card)

    found = suggest(what, recipe, card, engine)
    assert found
    for one in found:
        assert one.fits
        assert one.reserved_bytes <= card.usable
        assert recipe.but(**one.settings) in asked


def test_an_engine_that_refuses_a_change_is_no_reason_to_stop():
    what, card = subject("gpt2"), gpu("t4")

    def engine(changed: Recipe) -> Estimate:
        if changed.checkpointing:
            raise CourseError("this model cannot be computed again")
        return formulas.estimate(what, changed, gpu=card)

    found = suggest(what, Recipe(precision="fp32", micro_batch=32, seq_len=1024), card, engine)
    assert found
    assert not any("checkpointing" in one.settings for one in found)


def test_a_sceptical_engine_is_believed():
    what, card = subject("gpt2"), gpu("t4")

    def engine(changed: Recipe) -> Estimate:
        found = formulas.estimate(what, changed, gpu=card)
        fits = changed.micro_batch == 1
        return Estimate("trace", found.phases, found.segments, found.total_params, found.trainable_params, fits)

    found = suggest(what, Recipe(precision="fp32", micro_batch=32, seq_len=1024), card, engine)
    assert found[0].settings == {"micro_batch": 1, "accumulate": 32}  # not the largest that formulas would allow


def test_a_7b_model_on_a_t4_becomes_a_qlora():
    found = advice("llama-2-7b", "t4", precision="fp16-mixed", seq_len=1024)
    assert any(one.settings.get("method") == "qlora" for one in found)


def test_weights_in_fp16_are_no_advice_for_weights_that_learn():
    # Gradients of fp16 weights vanish; adapters are held in fp32 and may stand on an fp16 model.
    for method, allowed in (("full", False), ("lora", True)):
        found = advice("pythia-1.4b", "t4", method=method, precision="fp32", seq_len=2048, micro_batch=2)
        narrowed = [one.settings["precision"] for one in found if "precision" in one.settings]
        assert narrowed == (["fp16"] if allowed else [])


def test_inference_that_is_too_large_gets_the_smallest_gpu_that_would_do():
    (one,) = advice("llama-3.1-70b", "a100-80", method="inference")
    assert one.settings == {"gpu": "h200"}  # 141 GB of weights
    assert one.reserved_bytes <= gpu("h200").usable
    # 26 GB of weights: of the cards that have more, the one with the least
    (one,) = advice("llama-2-13b", "t4", method="inference")
    what, room = subject("llama-2-13b"), gpu(one.settings["gpu"]).usable
    smaller = [card for card in gpus().values() if card.usable < room]
    assert not any(formulas.estimate(what, Recipe(method="inference"), gpu=card).fits for card in smaller)


def test_what_fits_no_gpu_is_spread_over_as_few_as_will_do():
    # Neither a smaller batch nor shorter sequences: what is left is 16 bytes for each of 70 billion parameters.
    found = advice("llama-3.1-70b", "a10g", method="qlora", seq_len=128)
    assert found
    assert all("devices" in one.settings for one in found)


def test_it_says_so_in_a_sentence_and_in_plain_values():
    first = advice("gpt2", "t4", precision="fp32", micro_batch=32, seq_len=1024)[0]
    assert first.text.startswith("Take micro-batches of ")
    assert f"{first.reserved_bytes / 1e9:.1f} GB, which fits." in first.text
    plain = json.loads(json.dumps(first.to_json()))
    assert plain["text"] == first.text
    assert plain["settings"] == first.settings


def test_a_processor_is_told_nothing_about_devices():
    cpu = GPU(name="cpu", title="main memory", memory=2**30, usable=2**29, context=0)
    for method in METHODS:
        for one in advice("gpt2", cpu, method=method, precision="fp32", micro_batch=4):
            assert "devices" not in one.settings


def test_nothing_raises_whatever_does_not_fit():
    small = GPU(name="small", title="a small card", memory=2**26, usable=2**26, context=0, capability=(8, 0))
    for name in list(presets())[::8]:
        for method in METHODS:
            if method != "prompt" or presets()[name].causal:
                advice(name, small, method=method, seq_len=128, micro_batch=3)
    for program in ("litgpt-2023", "litgpt-2024"):  # has no checkpointing, and does not raise about it
        assert advice("llama-2-7b", "t4", method="lora", program=program, seq_len=1024)
