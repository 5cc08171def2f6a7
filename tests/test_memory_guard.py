"""The guard before training: right about programs it has never seen, and without a trace in them."""

from __future__ import annotations

import copy
import gc
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny_task
from course_lib import checkpoint, hardware
from course_lib.errors import CourseError
from course_lib.memory import guard, program
from course_lib.memory.gpus import gpu
from course_lib.memory.guard import Forecast, plan_fit, size
from course_lib.memory.live import LiveBytes
from course_lib.memory.program import Program, identity
from course_lib.train import fit, forecast
from tiny_task import Tiny, batches, config, digest, loss, noisy_loss, random_digest

pytestmark = pytest.mark.usefixtures("one_thread")

MIB = 2**20


@pytest.fixture(autouse=True)
def no_answers_kept() -> Iterator[None]:
    guard._answers.clear()
    yield
    guard._answers.clear()


@pytest.fixture
def everything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "TRIFLE", 0)


def free(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let so many bytes of memory be free."""
    monkeypatch.setattr(hardware, "memory", lambda: (2 * room, room))


def a_batch(rows: int = 8, length: int = 64) -> dict[str, Tensor]:
    return {
        "inputs": torch.randint(0, tiny_task.VOCABULARY, (rows, length)),
        "mask": torch.ones(rows, length, dtype=torch.long),
        "labels": torch.zeros(rows, dtype=torch.long),
    }


def a_program(**settings: Any) -> Program:
    return Program(**{"model": Tiny(width=64), "batch": a_batch(), "loss": loss, **settings})


# -- right -------------------------------------------------------------------------------------------------------------


class Stack(nn.Module):
    """Blocks that are all alike, the lower ones frozen."""

    def __init__(self, frozen: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tiny_task.VOCABULARY, 64)
        blocks = [nn.TransformerEncoderLayer(64, 4, 256, 0.1, "gelu", batch_first=True) for _ in range(4)]
        self.blocks, self.head = nn.ModuleList(blocks), nn.Linear(64, tiny_task.CLASSES)
        for part in [self.embedding, *self.blocks][: frozen + 1] if frozen else []:
            part.requires_grad_(False)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        states = self.embedding(inputs)
        for block in self.blocks:
            states = block(states, src_key_padding_mask=mask == 0)
        return self.head(states.mean(1))


@pytest.mark.parametrize("frozen", [0, 3])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_forecast_agrees_with_the_bytes_counted_in_real_steps(precision: str, accumulate: int, frozen: int) -> None:
    torch.manual_seed(0)
    model, batch = Stack(frozen).train(), a_batch(16, 96)
    learned = [p for p in model.parameters() if p.requires_grad]
    said = plan_fit(Program(model, batch, loss, precision=precision, accumulate=accumulate))
    optimizer = torch.optim.AdamW(learned, fused=True)
    with LiveBytes(model) as live:
        for _ in range(2):
            live.phase("forward")
            held = [{name: tensor.clone() for name, tensor in batch.items()} for _ in range(accumulate)]
            for one in held:
                live.phase("forward")
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    value = loss(model, one)
                live.phase("backward")
                value.backward()
                del value
            live.phase("step")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            del held, one
    counted = {name: peak.bytes for name, peak in live.peaks().items()}
    for name in ("forward", "backward", "step"):
        assert sum(said.phases[name].values()) == pytest.approx(counted[name], rel=0.02), name
    assert said.peak_bytes == pytest.approx(max(counted.values()), rel=0.02)


def test_static_parts_by_hand() -> None:
    # 1000 weights of 4 bytes: gradients of the same size, two moments and a count; one saved product of 2 x 1000.
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1000))

    batch = {"inputs": torch.zeros(2, 1000), "labels": torch.zeros(2)}
    said = plan_fit(Program(Weights(), batch, lambda m, b: (m.w * b["inputs"]).sum()))
    assert said.phases["load"] == {"weights": 4000}
    assert said.phases["step"]["gradients"] == 4000
    assert said.phases["step"]["optimizer"] == 8004
    assert said.phases["forward"]["activations"] == 8000 + 8 + 8000 + 4  # inputs, labels, product, sum
    assert said.resident_bytes == 4000
    assert said.added_bytes == said.peak_bytes - 4000 == said.needed_bytes


class Reading(nn.Module):
    """A recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(tiny_task.VOCABULARY, 16), nn.GRU(16, 24, batch_first=True)
        self.head = nn.Linear(24, tiny_task.CLASSES)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.gru(self.embedding(inputs))[0].mean(1))


