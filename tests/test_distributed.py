"""`fit` under `accelerate launch`: two processes compute what one does, and continue after one of them was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import distributed_target
import tiny_task
from course_lib import checkpoint, train
from course_lib.errors import CourseError

HERE = Path(__file__).parent


def launch(folder: Path, part: str) -> int:
    """`accelerate launch` with two processes on this machine's processor; its exit status. Leaves no process behind."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
    # Despite its name `--multi_gpu` is what starts several processes; the variable below keeps them on the processor.
    command += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_ip", "127.0.0.1", "--main_process_port", "0"]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(HERE.parent), str(HERE)])),
    }
    with open(folder / f"{part}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, str(HERE / "distributed_target.py"), str(folder), part],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(240)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for path in folder.glob(f"pid-{part}-*"):
                gone(int(path.read_text()))


def gone(pid: int) -> None:
    """Wait for a process to end, and end it if it does not."""
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"process {pid} was left behind")


def outcome(folder: Path, name: str) -> dict[str, Any]:
    """What the first process noted; the second must have noted the same, weights included."""
    first, second = (json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first.pop("processes") == 2
    return first


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole runs of two processes, and a third in which one of the two was killed."""
    folder = tmp_path_factory.mktemp("distributed")
    status = launch(folder, "start")
    log = (folder / "start.log").read_text()
    assert (folder / "uninterrupted-1.json").exists(), log
    assert status != 0, "a killed process must not look like success"
    assert "SIGKILL" in log or "-9" in log, log
    return folder


def test_two_processes_have_the_loss_of_one_with_twice_the_batch(started: Path) -> None:
    two = outcome(started, "exact")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one, _ = distributed_target.exact_run(8)
    torch.set_num_threads(before)
    assert len(one.loss) == 12
    difference = max(abs(a - b) for a, b in zip(two["loss"], one.loss, strict=True))
    print(f"largest difference of the loss over {len(one.loss)} steps: {difference:.1e}")
    assert difference < 1e-5
    assert two["learning_rate"] == one.learning_rate
    assert two["gradient_norm"] == pytest.approx(one.gradient_norm, rel=1e-4)
    assert [e["loss"] for e in two["evaluations"]] == pytest.approx([e["loss"] for e in one.evaluations], abs=1e-5)


def test_the_comparison_has_uneven_batches_and_labels_that_do_not_count() -> None:
    data = tiny_task.batches(8, tiny_task.items(49, ignored=3))
    order = data.epoch(0)
    assert sorted(map(len, order)) == [1, 8, 8, 8, 8, 8, 8], "one record for two processes"
    shares = [
        (data.fetch(batch[0::2])["labels"], data.fetch(batch[1::2])["labels"]) for batch in order if len(batch) > 1
    ]
    counts = [tuple(int((labels >= 0).sum()) for labels in pair) for pair in shares]
    assert any(a != b for a, b in counts), "the processes never had different numbers of labels"


def test_two_processes_continue_to_the_same_bits_after_one_was_killed(started: Path) -> None:
    saved = checkpoint.latest(started / "saves")
    assert saved is not None
    assert saved.step == 6
    status = launch(started, "continue")
    assert status == 0, (started / "continue.log").read_text()
    continued, uninterrupted = outcome(started, "continued"), outcome(started, "uninterrupted")
    assert continued.pop("resumed_at") == 6
    assert uninterrupted.pop("resumed_at") == 0
    assert continued == uninterrupted


def test_the_two_processes_have_random_numbers_of_their_own(started: Path) -> None:
    """Equal dropout on both would be half as random; each has its state in the checkpoint."""
    saved = checkpoint.latest(started / "saves")
    assert saved is not None
    tensors, meta = saved.tensors(), saved.meta()
    assert not torch.equal(tensors["random/0/torch"], tensors["random/1/torch"])
    assert not torch.equal(tensors["random/0/numpy"], tensors["random/1/numpy"])
    assert meta["random"][0] != meta["random"][1]


def test_a_checkpoint_of_two_processes_is_not_continued_by_one(started: Path) -> None:
    with pytest.raises(CourseError, match="its processes was 2 and is 1 now"):
        train.fit(
            tiny_task.Tiny(),
            tiny_task.batches(2),
            tiny_task.noisy_loss,
            tiny_task.config(started / "saves", patience=9),
            evaluate=tiny_task.evaluate,
        )
