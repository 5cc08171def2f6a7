"""Checkpoints that survive being killed while they are written.

A checkpoint is a folder `step-00000120` with `tensors.safetensors`, `meta.json` and `manifest.json`. It is written
under a temporary name: files first, each flushed to the disk, then the manifest with the sha256 of each file, then one
rename, which a file system does entirely or not at all. Whatever interrupts this, the folder of checkpoints holds only
complete ones and a leftover with a temporary name, which the next save removes. Loading believes nothing: it takes the
newest folder whose files match their manifest. No pickle is involved, so a checkpoint cannot run code. Whatever else
lies in the folder, a copy named `step-00000120-best` say, is yours: it is neither read nor removed.

Left out: sharded checkpoints (one process writes) and remote storage.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TENSORS, META, MANIFEST = "tensors.safetensors", "meta.json", "manifest.json"
PREFIX, TEMPORARY = "step-", ".writing-"
NAME = re.compile(rf"{PREFIX}\d{{8,}}")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on the disk."""

    path: Path
    step: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """All saved tensors, on the CPU."""
        from safetensors.torch import load_file

        # What is loaded is the file itself, mapped into memory: while it is used, a removed checkpoint would keep its
        # place on the disk. Copies let go of it.
        return {name: tensor.clone() for name, tensor in load_file(self.path / TENSORS).items()}

    def meta(self) -> dict[str, Any]:
        """The saved JSON: position, history, settings."""
        return json.loads((self.path / META).read_text(encoding="utf-8"))


def save(
    folder: Path, step: int, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any], keep: int = 2
) -> Checkpoint:
    """Write the state after ``step`` so that it is there entirely or not at all, then drop all but the newest ``keep``.

    Raises OSError (a full disk, say) with every earlier checkpoint untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary, final = folder / f"{TEMPORARY}{step:08d}", folder / f"{PREFIX}{step:08d}"
    temporary.mkdir()
    try:
        _write_tensors(temporary / TENSORS, tensors)
        _write_text(temporary / META, json.dumps(meta))
        files = {name: _measure(temporary / name) for name in (TENSORS, META)}
        _write_text(temporary / MANIFEST, json.dumps({"step": step, "files": files}))
        _flush(temporary)
        if final.exists():  # an invalid folder of the same step, or the same step saved again
            shutil.rmtree(final)
        temporary.rename(final)
        _flush(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    prune(folder, keep, step)
    return Checkpoint(final, step)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose files match their manifest, or None. Warns of each that is passed over."""
    for step, path in _numbered(folder):
        reason = _fault(path)
        if reason is None:
            return Checkpoint(path, step)
        warnings.warn(f"Passed over a damaged checkpoint ({path.name}: {reason}).", stacklevel=2)
    return None


def prune(folder: Path, keep: int, saved: int) -> None:
    """Remove all but the newest ``keep`` valid checkpoints, and every invalid one; ``saved`` was written just now."""
    kept = 0
    for step, path in _numbered(folder):
        # Sizes only: hashing every older checkpoint at every save would cost more than it protects. One that claims to
        # be newer than the one just written was passed over when the run resumed, so it is looked at closely: it must
        # not take the place of a good one.
        if step == saved or (kept < keep and _fault(path, contents=step > saved) is None):
            kept += 1
        else:
            shutil.rmtree(path, ignore_errors=True)


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """The folders named like checkpoints with their steps, newest first."""
    paths = [path for path in folder.glob(f"{PREFIX}*") if NAME.fullmatch(path.name)]
    return sorted(((int(path.name.removeprefix(PREFIX)), path) for path in paths), reverse=True)


def random_state() -> dict[str, Any]:
    """The random states of Python, NumPy and torch on all devices of this process, as JSON and tensors."""
    import numpy as np
    import torch

    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda{k}": state for k, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    version, internal, gauss_next = random.getstate()
    python = {"random": [version, list(internal), gauss_next], "numpy": [name, position, has_gauss, gauss]}
    return {"python": python, "tensors": tensors}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Continue all random sequences where ``random_state`` left them."""
    import numpy as np
    import torch

    version, internal, gauss_next = state["python"]["random"]
    random.setstate((version, tuple(internal), gauss_next))
    name, position, has_gauss, gauss = state["python"]["numpy"]
    tensors = state["tensors"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(tensors["torch"])
    for k in range(torch.cuda.device_count()):
        if f"cuda{k}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{k}"], k)
    if "mps" in tensors and torch.backends.mps.is_available():
        torch.mps.set_rng_state(tensors["mps"])


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    with system_errors(path):
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    _flush(path)


@contextlib.contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Around the writing of safetensors, which hides the system's error, a full disk say, in its own: OSError then."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(*[OSError] if path.is_dir() else []):  # some file systems cannot flush a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def _measure(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(path: Path, contents: bool = True) -> str | None:
    """Why this folder is no valid checkpoint, or None; without ``contents`` only the sizes are compared."""
    try:
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name in (TENSORS, META):
            if (path / name).stat().st_size != files[name]["bytes"]:
                return f"{name} is not as long as it was written"
            if contents and _digest(path / name) != files[name]["sha256"]:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"incomplete ({type(error).__name__})"
    return None
