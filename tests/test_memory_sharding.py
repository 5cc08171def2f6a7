"""One device's view of a traced log, against the closed forms of `arithmetic.sharding`."""

from __future__ import annotations

from collections import defaultdict

import pytest

from course_lib.memory import arithmetic, formulas, traced
from course_lib.memory.gpus import gpu
from course_lib.memory.recipe import Recipe
from course_lib.memory.sharding import share
from course_lib.memory.subject import subject
from course_lib.memory.trace import Log, peaks, trace

SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 160,
    "vocab_size": 500,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
WHAT = subject(SMALL)
SETTINGS = {"seq_len": 32, "checkpointing": True}


@pytest.fixture(scope="module")
def whole() -> Log:
    return trace(WHAT.config, Recipe(**SETTINGS))


def held(log: Log, phase: str) -> dict[str, int]:
    found, _ = peaks(log)
    return dict(found[phase].parts)


def of(log: Log, **settings: object) -> Log:
    return share(log, Recipe(**SETTINGS).but(**settings))


def test_one_device_has_everything(whole):
    assert of(whole) is whole
    assert of(whole, sharding="ddp") is whole


@pytest.mark.parametrize("sharding", ["ddp", "zero1", "zero2", "zero3", "fsdp"])
@pytest.mark.parametrize("devices", [2, 8])
def test_what_stands_during_the_step_is_what_the_closed_form_says(whole, sharding, devices):
    state = {part: held(whole, "step")[part] for part in ("weights", "gradients", "optimizer")}
    expected = arithmetic.sharded(state, devices, sharding).device
    expected["gradients"] += expected.pop("buckets", 0)  # ddp's second copy
    found = held(of(whole, devices=devices, sharding=sharding), "step")
    tensors = len(whole.sizes)
    for part, size in expected.items():
        assert size <= found[part] <= size + tensors, part  # each tensor's share is rounded up


@pytest.mark.parametrize(("sharding", "gone"), [("zero1", 1), ("zero2", 2), ("zero3", 3)])
def test_what_is_offloaded_is_not_on_the_device(whole, sharding, gone):
    found = held(of(whole, sharding=sharding, offload=True), "step")
    assert [bool(found.get(part)) for part in ("optimizer", "gradients", "weights")] == [n > gone for n in (1, 2, 3)]


def test_split_weights_are_whole_for_two_blocks_at_a_time(whole):
    # Of a block: 4 * 64 * 64 + 3 * 64 * 160 + 2 * 64 = 47,232 numbers; outside 2 * 500 * 64 + 64 = 64,064.
    shared = of(whole, devices=4, sharding="fsdp")
    gathered = held(shared, "forward")["temporary"]
    gathered -= arithmetic.gathered_bytes(47_232) + 2 * 64_064
    assert 0 <= gathered <= 200  # frequencies of rotary embeddings


def test_gathered_weights_do_not_pile_up(whole):
    for sharding in ("zero3", "fsdp"):
        shared = of(whole, devices=4, sharding=sharding)
        alive: dict[int, int] = defaultdict(int)
        for event in shared.events:
            alive[event if event >= 0 else ~event] += 1 if event >= 0 else -1
        assert set(alive.values()) <= {0, 1}  # nothing is freed twice, or before it is there
        left = [n for n, count in alive.items() if count]
        assert {shared.parts[n] for n in left} == {"weights", "optimizer"}  # after the step: a share of each


def test_gradients_are_whole_until_they_have_been_added_up(whole):
    found, _ = peaks(of(whole, devices=8, sharding="zero2"))
    whole_gradients = held(whole, "step")["gradients"]
    block = 2 * 47_232
    assert found["step"].parts["gradients"] == pytest.approx(whole_gradients / 8, rel=0.01)
    assert found["backward"].parts.get("gradients", 0) < whole_gradients / 8 + 2 * block


def test_activations_are_each_devices_own(whole):
    for sharding in ("ddp", "zero1", "zero2", "zero3", "fsdp"):
        shared = of(whole, devices=4, sharding=sharding)
        assert held(shared, "loss")["activations"] == held(whole, "loss")["activations"]


@pytest.mark.parametrize("sharding", ["ddp", "zero1", "zero2", "zero3", "fsdp"])
@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"method": "lora"}, {"accumulate": 2}])
def test_the_formulas_see_the_same_device(sharding, settings):
    recipe = Recipe(seq_len=128, devices=4, sharding=sharding, **settings)
    ours, theirs = (e.estimate(WHAT, recipe, gpu=gpu("a100-80")) for e in (formulas, traced))
    for phase in theirs.phases:
        assert ours.phases[phase].bytes == pytest.approx(theirs.phases[phase].bytes, rel=0.05), phase
