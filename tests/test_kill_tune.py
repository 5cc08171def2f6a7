"""Killing `course finetune`, in every phase and at any moment: with --resume it ends with the same bits.

A run is killed with SIGKILL while it answers, trains, saves a checkpoint, writes the model, its card and its figures,
with some of these files half written. What has to come out is what comes out of the run that nobody kills: every loss,
every answer's score, every byte of the adapter.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kill_target
import tiny_writer
import tune_target
from test_kill import SEED, Trainer, at_place

STEPS = 6  # 3 epochs of 2 steps: 10 questions, 2 of them held out, 4 at a time
QLORA = {"method": "qlora", "optimizer": "adamw-8bit"}  # the one with the most to lose


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A base model and a file of examples."""
    folder = tmp_path_factory.mktemp("given")
    lines = [json.dumps({"prompt": q, "completion": a}) for q, a in tiny_writer.questions(10)]
    (folder / "mine.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"base": str(tiny_writer.save(folder / "base")), "data": str(folder / "mine.jsonl")}


@pytest.fixture(scope="module")
def tuner(given: dict[str, Any]) -> Iterator[Trainer]:
    tuner = Trainer("tune_target.py", "-", given["base"])
    yield tuner
    tuner.close()


class Runs:
    """Runs of one tuning, and what comes out of the one that nobody kills."""

    def __init__(self, tuner: Trainer, given: dict[str, Any], folder: Path, **settings: Any) -> None:
        self.tuner, self.folder = tuner, folder
        self.order = {**given, "settings": settings}
        began = time.monotonic()
        self.run("uninterrupted")
        self.duration = time.monotonic() - began
        self.expected = self.outcome("uninterrupted")
        assert self.expected.pop("resumed_at") == 0
        assert len(self.expected["loss"]) == STEPS

    def run(self, name: str, *kill: Any, **more: Any) -> list[str]:
        return self.tuner.run(
            *kill, folder=self.folder / name, result=self.folder / f"{name}.json", **self.order, **more
        )

    def outcome(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return found

    def goes_on(self, name: str) -> int:
        """Run on after a kill and compare everything; the step at which training was taken up again."""
        self.run(name)
        outcome = self.outcome(name)
        resumed_at: int = outcome.pop("resumed_at")
        assert outcome == self.expected
        return resumed_at

    def killed(self, place: str, occasion: int) -> int:
        name = f"{place} {occasion}".replace(" ", "-")
        lines = self.run(name, at_place, stop=[place, occasion])
        assert f"at {place}" in lines, "the process was not stopped there"
        assert not (self.folder / f"{name}.json").exists()
        return self.goes_on(name)


@pytest.fixture(scope="module")
def runs(tuner: Trainer, given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tuner, given, tmp_path_factory.mktemp("qlora"), **QLORA)


@pytest.mark.parametrize("place", tune_target.PLACES)
def test_a_run_killed_in_any_phase_ends_with_the_same_bits(runs: Runs, place: str) -> None:
    often = tune_target.PLACES[place]
    occasion = random.Random(f"{SEED} {place}").randint(1, often)
    resumed_at = runs.killed(place, occasion)
    if place == "after a step":  # the checkpoint of a step is written after this
        assert resumed_at == occasion - 1
    if "written" in place and "run.json" not in place and "before" not in place and "answers" not in place:
        assert resumed_at in (0, STEPS)


@pytest.mark.parametrize(
    "place", ["tensors half written", "manifest half written", "after the rename", "an old checkpoint half removed"]
)
def test_a_run_killed_inside_a_checkpoint_ends_with_the_same_bits(runs: Runs, place: str) -> None:
    assert place in kill_target.PLACES
    assert runs.killed(place, 3) == (2 if "written" in place else 3 if "rename" in place else 5)


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw-8bit"])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(
    tuner: Trainer, given: dict[str, Any], tmp_path: Path, method: str, optimizer: str
) -> None:
    runs = Runs(tuner, given, tmp_path, method=method, optimizer=optimizer)
    draw = random.Random(f"{SEED} {method} {optimizer}")
    kills, resumed = 0, []
    while kills < 2:
        name, moment = f"kill-{kills}", draw.uniform(0, runs.duration)

        def later(line: str, moment: float = moment) -> bool:
            if line == "begin":
                time.sleep(moment)
            return line == "begin"

        runs.run(name, later)
        if (runs.folder / f"{name}.json").exists():  # faster than the kill: draw again
            (runs.folder / f"{name}.json").unlink()
            shutil.rmtree(runs.folder / name)
            continue
        kills += 1
        resumed.append(runs.goes_on(name))
    assert len(resumed) == kills == 2
    assert all(0 <= step <= STEPS for step in resumed)
    print(f"{kills} kills at random moments of {method} with {optimizer}; resumed at steps {resumed}")


def test_a_run_killed_five_times_ends_with_the_same_bits(runs: Runs) -> None:
    for place, occasion in [
        ("run.json half written", 1), ("while answers are written", 1), ("inside a step", 3),
        ("tensors half written", 2), ("weights half written", 1),
    ]:  # fmt: skip
        assert f"at {place}" in runs.run("five", at_place, stop=[place, occasion])
    assert runs.goes_on("five") == STEPS