def test_a_recurrent_network_is_continued_from_short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    recurrent = Program(Reading(), a_batch(8, 50), loss)
    continued = plan_fit(recurrent)
    guard._answers.clear()
    monkeypatch.setattr(guard, "_loops", lambda model: False)
    whole = plan_fit(recurrent)
    assert continued.phases.keys() == whole.phases.keys()
    for name, parts in whole.phases.items():
        assert sum(continued.phases[name].values()) == pytest.approx(sum(parts.values()), rel=0.01)


def test_what_the_optimizer_does_not_get_has_no_state() -> None:
    model = Tiny(width=64)
    head = tuple(model.head.parameters())
    said = plan_fit(a_program(model=model, learned=head))
    assert said.phases["step"]["optimizer"] == sum(8 * p.numel() + 4 for p in head)
    assert said.phases["step"]["gradients"] == sum(4 * p.numel() for p in model.parameters()), "but gradients"


def test_a_copy_for_early_stopping_and_buckets_for_processes_are_counted() -> None:
    weights = sum(4 * p.numel() for p in Tiny(width=64).parameters())
    plain = plan_fit(a_program())
    assert plan_fit(a_program(keeps_best=True)).peak_bytes - plain.peak_bytes == weights
    assert plan_fit(a_program(processes=2)).peak_bytes - plain.peak_bytes == weights


def test_processes_of_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 600 * MIB)
    assert plan_fit(a_program(processes=3)).available_bytes == 200 * MIB


def test_on_a_card_what_counts_is_what_its_allocator_takes() -> None:
    card, held = gpu("t4"), 3 * MIB
    model = sum(4 * p.numel() for p in Tiny(width=64).parameters())
    room = guard._Room(card.usable - card.context - held, held, 0, card)
    said = guard._forecast(a_program(), room)
    segments = said.needed_bytes
    assert segments % (2 * MIB) == 0, "segments are whole pieces of 2 MiB"
    assert segments > said.peak_bytes > model
    assert said.fits
    full = guard._forecast(a_program(), guard._Room(MIB, card.usable - card.context - MIB, 0, card))
    assert not full.fits


def resident_growth(code: str, environment: dict[str, str]) -> list[int]:
    """The numbers that a fresh process prints; there, nothing of earlier work is left to be used again."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux for exact allocations")
def test_the_forecast_agrees_with_the_growth_of_the_process() -> None:
    code = """
import torch
from torch import nn
from course_lib import train
from tiny_task import batches, items, loss
from test_memory_guard import Wide
torch.set_num_threads(1)
fit = lambda n: train.fit(Wide(n), batches(256, items(512)), loss, train.TrainConfig(epochs=1, precision="no"))
fit(64)  # code that is loaded at its first use is no tensor
history = fit(1024)
print(history.predicted_peak, history.measured_peak)
"""
    predicted, measured = resident_growth(code, {"MALLOC_MMAP_THRESHOLD_": "65536"})
    assert predicted > 150 * MIB
    assert measured == pytest.approx(predicted, rel=0.1)


class Wide(Tiny):
    """A `Tiny` with a block that is so wide that its activations are large."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(16, 2, 16 * width, batch_first=True)


# -- without a trace in the program ------------------------------------------------------------------------------------


class Remembering(Tiny):
    """A model that changes itself when it runs."""

    def __init__(self) -> None:
        super().__init__(width=64)
        self.calls, self.last = 0, None
        self.statistics = nn.BatchNorm1d(64)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        self.calls += 1
        self.seen = self.seen + 1
        self.last = self.statistics(self.embedding(inputs).mean(1))
        return super().forward(inputs, mask) + self.last.sum()


