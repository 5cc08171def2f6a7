"""The loop itself: `fit`, and what one step does."""

from __future__ import annotations

import contextlib
import math
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from course_lib import hardware
from course_lib.batching import Batches, label_count
from course_lib.errors import CourseError
from course_lib.memory.guard import Forecast
from course_lib.train import forecast, state
from course_lib.train.settings import History, TrainConfig

ADDED = ("forward", "_original_forward", "_is_accelerate_prepared")  # what Accelerate may set on a model

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]
Evaluate = Callable[[nn.Module], Mapping[str, float]]


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    config: TrainConfig,
    *,
    evaluate: Evaluate | None = None,
    groups: list[dict[str, Any]] | None = None,
) -> History:
    """Train ``model`` in place and return what happened.

    ``loss(model, batch)`` returns the *sum* of the losses over the labels of a batch (``label_count`` of them).
    ``groups`` are optimizer groups, with their own ``lr`` where it is not ``config.learning_rate``; by default all
    trainable parameters are one group. With ``config.save_to`` the run continues from the newest valid checkpoint
    there. On return the model holds the last weights, or with ``patience`` the best ones.

    Unless ``config.memory`` says "ignore", the run is first tried on tensors without numbers, for which ``loss`` is
    called once more, and refused where memory will not do.

    Raises CourseError when the run cannot fit into memory, when the loss is no longer a number, when nothing is
    trainable, when ``config.save_to`` cannot be written to, or when the checkpoints found there belong to a different
    run.
    """
    run = Run(model, batches, loss, config, evaluate)
    try:
        run.group(groups)
        training_mode(model)
        found = state.find(run)
        if not (found and found.meta()["history"]["stopped"]):
            run.forecast = forecast.check(run)
        with forecast.measured(run):
            run.prepare()
            if found:
                state.resume(run, found)
            with run.bar() as bar:
                while not run.history.stopped:
                    for step in run.rest_of_epoch():
                        run.take(step)
                        bar.update()
                        bar.set_postfix_str(f"loss {run.history.loss[-1]:.3f}", refresh=False)
                        run.after_step()
                        if run.history.stopped:
                            break
    finally:
        run.finish()
    return run.history


def training_mode(model: nn.Module) -> None:
    """Switch on dropout where there is something to learn; parts without trainable weights stay as at inference."""
    model.train()
    frozen = [
        module
        for module in model.modules()
        if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
    ]
    for module in frozen:
        module.eval()


