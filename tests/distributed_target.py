"""What `accelerate launch` starts twice in `test_distributed`: python distributed_target.py FOLDER {start,continue}."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import tiny_task
from course_lib import train
from tiny_task import Tiny, batches, config, items, noisy_loss

RANK = int(os.environ.get("RANK", 0))
CUT = 22  # the loss is asked for three times a step: this is in the middle of step 8, after the checkpoint of step 6


def exact_run(batch_size: int) -> tuple[train.History, Tiny]:
    """Without dropout, so that it does not matter who computes what: 49 texts, a third without a label.

    Two processes with ``batch_size`` 4, or one with 8: six batches of 8 and one of 1, two batches a step.
    """
    model = Tiny(dropout=0.0)
    data = batches(batch_size, items(49, ignored=3))
    return train.fit(model, data, tiny_task.loss, config(accumulate=2), evaluate=tiny_task.evaluate), model


def noisy_run(folder: Path | None, cut: bool) -> tuple[train.History, Tiny]:
    """With dropout and random numbers of every library; where it is cut, the second process dies and takes all down."""
    model, calls = Tiny(), 0

    def loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if cut and calls == CUT and RANK == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return noisy_loss(model, batch)

    # 53 texts in batches of 2 by 2 processes: 14 batches, three a step, as in `tiny_task.config`.
    history = train.fit(model, batches(2), loss, config(folder, patience=9), evaluate=tiny_task.evaluate)
    return history, model


def main() -> None:
    """Write what happened, each process its own file."""
    folder, part = Path(sys.argv[1]), sys.argv[2]
    (folder / f"pid-{part}-{RANK}").write_text(str(os.getpid()))

    def note(name: str, run: tuple[train.History, Tiny]) -> None:
        outcome = {**asdict(run[0]), "model": tiny_task.digest(run[1]), "processes": torch.distributed.get_world_size()}
        (folder / f"{name}-{RANK}.json").write_text(json.dumps(outcome))

    if part == "start":
        note("exact", exact_run(4))
        note("uninterrupted", noisy_run(None, cut=False))
        noisy_run(folder / "saves", cut=True)
    else:
        note("continued", noisy_run(folder / "saves", cut=False))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
