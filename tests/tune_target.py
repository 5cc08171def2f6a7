"""A process that tunes, says where it is, and waits there to be killed: `kill_target` for a whole ``course finetune``.

    python tune_target.py - BASE    orders from standard input, each carried out in a forked child
    python tune_target.py ORDER     one order itself

An order is one of `kill_target`, with ``base`` (folder of a model), ``data`` (file) and ``settings`` (of a `Tuning`).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import kill_target
from course_lib.instruct import card, finetune
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.finetune import Job
from course_lib.instruct.models import Learner
from course_lib.instruct.settings import Tuning
from course_lib.train.loop import Run
from kill_target import Places, say

# Besides those of a checkpoint: each with how often it is passed in a run.
PLACES = {
    "run.json half written": 1,
    "while answers are written": 2,
    "before.json half written": 1,
    "before.json in place": 1,
    "inside a step": 6,
    "after a step": 6,
    "weights half written": 1,
    "card": 1,
    "before the model is in place": 1,
    "model in place": 1,
    "report.json half written": 1,
    "report.json in place": 1,
}


def after(owner: Any, name: str, reach: Callable[[], object]) -> None:
    """Have ``reach`` called each time that a function has done its work."""
    work = getattr(owner, name)

    def watched(*given: Any, **options: Any) -> Any:
        result = work(*given, **options)
        reach()
        return result

    setattr(owner, name, watched)


def watch(places: Places) -> None:
    """Make a run pass through ``places``; what it does stays the same."""
    kill_target.watch_saving(places)
    replace, save, take = os.replace, Learner.save, Run.take

    def watched_replace(source: Path, target: Path) -> None:
        path, name = Path(source), Path(target).name
        if path.is_dir():
            places.reach("before the model is in place")
        else:
            places.reach(f"{name} half written", lambda: os.truncate(path, path.stat().st_size // 2))
        replace(source, target)
        places.reach(f"{name} in place")

    def watched_save(learner: Learner, folder: Path) -> None:
        save(learner, folder)
        weights = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        places.reach("weights half written", lambda: os.truncate(weights, weights.stat().st_size // 2))

    def watched_take(run: Run, step: list[list[int]]) -> None:
        places.reach("inside a step")
        take(run, step)
        places.reach("after a step")

    os.replace, Learner.save, Run.take = watched_replace, watched_save, watched_take  # type: ignore[method-assign]
    after(Assistant, "answer", lambda: places.reach("while answers are written"))
    after(card, "text", lambda: places.reach("card"))


def tune_once(order: dict[str, Any]) -> None:
    """Tune as ordered, to the end or until killed; then write down what came out."""
    signal.alarm(300)  # should the parent be gone, nobody else would end it
    say(f"pid {os.getpid()}")
    watch(Places(order.get("stop"), order.get("slow", 0.0)))
    say("begin")
    settings = {"epochs": 3, "batch_size": 4, "rank": 64, "dropout": 0.1, "learning_rate": 3e-3, **order["settings"]}
    job = Job(
        order["data"], order["base"], Path(order["folder"]), Tuning(**settings), items=2, save_every=1, test_share=0.2
    )
    done = finetune.finetune(job, resume=True)
    weights = next(done.folder.glob("*.safetensors"))
    same = ("loss", "held_out", "before", "after", "fingerprint", "tokens", "parameters")
    outcome = {name: done.report[name] for name in same}
    outcome |= {
        "resumed_at": done.report["resumed_at"],
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "files": sorted(path.name for path in done.folder.iterdir()),
        "left": sorted(path.name for path in done.folder.parent.iterdir()),
    }
    Path(order["result"]).write_text(json.dumps(outcome), encoding="utf-8")


def warm(base: str) -> None:
    """Import what tuning imports at its first use, so that no child needs to."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401

    from course_lib.instruct import models

    models.load(base, Tuning())
    models.load(base, Tuning(method="qlora"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        warm(sys.argv[2])
        kill_target.serve(tune_once)
    else:
        tune_once(json.loads(sys.argv[1]))
        say("ended")
