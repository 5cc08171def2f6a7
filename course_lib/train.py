"""The one training loop of the course.

A step takes ``accumulate`` batches, adds up their losses, divides by the number of labels in all of them (on all
processes), clips the gradient and lets AdamW move the weights. Dividing by labels rather than averaging the batches'
means is what makes accumulation, several processes and uneven batches give the same gradient as one large batch. The
learning rate rises linearly over W warm-up steps and falls along a cosine, a function of the step t = 0 ... T-1 alone:

    lr(t) = lr * (t + 1) / W                                    while t < W
    lr(t) = lr * (1 + cos(pi * (t - W) / (T - W))) / 2          afterwards

Everything that the next step depends on (trainable weights, optimizer, random states of every library and process,
position in the data) is in the checkpoint, so a run that is killed anywhere continues to the same bits. What is
frozen runs in evaluation mode: dropout in a part that cannot learn would only be noise.

Left out: schedules other than the cosine, optimizers other than AdamW.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import random
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object, send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from course_lib import checkpoint, hardware
from course_lib.batching import Batches, label_count
from course_lib.errors import CourseError

ADDED = ("forward", "_original_forward", "_is_accelerate_prepared")  # what Accelerate may set on a model

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]
Evaluate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Rates are per step, counts are of optimizer steps unless they say otherwise."""

    epochs: int = 3
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    clip: float = 1.0  # largest norm of the gradient
    accumulate: int = 1  # batches per step
    precision: str = "auto"  # "no", "fp16", "bf16", or what suits the hardware
    seed: int = 0
    evaluate_every: int = 0  # 0: after each epoch
    patience: int = 0  # evaluations without improvement before stopping; 0: never
    monitor: str = "loss"  # the evaluated figure that patience watches; lower is better only for "loss"
    save_to: Path | None = None  # folder of checkpoints; None: no checkpoints
    save_every: int = 0  # 0: after each epoch
    keep: int = 2
    title: str = "training"
    progress: bool | None = None  # None: where a person is watching

    def __post_init__(self) -> None:
        least = {"epochs": 1, "accumulate": 1, "keep": 1, "patience": 0, "save_every": 0, "evaluate_every": 0}
        for name, bound in {**least, "weight_decay": 0}.items():
            if not getattr(self, name) >= bound:
                raise CourseError(f"{name} must be at least {bound}, not {getattr(self, name)}.")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise CourseError(f"{name} must be above 0, not {getattr(self, name)}.")
        if not 0 <= self.warmup <= 1:
            raise CourseError(f"warmup is a share of all steps, between 0 and 1, not {self.warmup}.")
        if self.precision not in ("auto", "no", "fp16", "bf16"):
            raise CourseError(f"precision must be auto, no, fp16 or bf16, not {self.precision!r}.")
        if self.save_to is not None:
            object.__setattr__(self, "save_to", Path(self.save_to))  # a notebook passes a string

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate at a step, between 0 and 1."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return (step + 1) / warm
        return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


