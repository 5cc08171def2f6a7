"""The training loop: what a step does, when it stops, what it refuses, and what it leaves behind."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import io
import json
import math
import pickle
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.batching import Batches
from course_lib.errors import CourseError
from course_lib.train import History, TrainConfig, fit, training_mode
from tiny_task import Tiny, batches, config, digest, evaluate, items, loss, noisy_loss

Batch = dict[str, Tensor]


pytestmark = pytest.mark.usefixtures("one_thread")


class Slope(nn.Module):
    """The model ``w`` whose loss below is ``g * w`` for each record: its gradient can be written down."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.w


def slopes(rows: list[list[float]], batch_size: int = 1) -> Batches:
    def collate(chosen: list[list[float]]) -> Batch:
        return {"inputs": torch.tensor(chosen), "labels": torch.zeros(len(chosen), dtype=torch.long)}

    return Batches(rows, [1] * len(rows), collate, batch_size, shuffle=False)


def slope(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch["inputs"]).sum()


def plain(**settings: Any) -> TrainConfig:
    """One epoch in full precision, at the full rate from the first step."""
    defaults = {"epochs": 1, "precision": "no", "warmup": 0.0, "weight_decay": 0.0, "learning_rate": 0.1}
    return TrainConfig(**{**defaults, **settings})


def interrupted(at: int, error: type[BaseException] = KeyboardInterrupt, inner: Any = loss) -> Callable[..., Tensor]:
    """A loss that raises when it is asked for the ``at``-th time (three times a step, twice in an epoch's last)."""
    calls = 0

    def raising(model: nn.Module, batch: Batch) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return inner(model, batch)

    return raising


def same_run(history: History, expected: History) -> bool:
    return dataclasses.replace(history, resumed_at=0) == expected