class Run:
    """The state of one run: everything that a checkpoint must hold, and nothing else."""

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        loss: Loss,
        config: TrainConfig,
        evaluate: Evaluate | None,
    ) -> None:
        self.bare, self.batches, self.loss, self.config, self.evaluate = model, batches, loss, config, evaluate
        if not any(p.requires_grad for p in model.parameters()):
            raise CourseError("Nothing can be trained: every parameter of the model is frozen.")
        if not len(batches.items):
            raise CourseError("There is nothing to train on: the data set is empty.")
        if config.patience and not evaluate:
            raise CourseError("patience watches the evaluations: pass evaluate, or leave patience at 0.")
        self.untouched = {name: value for name, value in vars(model).items() if name in ADDED}
        self.accelerator = _accelerator(config.precision)
        self.world = self.accelerator.num_processes
        self.epoch_steps = math.ceil(len(self._global_batches(0)) / config.accumulate)
        self.steps = config.epochs * self.epoch_steps
        self.step, self.history = 0, History()
        self.forecast: Forecast | None = None
        self.best: dict[str, Tensor] = {}
        self.best_score, self.worse = -math.inf, 0

    def group(self, groups: list[dict[str, Any]] | None) -> None:
        """Settle which parameters the optimizer gets; an iterator would be used up when they are counted."""
        groups = groups or [{"params": [p for p in self.bare.parameters() if p.requires_grad]}]
        held = ([one] if isinstance(one := group["params"], Tensor) else list(one) for group in groups)
        self.groups = [{**group, "params": params} for group, params in zip(groups, held, strict=True)]

    def prepare(self) -> None:
        """Put the model on its device, in training mode, and make the optimizer."""
        _seed(self.config.seed, self.accelerator.process_index)
        self.optimizer = _optimizer(self.groups, self.config)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.learning = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.bare.zero_grad(set_to_none=True)  # an interrupted step may have left gradients behind
        self.model, scaled = self.accelerator.prepare(self.bare, self.optimizer)
        # Accelerate's optimizer looks for an optional package on the disk at every step (a third of the time of a step
        # that trains a small head), so it is used only where its work is needed: for the loss scale of fp16.
        self.stepper = scaled if self.accelerator.scaler else self.optimizer
        training_mode(self.bare)

    # -- the data ----------------------------------------------------------------------------------------------------

    def _global_batches(self, epoch: int) -> list[list[int]]:
        """Batches for all processes together, so that two processes see what one with twice the batch sees."""
        return self.batches.epoch(epoch, self.batches.batch_size * self.world)

    def rest_of_epoch(self) -> Iterable[list[list[int]]]:
        """The steps of the current epoch that are still to be taken, each a list of batches of indices."""
        epoch, done = divmod(self.step, self.epoch_steps)
        order, size = self._global_batches(epoch), self.config.accumulate
        return [order[k : k + size] for k in range(done * size, len(order), size)]

    def _shares(self, step: list[list[int]]) -> list[tuple[Batch, int]]:
        """This process's part of each batch of a step, with the number of its labels that count."""
        shares = []
        for indices in step:
            mine = indices[self.accelerator.process_index :: self.world]
            # Fewer records than processes: every process must still run the model, so it repeats one with weight 0.
            batch = self.batches.fetch(mine or indices[:1])
            shares.append((send_to_device(batch, self.accelerator.device), label_count(batch) if mine else 0))
        return shares

    # -- one step ----------------------------------------------------------------------------------------------------

    def take(self, step: list[list[int]]) -> None:
        """One optimizer step."""
        shares = self._shares(step)
        labels = max(1.0, self._sum(sum(count for _, count in shares)))
        rate = self.config.rate(self.step, self.steps)
        for group, base in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = base * rate
        losses = []
        for k, (batch, count) in enumerate(shares):
            last = k == len(shares) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self.accelerator.autocast():
                    value = self.loss(self.model, batch)
                value = value if count else value * 0.0
                # Gradients are averaged over processes, hence the factor: together they are the sum over all labels.
                self.accelerator.backward(value * (self.world / labels))
            losses.append(value.detach())
        # Only now are numbers asked for: each waits until the device has worked off what was queued.
        mean = self._sum(sum(map(float, losses))) / labels
        norm = float(self.accelerator.clip_grad_norm_(self.learning, self.config.clip))
        self._check_finite(mean, norm)
        self.stepper.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.history.loss.append(mean)
        self.history.learning_rate.append(self.rates[0] * rate)
        self.history.gradient_norm.append(norm)
        self.step += 1

    def _check_finite(self, loss: float, norm: float) -> None:
        """Stop before weights that are no numbers replace good ones, here and in the checkpoints."""
        # In fp16 an infinite gradient is daily business: its scaler leaves out the step and scales less.
        if math.isfinite(loss) and (math.isfinite(norm) or self.accelerator.scaler is not None):
            return
        what = f"gradient became {norm}" if math.isfinite(loss) else f"loss became {loss}"
        raise CourseError(
            f"The {what} at step {self.step + 1}; lower the learning rate (now {self.config.learning_rate:g})"
            " or train with precision='no'."
        )

    def _sum(self, value: float) -> float:
        """A number added up over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(tensor, reduction="sum"))

    def from_main(self, value: Any) -> Any:
        """The main process's value in all of them, so that they cannot decide differently."""
        values = [value]
        if self.world > 1:
            broadcast_object_list(values)
        return values[0]

    # -- between steps -----------------------------------------------------------------------------------------------

    def after_step(self) -> None:
        """Evaluate, stop and save where it is time to."""
        epoch_ends = self.step % self.epoch_steps == 0
        if self.evaluate and _due(self.step, self.config.evaluate_every, epoch_ends):
            self._evaluate(self.evaluate)
        if self.step >= self.steps and not self.history.stopped:
            self.history.stopped = "finished"
        if self.history.stopped and self.best:
            self.bare.load_state_dict(self.best, strict=False)
        if self.history.stopped or _due(self.step, self.config.save_every, epoch_ends):
            state.save(self)

    def _evaluate(self, evaluate: Evaluate) -> None:
        self.bare.eval()
        with torch.no_grad():
            figures = self.from_main({name: float(value) for name, value in evaluate(self.bare).items()})
        training_mode(self.bare)
        self.history.evaluations.append({"step": self.step, **figures})
        if not self.config.patience:
            return
        if self.config.monitor not in figures:
            raise CourseError(f"monitor={self.config.monitor!r} is not among the evaluated figures {sorted(figures)}.")
        score = figures[self.config.monitor] * (-1 if self.config.monitor == "loss" else 1)
        if score > self.best_score:
            self.best_score, self.worse = score, 0
            self.best = {name: value.detach().clone() for name, value in state.learned(self.bare).items()}
        else:
            self.worse += 1
            if self.worse >= self.config.patience:
                self.history.stopped = "no improvement"

    def bar(self) -> tqdm:
        """Progress with the loss and the time left; silent where nobody watches."""
        return tqdm(
            total=self.steps,
            initial=self.step,
            desc=self.config.title,
            unit="step",
            leave=False,
            file=_screen(),
            disable=not self._watched(),
        )

    def say(self, text: str) -> None:
        """One line beside the bar; silent where nobody watches."""
        if self._watched():
            print(f"{self.config.title}: {text}", file=_screen(), flush=True)

    def _watched(self) -> bool:
        show = self.config.progress
        if show is None:
            show = hardware.in_notebook() or sys.stderr.isatty()
        return show and self.accelerator.is_main_process

    def finish(self) -> None:
        """Leave the model in evaluation mode, without gradients and without anything that the accelerator put on it."""
        self.bare.eval()
        self.bare.zero_grad(set_to_none=True)
        # By hand, because unwrap_model peels off decorators that the forward had before, and leaves a mark that lets
        # the next run skip its preparation.
        for name in ADDED:
            vars(self.bare).pop(name, None)
        vars(self.bare).update(self.untouched)
        self.accelerator.free_memory()


def _screen() -> TextIO:
    """Where progress is shown: a notebook would show the stream of errors in red."""
    return sys.stdout if hardware.in_notebook() else sys.stderr


def _due(step: int, every: int, epoch_ends: bool) -> bool:
    return step % every == 0 if every else epoch_ends


def _accelerator(precision: str) -> Accelerator:
    """An accelerator in the wanted precision; its library keeps one per process and must be told to let go of it."""
    wanted = hardware.detect().precision if precision == "auto" else precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
        AcceleratorState._reset_state()
    with contextlib.suppress(ValueError):
        accelerator = Accelerator(mixed_precision=wanted)
        if wanted == "no" or accelerator.native_amp:  # it ignores fp16 on a processor without a word
            return accelerator
    AcceleratorState._reset_state()
    raise CourseError(f"This machine cannot train with precision={wanted!r}; choose 'auto' or 'no'.")


def _optimizer(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (0.9, config.beta2),
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True, **options)
    import bitsandbytes

    return bitsandbytes.optim.AdamW8bit(groups, **options)


def _seed(seed: int, rank: int) -> None:
    """Seed every library; processes differ so that their dropout does."""
    random.seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)
    torch.manual_seed(seed + rank)