@dataclass
class History:
    """What happened: one entry per optimizer step, and the evaluations with the step they followed."""

    loss: list[float] = field(default_factory=list)  # mean per label
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    stopped: str = ""  # "finished" or "no improvement"
    resumed_at: int = 0  # the step at which this process took over; 0: it began


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

    Raises CourseError when the loss is no longer a number, when nothing is trainable, when ``config.save_to`` cannot
    be written to, or when the checkpoints found there belong to a different run.
    """
    run = _Run(model, batches, loss, config, evaluate)
    try:
        run.prepare(groups)
        run.resume()
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


class _Run:
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
        self.best: dict[str, Tensor] = {}
        self.best_score, self.worse = -math.inf, 0

    def prepare(self, groups: list[dict[str, Any]] | None) -> None:
        """Put the model on its device, in training mode, and make the optimizer."""
        _seed(self.config.seed, self.accelerator.process_index)
        groups = groups or [{"params": [p for p in self.bare.parameters() if p.requires_grad]}]
        config = self.config
        optimizer = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay, fused=True)
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.learning = [p for group in optimizer.param_groups for p in group["params"]]
        self.bare.zero_grad(set_to_none=True)  # an interrupted step may have left gradients behind
        self.model, self.optimizer = self.accelerator.prepare(self.bare, optimizer)
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
        self.optimizer.step()
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

    def _from_main(self, value: Any) -> Any:
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
            self.save()

    def _evaluate(self, evaluate: Evaluate) -> None:
        self.bare.eval()
        with torch.no_grad():
            figures = self._from_main({name: float(value) for name, value in evaluate(self.bare).items()})
        training_mode(self.bare)
        self.history.evaluations.append({"step": self.step, **figures})
        if not self.config.patience:
            return
        if self.config.monitor not in figures:
            raise CourseError(f"monitor={self.config.monitor!r} is not among the evaluated figures {sorted(figures)}.")
        score = figures[self.config.monitor] * (-1 if self.config.monitor == "loss" else 1)
        if score > self.best_score:
            self.best_score, self.worse = score, 0
            self.best = {name: value.detach().clone() for name, value in _learned(self.bare).items()}
        else:
            self.worse += 1
            if self.worse >= self.config.patience:
                self.history.stopped = "no improvement"

    def bar(self) -> tqdm:
        """Progress with the loss and the time left; silent where nobody watches."""
        notebook = "ipykernel" in sys.modules
        show = self.config.progress
        if show is None:
            show = notebook or sys.stderr.isatty()
        return tqdm(
            total=self.steps,
            initial=self.step,
            desc=self.config.title,
            unit="step",
            leave=False,
            file=sys.stdout if notebook else sys.stderr,
            disable=not (show and self.accelerator.is_main_process),
        )

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

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to continue this run."""
        settings = {
            name: value
            for name, value in asdict(self.config).items()
            if name not in ("save_to", "save_every", "keep", "title", "progress")
        }
        return {
            **settings,
            "precision": self.accelerator.mixed_precision,
            "processes": self.world,
            "records": len(self.batches.items),
            "batch_size": self.batches.batch_size,
            "data_seed": self.batches.seed,
            "rates": self.rates,
            "data": zlib.crc32(np.asarray(self.batches.lengths, dtype=np.int64).tobytes()),
            "trainable weights": {n: list(p.shape) for n, p in self.bare.named_parameters() if p.requires_grad},
            "frozen weights": self._frozen,
        }

    @cached_property
    def _frozen(self) -> int:
        """A checksum over the first values of each frozen weight: a checkpoint without them fits no other ones."""
        total = 0
        for p in self.bare.parameters():
            if not p.requires_grad:
                total = zlib.crc32(p.detach().flatten()[:64].cpu().float().numpy().tobytes(), total)
        return total

    def save(self) -> None:
        """Write a checkpoint; a full disk costs this checkpoint and a warning, not the run."""
        if self.config.save_to is None:
            return
        states = [checkpoint.random_state()]
        if self.world > 1:
            states = gather_object(states)
        if self.accelerator.is_main_process:
            tensors, meta = self._state(states)
            try:
                checkpoint.save(self.config.save_to, self.step, tensors, meta, self.config.keep)
            except OSError as error:
                warnings.warn(
                    f"Step {self.step} could not be saved in {self.config.save_to} ({error.strerror or error});"
                    " training goes on, and the checkpoints before it are intact.",
                    stacklevel=2,
                )
        self.accelerator.wait_for_everyone()

    def _state(self, states: list[dict[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model/{name}": value for name, value in _learned(self.bare).items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in entry.items()}
        for rank, state in enumerate(states):
            tensors |= {f"random/{rank}/{name}": value for name, value in state["tensors"].items()}
        scaler = getattr(self.accelerator, "scaler", None)
        meta = {
            "fingerprint": self.fingerprint(),
            "history": dataclasses.asdict(self.history),
            "best_score": self.best_score if self.best else None,
            "worse": self.worse,
            "random": [state["python"] for state in states],
            "scaler": scaler.state_dict() if scaler else None,
        }
        return tensors, meta

    def resume(self) -> None:
        """Continue from the newest valid checkpoint, if there is one."""
        if self.config.save_to is None:
            return
        try:
            self.config.save_to.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CourseError(
                f"Checkpoints cannot be saved in {self.config.save_to} ({error.strerror}); choose another folder."
            ) from error
        main = self.accelerator.is_main_process
        found = self._from_main(checkpoint.latest(self.config.save_to) if main else None)
        if found is None:
            return
        meta, tensors = found.meta(), found.tensors()
        self._check_fingerprint(meta["fingerprint"], found.path)
        self.bare.load_state_dict(_below("model/", tensors), strict=False)
        self.best = _below("best/", tensors)
        self.best_score = -math.inf if meta["best_score"] is None else meta["best_score"]
        self.worse = meta["worse"]
        self._restore_optimizer(_below("optimizer/", tensors))
        rank = self.accelerator.process_index
        checkpoint.set_random_state({"python": meta["random"][rank], "tensors": _below(f"random/{rank}/", tensors)})
        if meta["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(meta["scaler"])
        self.step = found.step
        self.history = History(**{**meta["history"], "resumed_at": found.step})

    def _check_fingerprint(self, saved: dict[str, Any], path: Path) -> None:
        mine = json.loads(json.dumps(self.fingerprint()))
        for name, value in mine.items():
            if saved.get(name) != value:
                plain = isinstance(value, (str, int, float)) and name not in ("data", "frozen weights")
                detail = f"was {saved.get(name)} and is {value} now" if plain else "differ"
                raise CourseError(
                    f"The checkpoint {path} belongs to another run: its {name} {detail}; choose another folder"
                    " or delete this one."
                )

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, name = key.split("/", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def _due(step: int, every: int, epoch_ends: bool) -> bool:
    return step % every == 0 if every else epoch_ends


def _accelerator(precision: str) -> Accelerator:
    """An accelerator in the wanted precision; its library keeps one per process and must be told to let go of it."""
    wanted = hardware.detect().precision if precision == "auto" else precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
        AcceleratorState._reset_state()
    try:
        return Accelerator(mixed_precision=wanted)
    except ValueError as error:
        AcceleratorState._reset_state()
        raise CourseError(
            f"This machine cannot train with precision={wanted!r} ({error}); choose 'auto' or 'no'."
        ) from error


def _learned(model: nn.Module) -> dict[str, Tensor]:
    """What training may change: parameters that require gradients, and buffers."""
    learned: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    persistent = model.state_dict().keys()
    return learned | {name: buffer for name, buffer in model.named_buffers() if name in persistent}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _seed(seed: int, rank: int) -> None:
    """Seed every library; processes differ so that their dropout does."""
    random.seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)
    torch.manual_seed(seed + rank)