# -- a step ------------------------------------------------------------------------------------------------------------


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    # 10 steps, of which 2 warm up: 1/2, 1, then (1 + cos(pi * k / 8)) / 2 for k = 0 ... 7
    rates = [TrainConfig(warmup=0.2).rate(step, 10) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[4] == pytest.approx((1 + math.sqrt(2) / 2) / 2)  # k = 2: cos(pi / 4)
    assert rates[6] == pytest.approx(0.5)  # k = 4: cos(pi / 2)
    assert rates[8] == pytest.approx((1 - math.sqrt(2) / 2) / 2)  # k = 6: cos(3 pi / 4)
    assert rates[9] == pytest.approx(0.0380602, abs=1e-7)  # k = 7: the last step still learns something
    assert TrainConfig(warmup=1.0).rate(9, 10) == 1.0
    assert TrainConfig(warmup=0.0).rate(0, 10) == 1.0
    assert TrainConfig(warmup=0.5).rate(0, 1) == 1.0


def test_the_history_has_the_rate_of_every_step() -> None:
    settings = config(learning_rate=0.02, warmup=0.2)
    history = fit(Tiny(), batches(), loss, settings)
    assert history.learning_rate == pytest.approx([0.02 * settings.rate(step, 15) for step in range(15)])


def test_a_first_step_by_hand() -> None:
    # Gradient of the mean of 3 w1 + 4 w2: (3, 4), of norm 5, clipped to (0.6, 0.8). AdamW's first step divides each
    # by its own size, so each weight moves by the rate, -0.1; the loss before it, at w = 0, is 0.
    model = Slope()
    history = fit(model, slopes([[3.0, 4.0]]), slope, plain())
    assert history.loss == [0.0]
    assert history.gradient_norm == pytest.approx([5.0])
    assert model.w.tolist() == pytest.approx([-0.1, -0.1])
    assert history.stopped == "finished"


@pytest.mark.parametrize(("clip", "expected"), [(1.0, [0.06, 0.08]), (10.0, [0.3, 0.4])])
def test_the_gradient_is_clipped_to_its_norm_and_not_below(clip: float, expected: list[float], tmp_path: Path) -> None:
    # AdamW's first moment after one step is a tenth of the gradient that it was given.
    fit(Slope(), slopes([[3.0, 4.0]]), slope, plain(clip=clip, save_to=tmp_path))
    saved = checkpoint.latest(tmp_path)
    assert saved is not None
    assert saved.tensors()["optimizer/0/exp_avg"].tolist() == pytest.approx(expected)


def test_the_loss_is_the_mean_per_label_and_not_the_mean_of_batches() -> None:
    # w = 1. Batches of 2 and 1 records with losses 1, 2 and 6: (1 + 2 + 6) / 3 = 3, not (1.5 + 6) / 2.
    model = Slope(1)
    nn.init.ones_(model.w)
    history = fit(model, slopes([[1.0], [2.0], [6.0]], batch_size=2), slope, plain(accumulate=2))
    assert history.loss == [3.0]
    assert history.gradient_norm == pytest.approx([3.0])


def test_accumulated_batches_are_one_large_batch() -> None:
    """Also where batches are not full, and where labels do not count: 50 texts, every third without a label."""
    rows = sorted(items(50, ignored=3), key=lambda row: len(row[1]))
    one, many = Tiny(dropout=0.0), Tiny(dropout=0.0)
    large = fit(one, batches(16, rows, shuffle=False), loss, config(accumulate=1))
    small = fit(many, batches(4, rows, shuffle=False), loss, config(accumulate=4))
    assert len(large.loss) == 12
    assert small.loss == pytest.approx(large.loss, rel=1e-4)
    assert small.gradient_norm == pytest.approx(large.gradient_norm, rel=1e-3)
    assert evaluate(many)["loss"] == pytest.approx(evaluate(one)["loss"], rel=1e-4)


def test_a_step_whose_labels_all_do_not_count_changes_no_loss_to_nan() -> None:
    history = fit(Tiny(), batches(4, items(8, ignored=1)), loss, config(accumulate=1, epochs=1))
    assert history.loss == [0.0, 0.0]


def test_training_learns() -> None:
    history = fit(Tiny(dropout=0.0), batches(), loss, config(epochs=30, accumulate=1))
    assert np.mean(history.loss[-14:]) < 0.5 * np.mean(history.loss[:14])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, second, other = Tiny(), Tiny(), Tiny()
    one, two = fit(first, batches(), noisy_loss, config()), fit(second, batches(), noisy_loss, config())
    assert one == two
    assert digest(first) == digest(second)
    assert fit(other, batches(), noisy_loss, config(seed=5)) != one


def test_groups_learn_at_their_own_rates() -> None:
    # AdamW's first step moves every weight that has a gradient by its group's rate.
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lower, self.upper, self.default = Slope(), Slope(), Slope()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.lower(inputs) + self.upper(inputs) + self.default(inputs)

    model = Two()
    groups = [
        {"params": list(model.lower.parameters()), "lr": 0.01},
        {"params": list(model.upper.parameters()), "lr": 0.03},
        {"params": list(model.default.parameters())},  # config.learning_rate
    ]
    history = fit(model, slopes([[1.0, -1.0]]), slope, plain(learning_rate=0.5), groups=groups)
    assert model.lower.w.tolist() == pytest.approx([-0.01, 0.01])
    assert model.upper.w.tolist() == pytest.approx([-0.03, 0.03])
    assert model.default.w.tolist() == pytest.approx([-0.5, 0.5])
    assert history.learning_rate == [0.01]


def test_a_weight_outside_all_groups_neither_moves_nor_counts_for_the_norm() -> None:
    model = nn.ModuleDict({"in": Slope(), "out": Slope()})
    both = lambda m, batch: slope(m["in"], batch) + slope(m["out"], batch)  # noqa: E731
    rows = [[3.0, 4.0]] * 6
    history = fit(model, slopes(rows), both, plain(), groups=[{"params": model["in"].parameters(), "lr": 0.1}])
    assert history.gradient_norm == pytest.approx([5.0] * 6)
    assert model["out"].w.tolist() == [0.0, 0.0]


# -- what is frozen ----------------------------------------------------------------------------------------------------


def test_frozen_parts_stay_in_evaluation_mode_and_keep_their_bits() -> None:
    frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9), nn.BatchNorm1d(4)).requires_grad_(False)
    model = nn.ModuleDict({"frozen": frozen, "dropout": nn.Dropout(0.5), "head": nn.Linear(4, 2)})
    before, modes = digest(frozen), []

    def watch(m: nn.Module, batch: Batch) -> Tensor:
        modes.append([frozen.training, frozen[1].training, frozen[2].training, m["dropout"].training])
        states = frozen(batch["inputs"])
        assert torch.equal(states, frozen(batch["inputs"])), "dropout in a frozen part"
        return nn.functional.cross_entropy(m["head"](m["dropout"](states)), batch["labels"], reduction="sum")

    head = digest(model["head"])
    fit(model, slopes([[1.0, 2.0, 3.0, 4.0]] * 4), watch, plain(epochs=2), evaluate=lambda m: {"loss": 1.0})
    assert modes == [[False, False, False, True]] * 8, "also after an evaluation"
    assert digest(frozen) == before
    assert digest(model["head"]) != head
    assert not any(module.training for module in model.modules()), "afterwards everything is as at inference"


