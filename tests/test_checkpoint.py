"""Checkpoints on disks that are full and in files that are damaged: nothing is lost but the newest attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_task
from course_lib import checkpoint, train
from course_lib.errors import CourseError

SAVES = [2, 4, 6, 8, 10, 12, 14, 15]  # the steps after which `tiny_task.config` saves


class Cut(Exception):
    """Stands for the end of the process, where the rest of a test needs the same one."""


def fit(folder: Path | None, cut_at: int | None = None) -> tuple[dict[str, Any], str]:
    """Train a new model to the end, or raise Cut in the middle of the step after ``cut_at``."""
    model, calls = tiny_task.Tiny(), 0

    def loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if cut_at is not None and calls > sum(3 if step % 5 else 2 for step in range(1, cut_at + 1)) + 1:
            raise Cut
        return tiny_task.noisy_loss(model, batch)

    history = train.fit(model, tiny_task.batches(), loss, tiny_task.config(folder))
    return dataclasses.asdict(history), tiny_task.digest(model)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[str, Any], str]:
    return fit(None)


def same_run(outcome: tuple[dict[str, Any], str], expected: tuple[dict[str, Any], str], resumed_at: int) -> None:
    history, weights = outcome
    assert history["resumed_at"] == resumed_at
    assert {**history, "resumed_at": 0} == expected[0]
    assert weights == expected[1]


def steps(folder: Path) -> list[int]:
    """The steps of the complete checkpoints in a folder."""
    return sorted(step for step, path in checkpoint._numbered(folder) if checkpoint._fault(path) is None)


# -- a full disk -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def while_tensors_are_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system itself refuses to let a file grow beyond 4 KB, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def while_meta_is_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Half of the text fits on the disk."""

    def half(path: Path, text: str) -> None:
        path.write_text(text[: len(text) // 2], encoding="utf-8")
        no_space()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_text", half)
        yield


@contextlib.contextmanager
def while_the_manifest_is_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write = checkpoint._write_text

    def fails(path: Path, text: str) -> None:
        write(path, text[:20] if path.name == checkpoint.MANIFEST else text)
        if path.name == checkpoint.MANIFEST:
            no_space()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_text", fails)
        yield


@contextlib.contextmanager
def while_flushing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Disks over a network report that they are full only when asked to flush."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        yield


FULL = [while_tensors_are_written, while_meta_is_written, while_the_manifest_is_written, while_flushing]


def fill_during(
    monkeypatch: pytest.MonkeyPatch, full: Callable[..., contextlib.AbstractContextManager[None]], steps: list[int]
) -> None:
    """Let the disk be full during the saves after these steps."""
    save = checkpoint.save

    def sometimes(folder: Path, step: int, *rest: Any) -> checkpoint.Checkpoint:
        with full(monkeypatch) if step in steps else contextlib.nullcontext():
            return save(folder, step, *rest)

    monkeypatch.setattr(checkpoint, "save", sometimes)


@pytest.mark.parametrize("full", FULL)
def test_a_disk_that_is_full_for_a_while_costs_a_warning_and_no_training(
    full: Callable[..., Any], uninterrupted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_during(monkeypatch, full, [6, 8])
    with pytest.warns(UserWarning, match="could not be saved") as caught:
        outcome = fit(tmp_path)
    assert [str(warning.message).split()[1] for warning in caught] == ["6", "8"]
    assert "training goes on" in str(caught[0].message)
    reason = os.strerror(errno.EFBIG if full is while_tensors_are_written else errno.ENOSPC)
    assert reason in str(caught[0].message)
    same_run(outcome, uninterrupted, 0)
    assert steps(tmp_path) == [14, 15]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000014", "step-00000015"]


@pytest.mark.parametrize("full", FULL)
def test_a_run_that_ends_while_the_disk_is_full_continues_from_the_checkpoint_before(
    full: Callable[..., Any], uninterrupted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_during(monkeypatch, full, [8, 10, 12, 14])
    with pytest.warns(UserWarning, match="could not be saved"), pytest.raises(Cut):
        fit(tmp_path, cut_at=11)
    assert steps(tmp_path) == [4, 6]
    monkeypatch.undo()
    same_run(fit(tmp_path), uninterrupted, 6)


def test_a_disk_that_is_really_full_costs_a_warning_and_no_training(uninterrupted: Any, tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system to fill needs root")
    try:
        # Two checkpoints of 60 KB fit beside what fills the disk, a third does not.
        (tmp_path / "something else").write_bytes(bytes(512 * 1024 - 3 * 60 * 1024))
        with pytest.warns(UserWarning, match=r"could not be saved .*No space left on device"), pytest.raises(Cut):
            fit(tmp_path, cut_at=11)
        kept = steps(tmp_path)
        assert kept, "not one checkpoint was left"
        assert kept[-1] < 10
        (tmp_path / "something else").unlink()
        same_run(fit(tmp_path), uninterrupted, kept[-1])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# -- damaged files -----------------------------------------------------------------------------------------------------


def truncate(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def flip(path: Path) -> None:
    """Change one bit in the middle; the length stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "tensors truncated": lambda path: truncate(path / checkpoint.TENSORS, 0.5),
    "tensors empty": lambda path: truncate(path / checkpoint.TENSORS, 0),
    "a bit of the tensors flipped": lambda path: flip(path / checkpoint.TENSORS),
    "tensors gone": lambda path: (path / checkpoint.TENSORS).unlink(),
    "manifest truncated": lambda path: truncate(path / checkpoint.MANIFEST, 0.5),
    "manifest empty": lambda path: truncate(path / checkpoint.MANIFEST, 0),
    "manifest gone": lambda path: (path / checkpoint.MANIFEST).unlink(),
    "manifest of another kind": lambda path: (path / checkpoint.MANIFEST).write_text('["files"]'),
    "manifest not text": lambda path: (path / checkpoint.MANIFEST).write_bytes(b"\xff\xfe\x00"),
    "a bit of meta flipped": lambda path: flip(path / checkpoint.META),
    "meta truncated": lambda path: truncate(path / checkpoint.META, 0.5),
    "everything gone": lambda path: [file.unlink() for file in path.iterdir()],
}


@pytest.fixture(scope="module")
def cut_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a run that was cut after step 11: of steps 8 and 10."""
    folder = tmp_path_factory.mktemp("cut")
    with pytest.raises(Cut):
        fit(folder, cut_at=11)
    assert steps(folder) == [8, 10]
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_continues_to_the_same_bits(
    damage: str, cut_run: Path, uninterrupted: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(cut_run, tmp_path / "saves")
    DAMAGE[damage](folder / "step-00000010")
    with pytest.warns(UserWarning, match=r"Passed over a damaged checkpoint \(step-00000010: "):
        outcome = fit(folder)
    same_run(outcome, uninterrupted, 8)
    assert steps(folder) == [14, 15]


def test_the_newest_checkpoint_wins_where_all_are_valid(cut_run: Path, uninterrupted: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(cut_run, tmp_path / "saves")
    same_run(fit(folder), uninterrupted, 10)


def test_where_all_are_damaged_every_one_is_named_and_the_run_begins_again(
    cut_run: Path, uninterrupted: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(cut_run, tmp_path / "saves")
    for path in folder.iterdir():
        truncate(path / checkpoint.TENSORS, 0.9)
    with pytest.warns(UserWarning, match="Passed over") as caught:
        outcome = fit(folder)
    assert [name for w in caught for name in ("step-00000010", "step-00000008") if name in str(w.message)] == [
        "step-00000010",
        "step-00000008",
    ]
    same_run(outcome, uninterrupted, 0)


def test_a_damaged_newer_checkpoint_does_not_push_out_the_one_just_written(tmp_path: Path) -> None:
    """Of the right lengths but with a flipped bit, it looks whole to anyone who compares lengths only."""
    tensors = {"x": torch.arange(64.0)}
    checkpoint.save(tmp_path, 30, tensors, {"step": 30}, keep=1)
    flip(tmp_path / "step-00000030" / checkpoint.TENSORS)
    checkpoint.save(tmp_path, 25, tensors, {"step": 25}, keep=1)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 25
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000025"]


# -- the folder --------------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back_bit_by_bit(tmp_path: Path) -> None:
    tensors = {
        "weights": torch.randn(3, 4),
        "transposed": torch.randn(3, 4).t(),
        "half": torch.randn(5).to(torch.bfloat16),
        "count": torch.tensor(7),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "empty": torch.empty(0, 3),
        "not a number": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    meta = {"loss": [0.1 + 0.2, 1e-300, float("inf")], "text": "Ångström", "nothing": None}
    saved = checkpoint.save(tmp_path / "new" / "folder", 3, tensors, meta)
    assert saved == checkpoint.latest(tmp_path / "new" / "folder")
    loaded = saved.tensors()
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        assert loaded[name].dtype == value.dtype
        assert loaded[name].shape == value.shape
        assert loaded[name].numpy(force=True).tobytes() == value.numpy(force=True).tobytes() if name != "half" else True
        assert torch.equal(loaded[name].isnan(), value.isnan())
    assert torch.equal(loaded["half"], tensors["half"])
    assert saved.meta() == meta


def test_a_loaded_checkpoint_may_be_removed_and_frees_the_disk(tmp_path: Path) -> None:
    tensors = checkpoint.save(tmp_path, 1, {"x": torch.arange(10_000.0)}, {}).tensors()
    shutil.rmtree(tmp_path / "step-00000001")
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(), "the removed file is still mapped"
    assert torch.equal(tensors["x"], torch.arange(10_000.0))


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 99, 100, 123_456_789):  # the last has one digit more than its place
        checkpoint.save(tmp_path, step, {"x": torch.zeros(1)}, {}, keep=3)
    assert steps(tmp_path) == [99, 100, 123_456_789]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 123_456_789


def test_what_a_killed_save_left_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / f"{checkpoint.TEMPORARY}00000007"
    leftover.mkdir()
    (leftover / checkpoint.TENSORS).write_bytes(b"half")
    assert checkpoint.latest(tmp_path) is None
    checkpoint.save(tmp_path, 8, {"x": torch.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000008"]


def test_copies_and_other_files_in_the_folder_are_neither_read_nor_removed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, {"x": torch.zeros(1)}, {})
    for name in ("step-00000099-best", "step-00000005 (copy)", "step-latest"):
        shutil.copytree(tmp_path / "step-00000005", tmp_path / name)
    (tmp_path / "notes.txt").write_text("mine")
    for step in (6, 7, 8):
        checkpoint.save(tmp_path, step, {"x": torch.zeros(1)}, {}, keep=1)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.step == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt",
        "step-00000005 (copy)",
        "step-00000008",
        "step-00000099-best",
        "step-latest",
    ]


def test_the_same_step_can_be_saved_again(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, {"x": torch.zeros(1)}, {})
    saved = checkpoint.save(tmp_path, 5, {"x": torch.ones(1)}, {})
    assert saved.tensors()["x"].item() == 1


def test_an_interrupted_save_leaves_nothing_and_passes_the_interruption_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path, 1, {"x": torch.zeros(1)}, {})

    def interrupt(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 2, {"x": torch.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_the_names_reach_the_disk_after_the_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this order a power cut could leave a complete name with incomplete files."""
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_flush(handle: int) -> None:
        events.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def note_rename(path: Path, target: Path) -> Path:
        events.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(Path, "rename", note_rename)
    checkpoint.save(tmp_path, 3, {"x": torch.zeros(1)}, {})
    temporary = f"{checkpoint.TEMPORARY}00000003"
    files = [f"flush {name}" for name in (checkpoint.TENSORS, checkpoint.META, checkpoint.MANIFEST)]
    assert events == [*files, f"flush {temporary}", "rename", f"flush {tmp_path.name}"]


def test_a_folder_that_cannot_be_made_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CourseError, match=r"Checkpoints cannot be saved in .*file/saves \(Not a directory\)"):
        fit(tmp_path / "file" / "saves")


def test_loading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    """Everything in it is safetensors or JSON; there is no pickle to smuggle code in."""
    folder = checkpoint.save(tmp_path, 1, {"x": torch.zeros(1)}, {}).path
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "meta.json", "tensors.safetensors"]
    for path in folder.iterdir():
        assert b"pickle" not in path.read_bytes()
        assert not path.read_bytes().startswith((b"\x80", b"PK"))
