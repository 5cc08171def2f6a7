"""Before a run: what it will need, and a refusal where that is not there. After it: what it took.

Asked is the planner's guard (`course_lib.memory.guard`), about this very model, loss and the largest batch that can
come: as many of the longest records as a batch has. Runs too small to matter are not asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from course_lib import hardware
from course_lib.batching import Batches
from course_lib.errors import CourseError
from course_lib.memory.guard import Forecast, plan_fit, size, switched_off
from course_lib.memory.program import Program

if TYPE_CHECKING:
    from course_lib.train.loop import Run

# Below both, a run takes a few megabytes at most, and tracing it would take longer than its steps.
TRIFLE = 2**18  # bytes of weights
FEW = 2048  # positions in a batch


def check(run: Run) -> Forecast | None:
    """Say what a run will need; None where nobody asks. Raises CourseError, with advice, when it cannot fit."""
    if run.config.memory == "ignore" or switched_off() or _trifling(run):
        return None
    forecast = _ask(run) if run.accelerator.is_main_process else None
    refusal = None if forecast is None or forecast.fits else forecast.refusal()
    refusal = run.from_main(refusal)  # all processes must stop, not only the one that knows
    if refusal:
        raise CourseError(refusal)
    if forecast:
        run.say(forecast.line())
    return forecast


@contextmanager
def measured(run: Run) -> Iterator[None]:
    """Compare what a run took with its forecast, and put both into its history."""
    forecast = run.forecast
    if forecast is None:
        yield
        return
    before = torch.cuda.memory_allocated() if forecast.device == "cuda" else 0
    with hardware.Meter() as meter:
        yield
    taken = meter.peak_bytes - (before if forecast.device == "cuda" else meter.ram_start_bytes)
    run.history.measured_peak = max(0, taken)
    if not forecast.unknown:
        run.history.predicted_peak = forecast.added_bytes
    tensors = f"; its tensors at once, as predicted: {size(forecast.added_bytes)}" if not forecast.unknown else ""
    run.say(f"took {size(taken)} of memory{tensors}")


def largest(batches: Batches) -> dict[str, Tensor]:
    """The batch of the largest shape that any epoch can have: as many of the longest records as fit into one."""
    longest = np.argsort(np.asarray(batches.lengths), kind="stable")[-batches.batch_size :]
    return batches.fetch(longest.tolist())


def _ask(run: Run) -> Forecast | None:
    try:
        batch = largest(run.batches)
    except Exception:  # a batch that cannot be made stops the run itself, at its own time and in its own words
        return None
    program = Program(
        model=run.bare,
        batch=batch,
        loss=run.loss,
        learned=tuple(p for group in run.groups for p in group["params"]),
        precision=run.accelerator.mixed_precision,
        device=run.accelerator.device.type,
        accumulate=run.config.accumulate,
        processes=run.world,
        keeps_best=run.config.patience > 0,
        optimizer=run.config.optimizer,
    )
    return plan_fit(program)


def _trifling(run: Run) -> bool:
    weights = sum(p.numel() * p.element_size() for p in run.bare.parameters())
    return weights < TRIFLE and run.batches.batch_size * max(run.batches.lengths) <= FEW