def test_a_part_with_something_to_learn_anywhere_below_trains() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Dropout()), nn.Linear(2, 2))
    model[0].add_module("adapter", nn.Linear(2, 2))
    training_mode(model)
    assert model[0].training
    assert model[0][1].training
    assert not model[0][0].training


# -- evaluation and early stopping -------------------------------------------------------------------------------------


class Scripted:
    """Evaluations with given losses, and the digest of the weights at each."""

    def __init__(self, losses: list[float], name: str = "loss") -> None:
        self.losses, self.name, self.seen = iter(losses), name, []

    def __call__(self, model: nn.Module) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        self.seen.append(digest(model))
        return {self.name: next(self.losses)}


def test_early_stopping_brings_back_the_best_weights() -> None:
    scores = Scripted([3.0, 1.0, 2.0, 1.5])
    model = Tiny()
    history = fit(model, batches(), loss, config(evaluate_every=2, patience=2), evaluate=scores)
    assert history.stopped == "no improvement"
    assert [entry["step"] for entry in history.evaluations] == [2, 4, 6, 8]
    assert len(history.loss) == 8
    assert digest(model) == scores.seen[1]
    assert len(set(scores.seen)) == 4


def test_a_figure_other_than_the_loss_is_better_when_it_is_higher() -> None:
    scores = Scripted([0.5, 0.7, 0.6, 0.6], "accuracy")
    model = Tiny()
    settings = config(evaluate_every=2, patience=2, monitor="accuracy")
    assert fit(model, batches(), loss, settings, evaluate=scores).stopped == "no improvement"
    assert digest(model) == scores.seen[1]


def test_the_best_weights_come_back_also_where_patience_is_never_exhausted() -> None:
    scores = Scripted([3.0, 1.0, 2.0])
    model = Tiny()
    assert fit(model, batches(), loss, config(patience=5), evaluate=scores).stopped == "finished"
    assert digest(model) == scores.seen[1]


