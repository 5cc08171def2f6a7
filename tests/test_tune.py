"""Tuning: what learns and what does not, in which numbers, and that nothing but speed depends on how it is computed."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import machines
import tiny_writer
from course_lib import hardware, train
from course_lib.batching import Item, padded
from course_lib.decoder import Decoder
from course_lib.errors import CourseError
from course_lib.instruct import examples, models, settings
from course_lib.instruct.domain import texts_to_items
from course_lib.instruct.models import Learner
from course_lib.instruct.runs import LONGEST, load_records, train_on
from course_lib.instruct.settings import LARGE, Numbers, Tuning, numbers, recipe
from course_lib.instruct.tune import batches, config, held_out_loss, loss, seconds_ahead, tune
from course_lib.memory import guard
from course_lib.memory.guard import plan_fit
from course_lib.memory.live import LiveBytes
from course_lib.memory.program import Program
from course_lib.records.conversations import Conversation
from course_lib.records.exchange import write_conversations
from course_lib.train import forecast

pytestmark = pytest.mark.usefixtures("one_thread")
A100 = machines.gpu((8, 0), 40 * 2**30, "bf16")
METHODS = ("full", "last-n", "lora", "qlora")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_writer.save(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_writer.save(tmp_path_factory.mktemp("qwen"), "Qwen2"))


@pytest.fixture(autouse=True)
def no_answers_kept() -> None:
    guard._answers.clear()


def a_learner(base: str, method: str = "lora", **more: Any) -> Learner:
    """A learner that takes a few quick steps."""
    usual = {"method": method, "epochs": 2, "batch_size": 8, "learning_rate": 5e-3, "warmup": 0.0}
    return models.load(base, Tuning(**{**usual, **more}), machines.CPU)


def some_items(learner: Learner, n: int = 24, seed: int = 0) -> list[Item]:
    talks = [Conversation.of(question, output=answer) for question, answer in tiny_writer.questions(n, seed)]
    return examples.items(learner.chat, talks, learner.limit)[0]


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.model.named_parameters()}


# -- what learns -------------------------------------------------------------------------------------------------------


def should_learn(method: str, name: str) -> bool:
    return {
        "full": True,
        "last-n": ".layers.1." in name or ".layers.2." in name,
        "lora": "lora_" in name,
        "qlora": "lora_" in name,
    }[method]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["base", "qwen"])
def test_only_what_should_learn_changes_and_the_loss_falls(
    method: str, family: str, request: pytest.FixtureRequest
) -> None:
    learner = a_learner(request.getfixturevalue(family), method)
    assert learner.packing
    assert isinstance(learner.trained, Decoder) == (family == "base")
    before = weights(learner)
    history = tune(learner, some_items(learner))
    assert history.stopped == "finished"
    assert len(history.loss) == 6
    assert history.loss[-1] < history.loss[0] - 0.05
    after = dict(learner.model.named_parameters())
    learned = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if should_learn(method, name)}
    assert learned == expected
    assert {name for name, p in after.items() if p.requires_grad} == expected
    assert all(after[name].dtype == torch.float32 for name in expected)
    assert learner.parameters[1] == sum(before[name].numel() for name in expected)


def test_parameters_are_counted_the_same_in_four_bits(base: str) -> None:
    whole = a_learner(base, "lora").parameters
    assert a_learner(base, "qlora").parameters == whole
    assert a_learner(base, "full").parameters[0] == whole[0] - whole[1]


def test_named_layers_only_get_adapters(base: str) -> None:
    learner = a_learner(base, targets="q_proj, v_proj", rank=2)
    found = {name.split(".")[-4] for name, p in learner.model.named_parameters() if p.requires_grad}
    assert found == {"q_proj", "v_proj"}
    learner = a_learner(base, targets="qv", rank=2)
    assert found == {name.split(".")[-4] for name, p in learner.model.named_parameters() if p.requires_grad}
    with pytest.raises(CourseError, match=r"LoRA cannot be put on this model .*change targets"):
        a_learner(base, targets="no_such_layer")


def test_last_n_takes_no_more_blocks_than_there_are(base: str) -> None:
    with pytest.raises(CourseError, match="has 3 blocks: train 1 to 3 of them"):
        a_learner(base, "last-n", blocks=4)


def test_the_same_seed_draws_the_same_adapter_and_other_random_numbers_stay(base: str) -> None:
    torch.manual_seed(9)
    state = torch.get_rng_state()
    first, again, other = a_learner(base, seed=1), a_learner(base, seed=1), a_learner(base, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    a, b, c = (weights(one) for one in (first, again, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize("method", METHODS)
def test_checkpointing_padding_and_the_librarys_model_give_the_same_losses(base: str, method: str) -> None:
    """Each leaves out one thing that makes tuning fast: the decoder, the packed row, both."""
    found = []
    for change in ({}, {"checkpointing": True}, {"packing": False}):
        learner = a_learner(base, method, epochs=1, **change)
        assert isinstance(learner.trained, Decoder) == (not change)
        assert learner.packing == change.get("packing", True)
        data = batches(learner, some_items(learner, 16))
        unbucketed = dataclasses.replace(data, bucket=False)
        found.append(train.fit(learner.trained, unbucketed, loss, config(learner)).loss)
    assert len(found[0]) == 2
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=2e-4 if method == "qlora" else 2e-5)


def test_a_model_that_cannot_be_packed_is_padded_and_learns(tmp_path: Path) -> None:
    learner = a_learner(str(tiny_writer.save(tmp_path, "Gemma2")), epochs=1)
    assert not learner.packing
    assert learner.trained is learner.model
    data = batches(learner, some_items(learner))
    assert data.bucket
    assert "attention_mask" in data.fetch([0, 1])
    history = tune(learner, some_items(learner))
    assert history.loss[-1] < history.loss[0]


# -- what it is tuned with ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "prefix"}, "choose one of full, last-n, lora, qlora"),
        ({"optimizer": "sgd"}, "choose adamw or adamw-8bit"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"rank": True}, "rank must be a whole number"),
        ({"rank": 0}, "rank"),
        ({"blocks": 0}, "blocks"),
        ({"seed": -1}, "seed"),
        ({"max_length": -1}, "max_length"),
        ({"alpha": 0}, "alpha must be above 0"),
        ({"alpha": float("nan")}, "alpha must be above 0"),
        ({"dropout": 1.0}, "dropout is a share from 0 to below 1"),
        ({"learning_rate": 0}, "learning rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning rate must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"warmup": 1.5}, "warmup is a share"),
        ({"batch_size": 16, "micro_batch": 5}, "16 examples cannot be taken 5 at a time"),
        ({"targets": " , "}, "targets"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        Tuning(**wrong)


@pytest.mark.parametrize(
    ("method", "machine", "expected"),
    [
        ("full", machines.CPU, Numbers("float32", "float32", "no")),
        ("qlora", machines.CPU, Numbers("float32", "float32", "no")),
        # A processor that could compute in bf16 does not: what is frozen and what learns are in float32.
        ("lora", dataclasses.replace(machines.CPU, precision="bf16"), Numbers("float32", "float32", "no")),
        ("full", machines.T4, Numbers("float32", "float16", "fp16")),
        ("last-n", machines.T4, Numbers("float32", "float16", "fp16")),
        ("lora", machines.T4, Numbers("float16", "float16", "fp16")),
        ("qlora", machines.T4, Numbers("float16", "float16", "fp16")),
        ("full", A100, Numbers("float32", "bfloat16", "bf16")),
        ("qlora", A100, Numbers("bfloat16", "bfloat16", "bf16")),
    ],
)
def test_numbers_follow_from_the_hardware(method: str, machine: hardware.Hardware, expected: Numbers) -> None:
    assert numbers(method, machine) == expected


def test_what_suits_is_settled_by_machine_and_size() -> None:
    open_, small = Tuning(), LARGE - 1
    on_a_processor = open_.settled(machines.CPU, LARGE)
    assert (on_a_processor.optimizer, on_a_processor.checkpointing, on_a_processor.at_a_time) == ("adamw", False, 16)
    on_a_t4 = open_.settled(machines.T4, LARGE)
    assert (on_a_t4.optimizer, on_a_t4.checkpointing, on_a_t4.at_a_time) == ("adamw-8bit", True, 2)
    assert on_a_t4.accumulate == 8
    assert Tuning(batch_size=5).settled(machines.T4, LARGE).at_a_time == 1
    little = open_.settled(machines.T4, small)
    assert (little.optimizer, little.checkpointing, little.at_a_time) == ("adamw-8bit", False, 16)
    wanted = Tuning(optimizer="adamw", checkpointing=False, micro_batch=4)
    assert wanted.settled(machines.T4, LARGE) == wanted
    assert Tuning().changed() == {}
    assert Tuning(rank=4).changed() == {"rank": 4}


def test_the_rate_follows_the_width() -> None:
    full, adapter = Tuning(method="full"), Tuning(method="qlora")
    assert full.rate(settings.WIDTH) == settings.RATE
    assert full.rate(4 * settings.WIDTH) == pytest.approx(settings.RATE / 4**settings.POWER)
    assert adapter.rate(512) == pytest.approx(settings.ADAPTER_FACTOR * full.rate(512))
    assert Tuning(learning_rate=1e-3).rate(256) == 1e-3


@pytest.mark.parametrize(
    ("method", "machine", "precision"),
    [
        ("full", machines.CPU, "fp32"),
        ("lora", machines.CPU, "fp32"),
        ("full", machines.T4, "fp16-mixed"),
        ("lora", machines.T4, "fp16"),
        ("qlora", A100, "bf16"),
        ("last-n", A100, "bf16-mixed"),
    ],
)
def test_the_planner_is_told_the_same(method: str, machine: hardware.Hardware, precision: str) -> None:
    tuning = Tuning(method, batch_size=12, micro_batch=3, rank=5, dropout=0.1, blocks=3, targets="q_proj")
    told = recipe(tuning.settled(machine, LARGE), machine, length=77, labels=50)
    assert (told.method, told.precision) == (method, precision)
    assert (told.micro_batch, told.accumulate, told.seq_len, told.chunked_loss) == (3, 4, 77, 50)
    assert (told.rank, told.lora_dropout, told.blocks, told.targets) == (5, 0.1, 3, ("q_proj",))
    assert told.optimizer == ("adamw" if machine is machines.CPU else "adamw-8bit")
    assert told.checkpointing == (machine is not machines.CPU)


def test_settings_reach_the_loop(base: str, tmp_path: Path) -> None:
    learner = a_learner(base, batch_size=8, micro_batch=2, weight_decay=0.2, warmup=0.3, seed=4, optimizer="adamw-8bit")
    made = config(learner, tmp_path, save_every=7)
    assert (made.epochs, made.accumulate, made.learning_rate, made.weight_decay) == (2, 4, 5e-3, 0.2)
    assert (made.warmup, made.seed, made.optimizer, made.save_every) == (0.3, 4, "adamw-8bit", 7)
    assert (made.precision, made.save_to) == ("no", tmp_path)
    assert batches(learner, some_items(learner)).batch_size == 2


def test_the_limit_is_what_the_model_can_read_or_what_was_asked_for(base: str) -> None:
    assert a_learner(base).limit == 128
    assert a_learner(base, max_length=40).limit == 40
    assert a_learner(base, max_length=4000).limit == 128


# -- what must not matter ----------------------------------------------------------------------------------------------


def test_a_step_in_four_parts_is_the_step_in_one(base: str) -> None:
    losses, ends = [], []
    for micro_batch in (0, 4):
        learner = a_learner(base, "full", epochs=2, batch_size=16, micro_batch=micro_batch, seed=3, learning_rate=1e-3)
        items = some_items(learner, 16)  # of one step: the parts then have the same examples, in whatever order
        losses.append(tune(learner, items).loss)
        ends.append(weights(learner))
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    # AdamW's first steps are as long as the rate whatever the gradient, so rounding shows where there is nearly none.
    apart = [(ends[0][name] - ends[1][name]).abs().mean() for name in ends[0]]
    assert max(apart) < 1e-5


def test_labels_weigh_the_same_whatever_part_they_are_in(base: str) -> None:
    learner = a_learner(base, "full", batch_size=2, micro_batch=1, epochs=1)
    items: list[Item] = [([1, 50, 51, 52, 53, 2], [False] + 5 * [True]), ([1, 60, 61, 2], [False, False, False, True])]
    with torch.no_grad():
        by_hand = sum(float(loss(learner.trained, batches(learner, items).fetch([k]))) for k in (0, 1)) / 6
    assert tune(learner, items).loss == [pytest.approx(by_hand, rel=1e-5)]


@pytest.mark.parametrize("change", [{}, {"dropout": 0.3}, {"method": "qlora"}, {"checkpointing": True}])
def test_the_forecast_of_the_time_changes_nothing(base: str, change: dict[str, Any]) -> None:
    plain, asked = (a_learner(base, **change) for _ in range(2))
    items = some_items(plain)
    before = weights(asked)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert seconds_ahead(asked, items) > 0
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(before[name], value) for name, value in weights(asked).items())
    assert all(p.grad is None for p in asked.model.parameters())
    assert not asked.trained.training
    first, second = tune(plain, items), tune(asked, items)
    assert second.loss == first.loss
    theirs = weights(plain)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(asked).items())


def test_a_forecast_of_one_example_is_possible(base: str) -> None:
    learner = a_learner(base)
    assert seconds_ahead(learner, some_items(learner, 1)) > 0


@pytest.mark.parametrize("packing", [True, False])
def test_the_held_out_loss_by_hand(base: str, packing: bool) -> None:
    learner = a_learner(base, dropout=0.5, packing=packing)  # dropout is off while it is measured
    items = [*some_items(learner, 5), ([1, 90, 91], [False, False, False])]
    total, count = 0.0, 0
    learner.model.eval()
    for ids, learn in items:
        with torch.no_grad():
            scores = learner.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        for k in range(1, len(ids)):
            if learn[k]:
                total -= float(scores[k - 1, ids[k]])
                count += 1
    for batch_size in (1, 2, 16):
        assert held_out_loss(learner, items, batch_size) == pytest.approx(total / count, abs=1e-5)
    learner.trained.train()
    held_out_loss(learner, items)
    assert learner.trained.training
    with pytest.raises(CourseError, match="every example needs an answer"):
        held_out_loss(learner, items[-1:])


def test_items_without_anything_to_learn_are_refused_and_some_among_others_are_not(base: str) -> None:
    learner = a_learner(base, epochs=1, batch_size=2)
    silent: Item = ([1, 90, 91], [False, False, False])
    with pytest.raises(CourseError, match="No token of these examples counts"):
        tune(learner, [silent, silent])
    history = tune(learner, [*some_items(learner, 2), silent, silent])
    assert len(history.loss) == 2
    assert all(value >= 0 for value in history.loss)


def test_texts_of_a_domain_are_learned_whole(base: str) -> None:
    learner = a_learner(base, "full")
    texts = ["The market opens at dawn. " * 30, "Salt!", " "]
    items = texts_to_items(learner.tokenizer, texts, learner.limit)
    assert all(all(learn) for _, learn in items)
    assert max(len(ids) for ids, _ in items) <= learner.limit
    whole = [learner.tokenizer(text)["input_ids"] for text in texts[:2]]
    end = learner.tokenizer.eos_token_id
    written = [token for ids, _ in items for token in ids]
    assert written == [t for ids in whole for t in (ids if ids[-1] == end else [*ids, end])]
    history = tune(learner, items)
    assert history.loss[-1] < history.loss[0]
    with pytest.raises(CourseError, match="There is no text to learn from"):
        texts_to_items(learner.tokenizer, [" ", ""], 10)


def test_pieces_of_one_token_are_refused(base: str) -> None:
    learner = a_learner(base, "full")
    with pytest.raises(CourseError, match="at least 2 tokens"):
        texts_to_items(learner.tokenizer, ["The market opens."], 1)


# -- memory ------------------------------------------------------------------------------------------------------------


def test_the_state_of_eight_bits_by_hand() -> None:
    # 5000 weights: two bytes each, and two float32 for each of 20 blocks of 256; 4095 and 10 stay in two float32.
    class Weights(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large, self.small = (torch.nn.Parameter(torch.zeros(n)) for n in (5000, 4095))

    batch = {"inputs": torch.zeros(1), "labels": torch.zeros(1)}
    run = Program(Weights(), batch, lambda m, b: m.large.sum() + m.small.sum(), optimizer="adamw-8bit")
    assert plan_fit(run).phases["step"]["optimizer"] == 2 * 5000 + 2 * 20 * 4 + 8 * 4095
    plain = plan_fit(dataclasses.replace(run, optimizer="adamw"))
    assert plain.phases["step"]["optimizer"] == 8 * 9095 + 2 * 4


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-8bit"])
@pytest.mark.parametrize("method", METHODS)
def test_the_forecast_of_memory_is_what_real_steps_take(
    base: str, method: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "TRIFLE", 0)
    learner = a_learner(base, method, optimizer=optimizer, rank=64, batch_size=16)
    items = some_items(learner, 16)
    batch = batches(learner, items).fetch(range(16))
    learned = [p for p in learner.trained.parameters() if p.requires_grad]
    said = plan_fit(Program(learner.trained, batch, loss, optimizer=optimizer))
    assert not said.unknown
    made = train.loop._optimizer([{"params": learned}], config(learner))
    train.training_mode(learner.trained)
    with LiveBytes(learner.trained) as live:
        for _ in range(2):
            live.phase("forward")
            value = loss(learner.trained, batch)
            live.phase("backward")
            value.backward()
            del value
            live.phase("step")
            made.step()
            made.zero_grad(set_to_none=True)
    counted = max(peak.bytes for peak in live.peaks().values())
    assert said.peak_bytes == pytest.approx(counted, rel=0.1)
    history = tune(learner, items, memory="check")
    assert history.predicted_peak == said.added_bytes


def test_the_eight_bits_are_asked_about(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "TRIFLE", 0)
    kept = []
    for optimizer in ("adamw", "adamw-8bit"):
        learner = a_learner(base, "full", optimizer=optimizer, epochs=1)
        kept.append((tune(learner, some_items(learner, 8)).predicted_peak, learner.parameters[1]))
    # The peak is in the optimizer's step, where a gradient and the state of every weight are held.
    assert kept[0][0] - kept[1][0] > 0.8 * 5.9 * kept[0][1]


@pytest.mark.parametrize("packing", [True, False])
def test_advice_for_what_does_not_fit_counts_in_examples(
    base: str, packing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = a_learner(base, "lora", batch_size=8, packing=packing, epochs=1)
    monkeypatch.setattr(forecast, "TRIFLE", 0)
    items = [(ids * 2, [True] * 2 * len(ids)) for ids, _ in some_items(learner, 8)]
    room = plan_fit(Program(learner.trained, batches(learner, items).fetch(range(8)), loss)).needed_bytes
    monkeypatch.setattr(hardware, "memory", lambda: (2**40, int(0.7 * room)))
    with pytest.raises(CourseError) as refused:
        tune(learner, items)
    assert "batch_size=4 with accumulate=2 takes" in str(refused.value)
    assert "a limit of " in str(refused.value)
    assert tune(learner, items, memory="ignore").stopped == "finished"


def test_padded_batches_have_the_texts_of_packed_ones(base: str) -> None:
    learner = a_learner(base, packing=False)
    items = some_items(learner, 4)
    found, expected = batches(learner, items).fetch([0, 1, 2, 3]), padded(items, learner.tokenizer.pad_token_id or 0)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# -- experiments in a line ---------------------------------------------------------------------------------------------


def test_going_on_with_a_learner_keeps_its_settings(base: str) -> None:
    learner = a_learner(base, micro_batch=4)
    records = [{"instruction": question, "output": answer} for question, answer in tiny_writer.questions(16)]
    tuned = train_on(learner, records, epochs=1, progress=False)
    assert tuned.learner.tuning == dataclasses.replace(learner.tuning, epochs=1)
    assert len(tuned.history.loss) == 2
    with pytest.raises(CourseError, match="loaded for lora, not full"):
        train_on(learner, records, method="full")


def test_long_examples_of_people_are_left_out(tmp_path: Path) -> None:
    talks = [Conversation.of(question, output=answer) for question, answer in tiny_writer.questions(20)]
    long = Conversation.of("Say it loudly", output="x" * LONGEST)
    write_conversations(tmp_path / "people.jsonl", [long, *talks, long], "chat")
    learned, tested = load_records(str(tmp_path / "people.jsonl"), 100, 4)
    assert (len(learned), len(tested)) == (18, 2)
    assert {one["metric"] for one in learned + tested} == {"rouge"}
