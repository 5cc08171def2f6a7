"""A process that trains, says where it is, and waits there to be killed.

    python kill_target.py           imports torch once, then reads orders from standard input, one JSON object a line,
                                    and carries out each in a forked child: an attempt costs a fraction of a second
    python kill_target.py ORDER     carries out one order itself

An order: ``folder`` (checkpoints), ``result`` (file for the outcome), ``log`` (file with the records that each step
saw), ``stop`` (a place, and at the how-manieth passage of it the process stops for good), ``slow`` (seconds to sleep at
each place). Lines on standard output: ``pid N``, ``begin``, ``save N`` and ``saved`` around each save, ``at PLACE``
where it stopped, ``ended``.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import tiny_task
from course_lib import checkpoint, train
from course_lib.train.loop import Run

PLACES = (
    "temporary folder made",
    "tensors half written",
    "tensors written",
    "meta half written",
    "meta written",
    "manifest half written",
    "before the rename",
    "after the rename",
    "before pruning",
    "an old checkpoint half removed",
    "after pruning",
)


def say(line: str) -> None:
    """One line to the parent in one write, so that lines of two processes do not mix."""
    os.write(1, f"{line}\n".encode())


class Places:
    """Counts how often each place was passed; stops at the wanted one, where ``left`` leaves something half done."""

    def __init__(self, stop: tuple[str, int] | None, slow: float) -> None:
        self.stop, self.slow, self.passed = stop, slow, Counter[str]()

    def reach(self, place: str, left: Callable[[], object] = lambda: None) -> None:
        self.passed[place] += 1
        if self.slow:
            time.sleep(self.slow)
        if self.stop and (place, self.passed[place]) == tuple(self.stop):
            left()
            say(f"at {place}")
            while True:
                signal.pause()


def watch_saving(places: Places) -> None:
    """Make `checkpoint` pass through ``places``; what it does stays the same."""
    write_tensors, write_text, prune, rename = (
        checkpoint._write_tensors,
        checkpoint._write_text,
        checkpoint.prune,
        pathlib.Path.rename,
    )
    remove, save = shutil.rmtree, checkpoint.save

    def halve(path: Path) -> Callable[[], object]:
        return lambda: os.truncate(path, path.stat().st_size // 2)

    def watched_tensors(path: Path, tensors: Any) -> None:
        places.reach("temporary folder made")
        write_tensors(path, tensors)
        places.reach("tensors half written", halve(path))
        places.reach("tensors written")

    def watched_text(path: Path, text: str) -> None:
        write_text(path, text)
        places.reach(f"{path.stem} half written", halve(path))
        places.reach("meta written" if path.name == checkpoint.META else "before the rename")

    def watched_rename(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if path.name.startswith(checkpoint.TEMPORARY):
            places.reach("after the rename")
        return renamed

    def watched_prune(folder: Path, keep: int, saved: int) -> None:
        places.reach("before pruning")
        prune(folder, keep, saved)
        places.reach("after pruning")

    def watched_remove(path: Path, **settings: Any) -> None:
        if path.name.startswith(checkpoint.PREFIX):
            places.reach("an old checkpoint half removed", (path / checkpoint.TENSORS).unlink)
        remove(path, **settings)

    def watched_save(folder: Path, step: int, *rest: Any) -> checkpoint.Checkpoint:
        say(f"save {step}")
        saved = save(folder, step, *rest)
        say("saved")
        return saved

    checkpoint._write_tensors, checkpoint._write_text, checkpoint.prune = watched_tensors, watched_text, watched_prune
    pathlib.Path.rename, shutil.rmtree, checkpoint.save = watched_rename, watched_remove, watched_save


def watch_steps(places: Places, log: str | None) -> Callable[[torch.nn.Module, dict[str, torch.Tensor]], torch.Tensor]:
    """A loss that notes the records it sees; each finished step appends their numbers to ``log``."""
    seen: list[int] = []
    take = Run.take

    def loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.extend(batch["number"].tolist())
        places.reach("inside a step")
        return tiny_task.noisy_loss(model, batch)

    def watched_take(self: Run, step: list[list[int]]) -> None:
        take(self, step)
        if log:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, "numbers": seen}) + "\n")
        seen.clear()
        places.reach("after a step")

    Run.take = watched_take
    return loss


def train_once(order: dict[str, Any]) -> None:
    """Train as ordered, to the end or until killed."""
    signal.alarm(300)  # should the parent be gone, nobody else would end it
    say(f"pid {os.getpid()}")
    places = Places(order.get("stop"), order.get("slow", 0.0))
    watch_saving(places)
    loss = watch_steps(places, order.get("log"))
    say("begin")
    model = tiny_task.Tiny()
    config = tiny_task.config(Path(order["folder"]), patience=9)
    history = train.fit(model, tiny_task.batches(), loss, config, evaluate=tiny_task.evaluate)
    outcome = {**asdict(history), "model": tiny_task.digest(model), "random": tiny_task.random_digest()}
    Path(order["result"]).write_text(json.dumps(outcome), encoding="utf-8")


def serve(carry_out: Callable[[dict[str, Any]], None]) -> None:
    """Carry out orders in forked children until standard input ends."""
    import torch._dynamo  # noqa: F401  (what training imports at first use, so that no child needs to)

    gc.collect()
    gc.freeze()  # nor to look for garbage here
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                carry_out(json.loads(line))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.waitpid(child, 0)
        say("ended")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        train_once(json.loads(sys.argv[1]))
        say("ended")
    else:
        serve(train_once)