def test_a_model_its_gradients_and_random_numbers_are_as_before() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    model = Remembering().train()
    model.head.weight.grad = torch.ones_like(model.head.weight)
    batch = a_batch()
    before, numbers, attributes = digest(model), random_digest(), set(vars(model))
    parameters = {name: id(p) for name, p in model.named_parameters()}

    def drawing(m: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        torch.manual_seed(99), random.seed(99), np.random.seed(99)
        return noisy_loss(m, batch)

    said = plan_fit(Program(model, batch, drawing, accumulate=2))
    assert not said.unknown
    assert digest(model) == before
    assert random_digest() == numbers
    assert (model.calls, model.last, float(model.seen), int(model.statistics.num_batches_tracked)) == (0, None, 0, 0)
    assert {name: id(p) for name, p in model.named_parameters()} == parameters
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert model.embedding.weight.grad is None
    assert set(vars(model)) == attributes
    assert model.training
    assert gc.isenabled()


@pytest.mark.usefixtures("everything_is_asked")
def test_a_run_that_was_asked_about_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    asked, plain = Tiny(), Tiny()
    one = fit(asked, batches(), noisy_loss, config(tmp_path / "a"))
    two = fit(plain, batches(), noisy_loss, config(tmp_path / "b", memory="ignore"))
    assert one.predicted_peak > 0
    assert (two.predicted_peak, two.measured_peak) == (0, 0)
    assert one == two
    assert digest(asked) == digest(plain)
    first, second = (checkpoint.latest(tmp_path / name) for name in "ab")
    assert first is not None
    assert second is not None
    assert first.tensors().keys() == second.tensors().keys()
    assert all(torch.equal(value, second.tensors()[name]) for name, value in first.tensors().items())


class Counting:
    """A loss that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        self.calls += 1
        return loss(model, batch)


def test_a_run_too_small_to_matter_is_not_asked_about() -> None:
    counting = Counting()
    history = fit(Tiny(), batches(), counting, config(epochs=1))
    assert counting.calls == 14
    assert history.predicted_peak == 0


@pytest.mark.usefixtures("everything_is_asked")
@pytest.mark.parametrize("off", ["settings", "environment"])
def test_whoever_does_not_want_to_know_is_not_asked(off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting()
    if off == "environment":
        monkeypatch.setenv("COURSE_MEMORY", "ignore")
    fit(Tiny(), batches(), counting, config(epochs=1, memory="ignore" if off == "settings" else "check"))
    assert counting.calls == 14


@pytest.mark.usefixtures("everything_is_asked")
def test_a_finished_run_is_not_asked_about(tmp_path: Path) -> None:
    fit(Tiny(), batches(), loss, config(tmp_path))
    counting = Counting()
    history = fit(Tiny(), batches(), counting, config(tmp_path))
    assert (history.resumed_at, counting.calls) == (15, 0)
    assert (history.predicted_peak, history.measured_peak) == (0, 0)


@pytest.mark.usefixtures("everything_is_asked")
def test_a_checkpoint_from_before_the_guard_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Tiny()
    reference = fit(expected, batches(), noisy_loss, config())
    save = checkpoint.save

    def as_it_was(folder: Path, step: int, tensors: Any, meta: Any, keep: int) -> Any:
        for name in ("predicted_peak", "measured_peak"):
            del meta["history"][name]
        if step > 6:
            raise KeyboardInterrupt
        return save(folder, step, tensors, meta, keep)

    monkeypatch.setattr(checkpoint, "save", as_it_was)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), noisy_loss, config(tmp_path))
    monkeypatch.setattr(checkpoint, "save", save)
    model = Tiny(seed=99)
    history = fit(model, batches(), noisy_loss, config(tmp_path))
    assert history.resumed_at == 6
    assert history.loss == reference.loss
    assert history.predicted_peak > 0
    assert digest(model) == digest(expected)


# -- programs that cannot be traced ------------------------------------------------------------------------------------


def looks_at_values(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return loss(model, batch) * (2.0 if batch["inputs"].sum() > 0 else 1.0)


def chooses_rows(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return model(batch["inputs"], batch["mask"])[batch["labels"] >= 0].sum()


def fails(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    raise RuntimeError("no such thing\nat all")


def without_end(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    value = model(batch["inputs"], batch["mask"]).sum()
    while True:
        value = value + 1


@pytest.mark.parametrize(
    ("program_loss", "reason"),
    [
        (looks_at_values, "the program looks at the values of tensors"),
        (chooses_rows, "the program looks at the values of tensors"),
        (fails, r"the program failed on tensors without numbers \(RuntimeError: no such thing\)"),
        (without_end, r"the program failed on tensors without numbers \(_TooLong: it has more than 300 operations\)"),
    ],
)
def test_of_a_program_that_cannot_be_traced_the_static_parts_are_known(
    program_loss: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LIMIT", 300)
    model = Tiny(width=64)
    said = plan_fit(a_program(model=model, loss=program_loss))
    weights = sum(4 * p.numel() for p in model.parameters())
    counts = 4 * len(list(model.parameters()))
    assert said.parts == {"weights": weights, "gradients": weights, "optimizer": 2 * weights + counts}
    assert said.line().endswith(f"are not known, because {said.unknown}")
    assert re.fullmatch(reason, said.unknown)


@pytest.mark.usefixtures("everything_is_asked")
def test_a_program_that_cannot_be_traced_trains_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    model, plain = Tiny(), Tiny()
    one = fit(model, batches(), looks_at_values, config(progress=True))
    assert "are not known, because the program looks at the values of tensors" in capsys.readouterr().err
    assert one == fit(plain, batches(), looks_at_values, config(memory="ignore"))
    assert digest(model) == digest(plain)
    assert one.predicted_peak == 0
    assert one.measured_peak >= 0


def test_a_model_that_cannot_be_copied_is_no_hindrance() -> None:
    model = Tiny(width=64)
    model.lock = threading.Lock()
    assert "TypeError" in plan_fit(a_program(model=model)).unknown


@pytest.mark.usefixtures("everything_is_asked")
def test_a_batch_that_cannot_be_made_fails_in_its_own_words() -> None:
    rows = tiny_task.items(8)
    broken = batches(4, rows)
    broken = type(broken)(rows, broken.lengths, lambda chosen: chosen[0]["no such"], 4)  # type: ignore[index,return-value]
    with pytest.raises(TypeError, match="indices must be integers"):
        fit(Tiny(), broken, loss, config())


# -- refusals and advice -----------------------------------------------------------------------------------------------


def test_a_run_that_does_not_fit_is_refused_with_changes_that_make_it_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, two, four = (
        plan_fit(a_program(batch=a_batch(rows), accumulate=8 // rows)).needed_bytes for rows in (8, 2, 4)
    )
    assert two < four < whole
    free(monkeypatch, (two + four) // 2)
    said = plan_fit(a_program())
    assert not said.fits
    assert said.advice[0] == f"batch_size=2 with accumulate=4 takes {size(two)}"
    assert said.advice[1].startswith("a limit of ")
    assert all(change in said.refusal() for change in said.advice)


def test_where_weights_alone_are_too_much_fewer_should_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.ModuleDict({"large": nn.Linear(1024, 1024), "head": nn.Linear(1024, 2)})
    batch = {"inputs": torch.zeros(2, 1024), "labels": torch.zeros(2)}
    free(monkeypatch, 2 * MIB)
    said = plan_fit(Program(model, batch, lambda m, b: m["head"](m["large"](b["inputs"])).sum()))
    start = "training fewer weights (only the last blocks, or LoRA) saves most of the 12 MiB of gradients"
    assert [change[: len(start)] for change in said.advice] == [start]


def test_mixed_precision_is_advised_where_the_machine_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Stack().train()
    batch = a_batch(64, 128)
    exact, mixed = (plan_fit(Program(model, batch, loss, precision=kind)) for kind in ("no", "bf16"))
    assert mixed.needed_bytes < exact.needed_bytes
    free(monkeypatch, (exact.needed_bytes + mixed.needed_bytes) // 2)
    monkeypatch.setenv("COURSE_PRECISION", "bf16")
    assert plan_fit(Program(model, batch, loss)).advice[0].startswith("precision='bf16' takes ")
    monkeypatch.setenv("COURSE_PRECISION", "no")
    assert plan_fit(Program(model, batch, loss)).advice[0].startswith("batch_size=32 with accumulate=2 takes ")


@pytest.mark.usefixtures("everything_is_asked")
def test_fit_refuses_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free(monkeypatch, 1000)
    model = Tiny()
    before = digest(model)
    with pytest.raises(
        CourseError, match=r"needs at least 0 MiB more memory .* only 0 MiB are free.*'ignore'\) tries it"
    ):
        fit(model, batches(), loss, config(tmp_path))
    assert digest(model) == before
    assert not model.training
    assert not list(tmp_path.iterdir())
    assert fit(model, batches(), loss, config(tmp_path, memory="ignore")).stopped == "finished"


@pytest.mark.usefixtures("everything_is_asked")
def test_a_run_may_continue_with_the_check_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = 0

    def interrupted(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 22:
            raise KeyboardInterrupt
        return loss(model, batch)

    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted, config(tmp_path))
    free(monkeypatch, 1000)
    assert fit(Tiny(), batches(), loss, config(tmp_path, memory="ignore")).resumed_at == 6


# -- what is said ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("everything_is_asked")
def test_one_line_before_and_one_after_where_somebody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Tiny(), batches(), loss, config(epochs=1))
    assert capsys.readouterr() == ("", "")
    fit(Tiny(), batches(), loss, config(epochs=1, progress=True, title="course"))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("course: ") and "%" not in line]
    assert len(lines) == 2
    assert lines[0].startswith("course: needs at least 0 MiB more memory (")
    assert " of memory; its tensors at once, as predicted: 0 MiB" in lines[1]


def a_forecast(**settings: Any) -> Forecast:
    phases = {"load": {"weights": 100 * MIB}, "forward": {"weights": 100 * MIB, "activations": 3 * 2**30}}
    defaults = {"needed_bytes": 3 * 2**30, "available_bytes": 8 * 2**30, "base_bytes": 0, "resident_bytes": 100 * MIB}
    return Forecast(**{"phases": phases, **defaults, **settings})


def test_the_line_says_what_comes_and_what_is_there() -> None:
    assert a_forecast().line() == "needs at least 3.0 GiB more memory (activations 3.0 GiB), 8.0 GiB are free"
    there = a_forecast(device="cuda", resident_bytes=0)
    assert there.line() == "needs 3.0 GiB more GPU memory (activations 3.0 GiB, weights 100 MiB), 8.0 GiB are free"
    assert "can hold 2 times what is in use" in a_forecast(available_bytes=4 * 2**30).line()


# -- answers that are kept ---------------------------------------------------------------------------------------------


def test_the_same_program_is_traced_once() -> None:
    calls = []

    def noting(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        calls.append(1)
        return loss(model, batch)

    for _ in range(3):
        plan_fit(a_program(loss=noting))
    assert len(calls) == 1


def test_programs_that_allocate_otherwise_are_told_apart() -> None:
    def scaled(chunk: int) -> Any:
        return lambda model, batch: loss(model, batch) * chunk

    class Switch(Tiny):
        checkpointing = False

    model, evaluating, frozen, switched = Tiny(), Tiny().eval(), Tiny(), Switch()
    frozen.embedding.requires_grad_(False)
    switched.checkpointing = True
    batch = a_batch()
    others = [
        Program(model, batch, loss),
        Program(evaluating, batch, loss),
        Program(frozen, batch, loss),
        Program(switched, batch, loss),
        Program(Switch(), batch, loss),
        Program(Tiny(dropout=0.0), batch, loss),
        Program(Tiny(width=32), batch, loss),
        Program(model, a_batch(4), loss),
        Program(model, batch, noisy_loss),
        Program(model, batch, scaled(1)),
        Program(model, batch, scaled(2)),
        Program(model, batch, loss, precision="bf16"),
        Program(model, batch, loss, accumulate=2),
        Program(model, batch, loss, learned=tuple(model.head.parameters())),
    ]
    assert len({identity(other) for other in others}) == len(others)
    assert identity(Program(Tiny(seed=5), a_batch(), loss)) == identity(others[0])
    assert identity(Program(copy.deepcopy(model), batch, scaled(2))) == identity(others[10])