@pytest.mark.parametrize(
    "cut", [8, 15, 19, 25]
)  # in the steps 3, 6, 7 and 9: before the best, then ever later after it
def test_early_stopping_goes_on_where_it_was_after_an_interruption(cut: int, tmp_path: Path) -> None:
    losses = [3.0, 2.0, 1.0, 2.5, 1.5, 0.5]
    settings = dict(evaluate_every=2, patience=2, save_every=1)
    expected, scores = Tiny(), Scripted(losses)
    reference = fit(expected, batches(), noisy_loss, config(**settings), evaluate=scores)
    assert len(reference.evaluations) == 5
    with pytest.raises(KeyboardInterrupt):
        fit(
            Tiny(),
            batches(),
            interrupted(cut, inner=noisy_loss),
            config(tmp_path, **settings),
            evaluate=Scripted(losses),
        )
    saved = checkpoint.latest(tmp_path)
    assert saved is not None
    model, rest = Tiny(seed=99), Scripted(losses[saved.step // 2 :])
    history = fit(model, batches(), noisy_loss, config(tmp_path, **settings), evaluate=rest)
    assert history.resumed_at == saved.step
    assert same_run(history, reference)
    assert digest(model) == digest(expected) == scores.seen[2]


def test_without_patience_the_last_weights_stay() -> None:
    scores = Scripted([1.0, 2.0, 3.0])
    model = Tiny()
    history = fit(model, batches(), loss, config(), evaluate=scores)
    assert history.stopped == "finished"
    assert [entry["step"] for entry in history.evaluations] == [5, 10, 15]
    assert digest(model) == scores.seen[2]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_said_and_no_such_weights_are_saved(tmp_path: Path) -> None:
    def breaks(model: nn.Module, batch: Batch) -> Tensor:
        return loss(model, batch) * (float("nan") if 7 in batch["number"] else 1.0)

    model = Tiny()
    with pytest.raises(CourseError, match=r"The loss became nan at step \d; lower the learning rate \(now 0\.01\)"):
        fit(model, batches(), breaks, config(tmp_path, save_every=1))
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_gradient_that_is_no_number_is_said_before_it_ruins_the_weights(tmp_path: Path) -> None:
    # The root of 0 is 0, but its slope is infinite: the loss looks healthy, the next weights would not be.
    def root(model: nn.Module, batch: Batch) -> Tensor:
        return model(batch["inputs"]).sqrt().sum()

    model = Slope()
    with pytest.raises(CourseError, match="The gradient became inf at step 1; lower the learning rate"):
        fit(model, slopes([[3.0, 4.0]] * 3), root, plain(save_to=tmp_path, save_every=1))
    assert model.w.tolist() == [0.0, 0.0]
    assert checkpoint.latest(tmp_path) is None


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(CourseError, match="every parameter of the model is frozen"):
        fit(Tiny().requires_grad_(False), batches(), loss, config())


def test_no_data_are_refused() -> None:
    with pytest.raises(CourseError, match="the data set is empty"):
        fit(Tiny(), batches(rows=[]), loss, config())


def test_patience_without_an_evaluation_is_refused() -> None:
    with pytest.raises(CourseError, match="patience watches the evaluations"):
        fit(Tiny(), batches(), loss, config(patience=2))


def test_a_figure_that_is_not_evaluated_cannot_be_watched() -> None:
    with pytest.raises(CourseError, match=r"monitor='f1' is not among the evaluated figures \['loss'\]"):
        fit(Tiny(), batches(), loss, config(patience=2, monitor="f1"), evaluate=evaluate)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, not 0"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"evaluate_every": -1}, "evaluate_every must be at least 0"),
        ({"save_every": -2}, "save_every must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"warmup": 100}, "warmup is a share of all steps, between 0 and 1, not 100"),
        ({"precision": "half"}, "precision must be auto, no, fp16 or bf16, not 'half'"),
        ({"memory": "later"}, "memory must be check or ignore, not 'later'"),
    ],
)
def test_settings_that_cannot_be_are_said_in_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        TrainConfig(**settings)


# -- continuing --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[History, str]:
    """A run with random numbers of every library."""
    model = Tiny()
    history = fit(model, batches(), noisy_loss, config(), evaluate=evaluate)
    return history, digest(model)


def test_checkpoints_and_a_progress_bar_change_nothing(uninterrupted: tuple[History, str], tmp_path: Path) -> None:
    model = Tiny()
    settings = config(tmp_path, progress=True)
    assert (fit(model, batches(), noisy_loss, settings, evaluate=evaluate), digest(model)) == uninterrupted


def test_the_progress_bar_shows_the_steps_the_loss_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    def slow(model: nn.Module, batch: Batch) -> Tensor:
        time.sleep(0.04)  # the bar is drawn at most ten times a second
        return loss(model, batch)

    history = fit(Tiny(), batches(), slow, config(epochs=1, progress=True, title="course"))
    shown = capsys.readouterr().err
    assert re.search(rf"course: .* 2/5 \[\d+:\d+<\d+:\d+, .*, loss {history.loss[1]:.3f}\]", shown), shown


def test_nothing_is_printed_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Tiny(), batches(), loss, config(epochs=1))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("cut", [3, 5, 21, 32, 41])
def test_an_interrupted_run_continues_with_the_random_numbers_of_every_library(
    cut: int, uninterrupted: tuple[History, str], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted(cut, inner=noisy_loss), config(tmp_path), evaluate=evaluate)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    model = Tiny(seed=99) if checkpoint.latest(tmp_path) else Tiny()
    history = fit(model, batches(), noisy_loss, config(tmp_path), evaluate=evaluate)
    assert history.resumed_at == {3: 0, 5: 0, 21: 6, 32: 10, 41: 14}[cut]
    assert same_run(history, uninterrupted[0])
    assert digest(model) == uninterrupted[1]


