"""What a checkpoint of a run holds: everything that the next step depends on, and the settings it belongs to."""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from course_lib import checkpoint
from course_lib.checkpoint import Checkpoint
from course_lib.errors import CourseError
from course_lib.train.settings import History

if TYPE_CHECKING:
    from course_lib.train.loop import Run

FREE = ("save_to", "save_every", "keep", "title", "progress", "memory")  # settings that may change when a run continues


def save(run: Run) -> None:
    """Write a checkpoint; a full disk costs this checkpoint and a warning, not the run."""
    folder = run.config.save_to
    if folder is None:
        return
    states = [checkpoint.random_state()]
    if run.world > 1:
        states = gather_object(states)
    if run.accelerator.is_main_process:
        try:
            checkpoint.save(folder, run.step, _tensors(run, states), _meta(run, states), run.config.keep)
        except OSError as error:
            warnings.warn(
                f"Step {run.step} could not be saved in {folder} ({error.strerror or error});"
                " training goes on, and the checkpoints before it are intact.",
                stacklevel=2,
            )
    run.accelerator.wait_for_everyone()


def find(run: Run) -> Checkpoint | None:
    """The newest valid checkpoint in the run's folder, if there is one."""
    folder = run.config.save_to
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(f"Checkpoints cannot be saved in {folder} ({reason}); choose another folder.") from error
    found: Checkpoint | None = run.from_main(checkpoint.latest(folder) if run.accelerator.is_main_process else None)
    return found


def resume(run: Run, found: Checkpoint) -> None:
    """Continue from a checkpoint."""
    meta, tensors = found.meta(), found.tensors()
    _check(fingerprint(run), meta["fingerprint"], found.path)
    run.bare.load_state_dict(_below("model/", tensors), strict=False)
    run.best = _below("best/", tensors)
    run.best_score = -math.inf if meta["best_score"] is None else meta["best_score"]
    run.worse = meta["worse"]
    _restore_optimizer(run, _below("optimizer/", tensors))
    rank = run.accelerator.process_index
    checkpoint.set_random_state({"python": meta["random"][rank], "tensors": _below(f"random/{rank}/", tensors)})
    if meta["scaler"] and run.accelerator.scaler:
        run.accelerator.scaler.load_state_dict(meta["scaler"])
    run.step = found.step
    run.history = History(**{**meta["history"], "resumed_at": found.step, "predicted_peak": 0, "measured_peak": 0})


def fingerprint(run: Run) -> dict[str, Any]:
    """What must be equal for a checkpoint to continue this run."""
    batches = run.batches
    return {
        **{name: value for name, value in asdict(run.config).items() if name not in FREE},
        "precision": run.accelerator.mixed_precision,
        "processes": run.world,
        "records": len(batches.items),
        "batch_size": batches.batch_size,
        "data_seed": batches.seed,
        "shuffle": batches.shuffle,
        "bucket": batches.bucket,
        "rates": run.rates,
        "groups": [len(group["params"]) for group in run.optimizer.param_groups],
        "data": zlib.crc32(np.asarray(batches.lengths, dtype=np.int64).tobytes()),
        "trainable weights": {n: list(p.shape) for n, p in run.bare.named_parameters() if p.requires_grad},
        "frozen weights": _frozen(run.bare),
    }


def learned(model: nn.Module) -> dict[str, Tensor]:
    """What training may change: parameters that require gradients, and buffers."""
    parameters: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    persistent = model.state_dict().keys()
    return parameters | {name: buffer for name, buffer in model.named_buffers() if name in persistent}


def _frozen(model: nn.Module) -> int:
    """A checksum over the first values of each frozen weight: they are not in the checkpoint, and it fits no others."""
    total = 0
    for p in model.parameters():
        if not p.requires_grad:
            total = zlib.crc32(p.detach().flatten()[:64].cpu().float().numpy().tobytes(), total)
    return total


def _tensors(run: Run, states: list[dict[str, Any]]) -> dict[str, Tensor]:
    tensors = {f"model/{name}": value for name, value in learned(run.bare).items()}
    tensors |= {f"best/{name}": value for name, value in run.best.items()}
    for index, entry in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in _flat(entry)}
    for rank, state in enumerate(states):
        tensors |= {f"random/{rank}/{name}": value for name, value in state["tensors"].items()}
    return tensors


def _meta(run: Run, states: list[dict[str, Any]]) -> dict[str, Any]:
    scaler = run.accelerator.scaler
    return {
        "fingerprint": fingerprint(run),
        "history": asdict(run.history),
        "best_score": run.best_score if run.best else None,
        "worse": run.worse,
        "random": [state["python"] for state in states],
        "scaler": scaler.state_dict() if scaler else None,
    }


def _check(mine: dict[str, Any], saved: dict[str, Any], path: Path) -> None:
    """Raise CourseError naming the first setting in which the run of a checkpoint was another one."""
    for name, value in json.loads(json.dumps(mine)).items():
        if saved.get(name) != value:
            plain = isinstance(value, (str, int, float)) and name not in ("data", "frozen weights")
            detail = f"was {saved.get(name)} and is {value} now" if plain else "differ"
            raise CourseError(
                f"The checkpoint {path} belongs to another run: its {name} {detail}; choose another folder"
                " or delete this one."
            )


def _flat(entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The state of one weight by name; bitsandbytes keeps what it quantized in a dictionary of its own."""
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            # What 8 bits stand for is one table for all weights, and a file takes no tensor twice.
            yield name, value.clone() if name.startswith("qmap") else value


def _restore_optimizer(run: Run, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        # torch counts steps in a tensor of floats, bitsandbytes in a plain whole number.
        whole = name == "step" and not value.is_floating_point()
        state.setdefault(int(index), {})[name] = int(value) if whole else value
    run.optimizer.load_state_dict({"state": state, "param_groups": run.optimizer.state_dict()["param_groups"]})


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
