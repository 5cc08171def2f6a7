"""Killing a run, again and again: whatever moment it is, the next process continues to the same bits.

Every kill here is SIGKILL to a process that trains with dropout, gradient accumulation, random numbers from three
libraries, evaluations and patience, and saves every second step, so that most saves fall into the middle of an epoch.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kill_target
import tiny_task
from course_lib import checkpoint

HERE = Path(__file__).parent
RECORDS, EPOCHS, STEPS, EVERY = 53, 3, 15, 2
SEED = 20240607


def environment() -> dict[str, str]:
    """One thread per library: a fork must not meet half a pool of threads."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(HERE.parent), str(HERE)]))
    return {**os.environ, **threads, "PYTHONPATH": path}


class Trainer:
    """The server of `kill_target`, and what is to be known about the children it forks."""

    def __init__(self, program: str = "kill_target.py", *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def run(self, kill: Callable[[str], bool] = lambda line: False, **order: Any) -> list[str]:
        """Have one order carried out, its process killed once ``kill`` says so of a line; all its lines."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in order.items()}) + "\n")
        self.process.stdin.flush()
        lines: list[str] = []
        while not lines or lines[-1] not in ("ended", ""):
            lines.append(self.line())
            if kill(lines[-1]):
                # The server waits for its children, so this one may have ended and be gone by now.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(next(int(line.split()[1]) for line in lines if line.startswith("pid ")), signal.SIGKILL)
        assert lines[-1] == "ended", "the server of the trainings died"
        return lines

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.close()


@pytest.fixture(scope="module")
def uninterrupted(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of the run that nobody kills."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    trainer.run(folder=folder / "saves", result=folder / "result")
    outcome = json.loads((folder / "result").read_text())
    assert len(outcome["loss"]) == STEPS
    assert outcome.pop("resumed_at") == 0
    return outcome


def at_place(line: str) -> bool:
    return line.startswith("at ")


def inside_a_save(lines: list[str]) -> bool:
    """Whether the process died between entering a save and leaving it."""
    marks = [line.split()[0] for line in lines if line.split()[0] in ("save", "saved")]
    return bool(marks) and marks[-1] == "save"


def continues_to_the_same_bits(trainer: Trainer, folder: Path, expected: dict[str, Any]) -> int:
    """Run on after a kill, compare everything, and return the step at which the run was taken up again."""
    trainer.run(folder=folder / "saves", result=folder / "result")
    outcome = json.loads((folder / "result").read_text())
    resumed_at = outcome.pop("resumed_at")
    assert outcome == expected
    names = sorted(path.name for path in (folder / "saves").iterdir())
    if resumed_at < STEPS:  # otherwise it was killed between the very last save and the clearing up after it
        assert names == ["step-00000014", "step-00000015"]
    assert names[-2:] == ["step-00000014", "step-00000015"]
    return resumed_at


def newest_step(lines: list[str], place: str) -> int:
    """The step of the newest complete checkpoint after a kill at this place of the save that was going on."""
    saves = [int(line.split()[1]) for line in lines if line.startswith("save ")]
    complete = kill_target.PLACES.index(place) >= kill_target.PLACES.index("after the rename")
    return saves[-1] if complete else ([0, *saves])[-2]


def test_a_run_killed_at_any_point_of_a_save_continues_to_the_same_bits(
    trainer: Trainer, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    kills, resumed = 0, []
    for place in kill_target.PLACES:
        # An old checkpoint is removed from the third save on, and there are eight saves.
        occasions = draw.sample(range(1, 7), 2) if "removed" in place else draw.sample(range(1, 9), 2)
        for occasion in occasions:
            folder = tmp_path / f"{place} {occasion}".replace(" ", "-")
            folder.mkdir()
            lines = trainer.run(at_place, folder=folder / "saves", result=folder / "result", stop=[place, occasion])
            assert f"at {place}" in lines, "the process was not stopped inside the save"
            assert inside_a_save(lines)
            assert not (folder / "result").exists()
            kills += 1
            newest = checkpoint.latest(folder / "saves")
            assert (newest.step if newest else 0) == newest_step(lines, place), f"{place}, save {occasion}"
            resumed.append(continues_to_the_same_bits(trainer, folder, uninterrupted))
            assert resumed[-1] == newest_step(lines, place)
    middle = sum(step % (STEPS // EPOCHS) != 0 for step in resumed)
    print(f"{kills} kills inside a save (seed {SEED}), {middle} of them resumed in the middle of an epoch: {resumed}")
    assert kills >= 20
    assert middle >= 10


def test_a_run_killed_at_random_moments_continues_to_the_same_bits(
    trainer: Trainer, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    slow = 0.002  # so that a moment can fall anywhere, between any two operations of a save too
    began, ended = 0.0, 0.0

    def clock(line: str) -> bool:
        nonlocal began, ended
        began = time.monotonic() if line == "begin" else began
        ended = time.monotonic()
        return False

    trainer.run(clock, folder=tmp_path / "clock", result=tmp_path / "clock-result", slow=slow)
    duration = ended - began
    kills, in_saves, resumed = 0, 0, []
    while kills < 14:
        folder = tmp_path / f"kill-{kills}"
        moment = draw.uniform(0, duration)
        folder.mkdir(exist_ok=True)

        def later(line: str, moment: float = moment) -> bool:
            if line == "begin":
                time.sleep(moment)
            return line == "begin"

        lines = trainer.run(later, folder=folder / "saves", result=folder / "result", slow=slow)
        if (folder / "result").exists():  # this time it was faster than the kill: no kill, draw again
            (folder / "result").unlink()
            for path in (folder / "saves").iterdir():
                shutil.rmtree(path)
            continue
        kills += 1
        in_saves += inside_a_save(lines)
        resumed.append(continues_to_the_same_bits(trainer, folder, uninterrupted))
    assert len(resumed) == kills == 14
    assert all(0 <= step <= STEPS for step in resumed)
    print(f"{kills} kills at random moments (seed {SEED}), {in_saves} inside a save; resumed at steps {resumed}")


def test_every_record_is_seen_once_per_epoch_in_spite_of_five_kills(
    trainer: Trainer, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    order = {"folder": tmp_path / "saves", "result": tmp_path / "result", "log": tmp_path / "log"}
    cuts = [
        ("inside a step", 5),
        ("after a step", 3),
        ("meta half written", 1),
        ("inside a step", 10),
        ("after pruning", 2),
    ]
    for cut in cuts:
        assert f"at {cut[0]}" in trainer.run(at_place, **order, stop=cut)
    trainer.run(**order)
    outcome = json.loads((tmp_path / "result").read_text())
    assert outcome.pop("resumed_at") > 0
    assert outcome == uninterrupted

    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(entries) > STEPS, "some steps must have been taken twice, or the cuts cut nothing"
    surviving = {entry["step"]: entry["numbers"] for entry in entries}  # a step taken again replaces the lost one
    assert sorted(surviving) == list(range(1, STEPS + 1))
    for entry in entries:
        assert entry["numbers"] == surviving[entry["step"]], "a step taken again saw other records"
    per_epoch = STEPS // EPOCHS
    orders = []
    for epoch in range(EPOCHS):
        orders.append([k for step in range(1, per_epoch + 1) for k in surviving[epoch * per_epoch + step]])
        assert Counter(orders[-1]) == Counter(range(RECORDS)), f"epoch {epoch}"
    assert orders[0] != orders[1] != orders[2] != orders[0], "each epoch has an order of its own"


def test_a_process_of_its_own_continues_to_the_same_bits(uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    """Forked children share addresses and caches with the uninterrupted run; this one shares nothing."""
    order = {"folder": str(tmp_path / "saves"), "result": str(tmp_path / "result"), "stop": ["inside a step", 23]}
    command = [sys.executable, str(HERE / "kill_target.py")]
    with subprocess.Popen(
        [*command, json.dumps(order)], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout
        assert any(at_place(line) for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    subprocess.run(
        [*command, json.dumps({**order, "stop": None})], check=True, stdout=subprocess.PIPE, env=environment()
    )
    outcome = json.loads((tmp_path / "result").read_text())
    assert outcome.pop("resumed_at") == 6
    assert outcome == uninterrupted


def test_the_task_has_a_last_batch_and_a_last_step_that_are_not_full() -> None:
    """Otherwise the tests above would prove less than they say."""
    sizes = [len(batch) for batch in tiny_task.batches().epoch(0)]
    assert sorted(set(sizes)) == [1, 4]
    assert len(sizes) == 14
    assert sum(sizes) == RECORDS
    assert len(sizes) % tiny_task.config().accumulate != 0
    assert len(tiny_task.items()) == RECORDS