def test_ctrl_c_leaves_a_valid_checkpoint_and_a_model_that_can_go_on_at_once(
    uninterrupted: tuple[History, str], tmp_path: Path
) -> None:
    model = Tiny()
    with pytest.raises(KeyboardInterrupt):  # between two batches of step 8, whose gradients are half there
        fit(model, batches(), interrupted(22, inner=noisy_loss), config(tmp_path), evaluate=evaluate)
    assert all(p.grad is None for p in model.parameters())
    assert not model.training
    assert "forward" not in vars(model)
    saved = checkpoint.latest(tmp_path)
    assert saved is not None
    assert saved.step == 6
    history = fit(model, batches(), noisy_loss, config(tmp_path), evaluate=evaluate)
    assert history.resumed_at == 6
    assert same_run(history, uninterrupted[0])
    assert digest(model) == uninterrupted[1]


def test_gradients_left_in_a_model_do_not_enter_its_first_step() -> None:
    model, expected = Tiny(), Tiny()
    loss(model, batches().fetch([1, 2, 3])).backward()
    assert fit(model, batches(), loss, config()) == fit(expected, batches(), loss, config())
    assert digest(model) == digest(expected)


def test_a_finished_run_returns_at_once_with_its_weights(uninterrupted: tuple[History, str], tmp_path: Path) -> None:
    settings = config(tmp_path, patience=9)
    model = Tiny()
    first = fit(model, batches(), noisy_loss, settings, evaluate=evaluate)
    again = Tiny(seed=99)

    def never(*_: object) -> Any:
        raise AssertionError("a finished run must not compute anything")

    second = fit(again, batches(), never, settings, evaluate=never)
    assert second.resumed_at == 15
    assert same_run(second, first)
    assert digest(again) == digest(model)
    assert not again.training


def test_how_often_is_saved_and_where_is_free_to_change(uninterrupted: tuple[History, str], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted(22, inner=noisy_loss), config(tmp_path / "a"), evaluate=evaluate)
    (tmp_path / "a").rename(tmp_path / "b")
    other = config(str(tmp_path / "b"), save_every=0, keep=1, title="again", progress=False)  # type: ignore[arg-type]
    assert same_run(fit(Tiny(), batches(), noisy_loss, other, evaluate=evaluate), uninterrupted[0])
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["step-00000015"]


def frozen_embedding(seed: int = 1) -> Tiny:
    model = Tiny(seed=seed)
    model.embedding.requires_grad_(False)
    return model


OTHER_RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "rate": ("its learning_rate was 0.01 and is 0.02 now", {"config": {"learning_rate": 0.02}}),
    "epochs": ("its epochs was 3 and is 4 now", {"config": {"epochs": 4}}),
    "seed": ("its seed was 0 and is 1 now", {"config": {"seed": 1}}),
    "precision": ("its precision was no and is bf16 now", {"config": {"precision": "bf16"}}),
    "accumulation": ("its accumulate was 3 and is 1 now", {"config": {"accumulate": 1}}),
    "batch size": ("its batch_size was 4 and is 5 now", {"batches": {"batch_size": 5}}),
    "order": ("its data_seed was 0 and is 3 now", {"batches": {"seed": 3}}),
    "bucketing": ("its bucket was True and is False now", {"batches": {"bucket": False}}),
    "fewer records": ("its records was 53 and is 50 now", {"batches": {"rows": items(50)}}),
    "other records": ("its data differ", {"batches": {"rows": items(53, seed=7)}}),
    "size": ("its trainable weights differ", {"model": lambda: Tiny(width=8)}),
    "freezing": ("its groups differ", {"model": frozen_embedding}),
}


