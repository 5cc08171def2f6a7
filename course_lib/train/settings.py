"""How to train, and what happened."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.errors import CourseError


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Rates are per step, counts are of optimizer steps unless they say otherwise."""

    epochs: int = 3
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    beta2: float = 0.999  # how long AdamW remembers the size of gradients; 0.95 is usual for training from scratch
    warmup: float = 0.1  # share of all steps
    clip: float = 1.0  # largest norm of the gradient
    accumulate: int = 1  # batches per step
    precision: str = "auto"  # "no", "fp16", "bf16", or what suits the hardware
    optimizer: str = "adamw"  # or "adamw-8bit": its two moments in 8 bits (Dettmers et al. 2022), by bitsandbytes
    seed: int = 0
    evaluate_every: int = 0  # 0: after each epoch
    patience: int = 0  # evaluations without improvement before stopping; 0: never
    monitor: str = "loss"  # the evaluated figure that patience watches; lower is better only for "loss"
    save_to: Path | None = None  # folder of checkpoints; None: no checkpoints
    save_every: int = 0  # 0: after each epoch
    keep: int = 2
    title: str = "training"
    progress: bool | None = None  # None: where a person is watching
    memory: str = "check"  # "check": refuse what cannot fit into memory; "ignore": do not ask

    def __post_init__(self) -> None:
        least = {"epochs": 1, "accumulate": 1, "keep": 1, "patience": 0, "save_every": 0, "evaluate_every": 0}
        for name, bound in {**least, "weight_decay": 0}.items():
            if not getattr(self, name) >= bound:
                raise CourseError(f"{name} must be at least {bound}, not {getattr(self, name)}.")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise CourseError(f"{name} must be above 0, not {getattr(self, name)}.")
        if not 0 <= self.beta2 < 1:
            raise CourseError(f"beta2 must be at least 0 and below 1, not {self.beta2}.")
        if not 0 <= self.warmup <= 1:
            raise CourseError(f"warmup is a share of all steps, between 0 and 1, not {self.warmup}.")
        if self.precision not in ("auto", "no", "fp16", "bf16"):
            raise CourseError(f"precision must be auto, no, fp16 or bf16, not {self.precision!r}.")
        if self.optimizer not in ("adamw", "adamw-8bit"):
            raise CourseError(f"optimizer must be adamw or adamw-8bit, not {self.optimizer!r}.")
        if self.memory not in ("check", "ignore"):
            raise CourseError(f"memory must be check or ignore, not {self.memory!r}.")
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
    """What happened: one entry per optimizer step, and the evaluations with the step they followed.

    The two peaks are bytes that this process's part of the run added to what was there when it began; 0 where nobody
    asked. ``predicted_peak``: the tensors of a step with the largest batch, alive at once. ``measured_peak``: on CUDA
    the same, as torch counted it; on a processor the growth of the process's resident memory, which has more in it:
    what the C library's allocator keeps between tensors (up to as much again), evaluations, checkpoints, code that
    is loaded at its first use.
    """

    loss: list[float] = field(default_factory=list)  # mean per label
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    stopped: str = ""  # "finished" or "no improvement"
    resumed_at: int = 0  # the step at which this process took over; 0: it began
    predicted_peak: int = field(default=0, compare=False)  # two runs that are equal need not have equal processes
    measured_peak: int = field(default=0, compare=False)