@pytest.fixture(scope="module")
def half_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half")
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted(22), config(folder))
    return folder


@pytest.mark.parametrize("other", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_with_the_setting_that_differs(other: str, half_a_run: Path) -> None:
    sentence, change = OTHER_RUNS[other]
    before = sorted(half_a_run.rglob("*"))
    model = change.get("model", Tiny)()
    with pytest.raises(CourseError, match=f"step-00000006 belongs to another run: {sentence}; choose another folder"):
        fit(model, batches(**change.get("batches", {})), loss, config(half_a_run, **change.get("config", {})))
    assert sorted(half_a_run.rglob("*")) == before, "the other run's checkpoints must stay"


def test_a_checkpoint_for_other_frozen_weights_is_refused(tmp_path: Path) -> None:
    """They are not in it, so a head would be continued on features that it has never seen."""
    with pytest.raises(KeyboardInterrupt):
        fit(frozen_embedding(), batches(), interrupted(22), config(tmp_path))
    with pytest.raises(CourseError, match="its frozen weights differ"):
        fit(frozen_embedding(seed=2), batches(), loss, config(tmp_path))
    assert fit(frozen_embedding(), batches(), loss, config(tmp_path)).resumed_at == 6


def test_only_what_is_learned_is_saved(tmp_path: Path) -> None:
    fit(frozen_embedding(), batches(), loss, config(tmp_path, epochs=1))
    saved = checkpoint.latest(tmp_path)
    assert saved is not None
    names = [name for name in saved.tensors() if name.startswith("model/")]
    assert "model/head.weight" in names
    assert "model/embedding.weight" not in names
    json.dumps(saved.meta(), allow_nan=False)


def test_running_statistics_are_saved_and_restored(tmp_path: Path) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))

    def square(model: nn.Module, batch: Batch) -> Tensor:
        return model(batch["inputs"]).square().sum()

    data = slopes(np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32).tolist(), batch_size=3)
    expected = build()
    fit(expected, data, square, plain())
    with pytest.raises(KeyboardInterrupt):
        fit(build(), data, interrupted(3, inner=square), plain(save_to=tmp_path, save_every=1))
    model = build()
    assert fit(model, data, square, plain(save_to=tmp_path, save_every=1)).resumed_at == 2
    assert digest(model) == digest(expected)


# -- precision, and what the accelerator leaves behind -----------------------------------------------------------------


def test_mixed_precision_trains_and_continues_to_the_same_bits(tmp_path: Path) -> None:
    seen = set()

    def watch(model: nn.Module, batch: Batch) -> Tensor:
        seen.add((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), model.head.weight.dtype))
        assert model(batch["inputs"], batch["mask"]).dtype == torch.float32, "outputs come back in full precision"
        return noisy_loss(model, batch)

    settings = dict(precision="bf16", epochs=3)
    model = Tiny()
    reference = fit(model, batches(), watch, config(**settings))
    assert seen == {(True, torch.bfloat16, torch.float32)}
    exact = fit(Tiny(), batches(), watch, config(precision="no"))
    assert reference.loss != exact.loss
    assert reference.loss == pytest.approx(exact.loss, rel=0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted(22, inner=watch), config(tmp_path, **settings))
    again = Tiny(seed=99)
    history = fit(again, batches(), watch, config(tmp_path, **settings))
    assert history.resumed_at == 6
    assert same_run(history, reference)
    assert digest(again) == digest(model)


def test_the_precision_can_change_from_run_to_run_of_one_model() -> None:
    model, seen = Tiny(), []

    def watch(m: nn.Module, batch: Batch) -> Tensor:
        inner = m.block.linear1(m.embedding(batch["inputs"]))  # in the precision of the autocast
        seen.append(inner.dtype)
        return loss(m, batch)

    def outside(m: nn.Module) -> dict[str, float]:
        seen.append(m.embedding.weight.dtype if "forward" not in vars(m) else "wrapped")
        return {"loss": 1.0}

    for precision in ("no", "bf16", "no", "bf16"):
        seen.append(precision)
        fit(model, batches(16), watch, config(precision=precision, epochs=1, accumulate=4), evaluate=outside)
    full, half = [torch.float32] * 5, [torch.bfloat16] * 4 + ["wrapped"]
    assert seen == ["no", *full, "bf16", *half, "no", *full, "bf16", *half]


def test_fp16_on_a_processor_is_refused_in_a_sentence_and_nothing_is_broken() -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine can train in fp16")
    with pytest.raises(CourseError, match="This machine cannot train with precision='fp16'"):
        fit(Tiny(), batches(), loss, config(precision="fp16"))
    assert fit(Tiny(), batches(), loss, config(precision="no", epochs=1)).stopped == "finished"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_gpu_trains_in_mixed_precision_and_continues_to_the_same_weights(precision: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    model, again = Tiny(), Tiny()
    reference = fit(model, batches(), noisy_loss, config(precision=precision))
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), batches(), interrupted(22, inner=noisy_loss), config(tmp_path, precision=precision))
    history = fit(again, batches(), noisy_loss, config(tmp_path, precision=precision))
    assert history.resumed_at == 6
    assert history.loss == pytest.approx(reference.loss, rel=1e-3)
    assert all(math.isfinite(value) for value in history.loss)


def assert_clean(model: nn.Module) -> None:
    """Nothing of the accelerator is left on a model: it can be copied, pickled and trained again."""
    assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & vars(model).keys()
    assert model.forward.__func__ is type(model).forward
    assert not model.training
    assert all(p.grad is None and p.is_leaf for p in model.parameters())
    assert not torch.is_autocast_enabled("cpu")
    copied = copy.deepcopy(model)
    stored = pickle.loads(pickle.dumps(model))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    batch = batches().fetch([0, 1, 2])
    expected = model(batch["inputs"], batch["mask"])
    assert torch.equal(copied(batch["inputs"], batch["mask"]), expected)
    assert torch.equal(stored(batch["inputs"], batch["mask"]), expected)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_trained_model_is_an_ordinary_model(precision: str) -> None:
    model = Tiny()
    fit(model, batches(), loss, config(precision=precision, epochs=1))
    assert_clean(model)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_model_is_an_ordinary_model_after_an_error_too(precision: str, error: type[BaseException]) -> None:
    model = Tiny()
    with pytest.raises(error):
        fit(model, batches(), interrupted(5, error), config(precision=precision))
    assert_clean(model)


def test_a_model_is_an_ordinary_model_after_a_refusal_too(half_a_run: Path) -> None:
    model = Tiny()
    with pytest.raises(CourseError, match="belongs to another run"):
        fit(model, batches(), loss, config(half_a_run, precision="bf16"))
    assert_clean(model)


def test_a_decorated_forward_keeps_its_decorator() -> None:
    """transformers decorates its forwards; taking off what the accelerator put on must not take that off too."""

    def twice(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(forward)
        def doubled(self: nn.Module, *inputs: Tensor) -> Tensor:
            return 2 * forward(self, *inputs)

        return doubled

    class Decorated(Tiny):
        forward = twice(Tiny.forward)

    model = Decorated()
    fit(model, batches(), loss, config(precision="bf16", epochs=1))
    batch = batches().fetch([0, 1])
    assert torch.equal(model(batch["inputs"], batch["mask"]), 2 * Tiny.forward(model, batch["inputs"], batch["mask"]))


def test_a_forward_that_was_replaced_on_the_model_stays_replaced() -> None:
    model = Tiny()
    model.forward = functools.partial(Tiny.forward, model)  # type: ignore[method-assign]
    before = model.forward
    fit(model, batches(), loss, config(precision="bf16", epochs=1))
    assert vars(model)["forward"] is before


def test_runs_in_one_process_do_not_hold_on_to_each_other() -> None:
    """The optimizer's state is twice the size of the model: it must go when its run has ended."""
    model = Tiny()
    fit(model, batches(), loss, config(epochs=1))
    gc.collect()
    shapes = [tuple(x.shape) for x in gc.get_objects() if isinstance(x, Tensor) and x.shape == (40, 16)]
    assert len(shapes) <= 1, "only the embedding itself"
