"""From a model's name to a folder that transformers and the course's own decoder can load.

A folder is enough when it has ``config.json``, weights as safetensors and the files of a tokenizer. Where it comes from
is the table's matter: the course's own files and the embedded package (`shipped`), the hub's cache (`fetch`), or a
folder of the reader's. What kind of model is in it is asked where it is used (`loading`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.hub.fetch import cached, fetch
from course_lib.hub.shipped import shipped_folder
from course_lib.hub.sources import MODELS, WEIGHTS, Repository, hub_repository

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SMALL_FILES = (".json", ".txt", ".model", ".jinja")  # configuration, vocabularies, sentencepiece models, chat formats


def model_folder(name: str) -> Path:
    """The local folder of a model: a short name, a folder, or a hub id, which is downloaded on first use.

    Raises CourseError when the model is not there, is not complete, or cannot be had.
    """
    here = on_this_machine(name)
    if here:
        return local_folder(here)
    repository = repository_of(name)
    folder, names = fetch(repository, lambda names: model_files(f"The {repository}", names))
    check_shards(folder, names)
    return folder


def config_file(name: str) -> Path:
    """The configuration of a model, without its weights: a short name, a folder or a hub id, fetched on first use.

    Raises CourseError when there is none or it cannot be had.
    """
    here = on_this_machine(name)
    if here:
        return here / CONFIG if (here / CONFIG).is_file() else local_folder(here) / CONFIG
    repository = repository_of(name)

    def only_config(names: Iterable[str]) -> list[str]:
        if CONFIG not in names:
            raise CourseError(
                f"The {repository} has no {CONFIG}, so nothing can be said about it; choose another model."
            )
        return [CONFIG]

    folder, _ = fetch(repository, only_config)
    return folder / CONFIG


def tokenizer_folder(name: str) -> Path:
    """A folder with a model's configuration and tokenizer, without its weights where those are not here yet.

    Raises CourseError when there is none or it cannot be had.
    """
    here = on_this_machine(name)
    if here:
        return local_folder(here)
    repository = repository_of(name)

    def small(names: Iterable[str]) -> list[str]:
        root = sorted(name for name in names if "/" not in name)
        if CONFIG not in root or not has_tokenizer(root):
            raise CourseError(f"The {repository} has no {CONFIG} or no tokenizer: choose a model that is complete.")
        return [name for name in root if name.endswith(SMALL_FILES)]

    folder, _ = fetch(repository, small)
    return folder


def model_held(name: str) -> bool:
    """Whether nothing of a model of the table has to be downloaded: it comes with the course, or the cache has it."""
    source = MODELS[name]
    if source.asset or source.wheel:
        return True
    repository = repository_of(name)
    return cached(repository, lambda names: model_files(f"The {repository}", names)) is not None


def on_this_machine(name: str) -> Path | None:
    """The folder of a model that came with the course, or of the reader's own; None for one of the hub's."""
    source = MODELS.get(name)
    if source and (source.asset or source.wheel):
        return shipped_folder(source)
    path = Path(name).expanduser()
    return path if source is None and path.exists() else None


def repository_of(name: str) -> Repository:
    """The hub's repository that a short name or a hub id means; CourseError for what is neither."""
    source = MODELS.get(name)
    if source:
        return Repository("model", source.repo, source.revision)
    return hub_repository(name, "model", MODELS)[0]


def local_folder(folder: Path) -> Path:
    """The same folder, after a look at whether a model is in it."""
    if not folder.is_dir():
        raise CourseError(f"{folder} is a file: give the folder that holds the model's config.json and weights.")
    names = model_files(f"The folder {folder}", [path.name for path in folder.iterdir() if path.is_file()])
    check_shards(folder, names)
    return folder


def model_files(what: str, names: Iterable[str]) -> list[str]:
    """Which of these files a model needs; files in subfolders, other formats and pickles are never among them.

    Raises CourseError that names everything that is missing; ``what`` begins its sentence.
    """
    root = sorted(name for name in names if "/" not in name)
    weights = (
        [WEIGHTS] if WEIGHTS in root else [name for name in root if name.endswith(".safetensors") and INDEX in root]
    )
    missing = []
    if "config.json" not in root:
        missing.append("config.json")
    if not weights:
        missing.append(f"weights as {WEIGHTS}")
    if not has_tokenizer(root):
        missing.append("tokenizer (tokenizer.json, vocab.txt, vocab.json with merges.txt, or a .model file)")
    if missing:
        pickled = any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in root)
        why = " (it has pickled weights, but opening those can run code)" if pickled and not weights else ""
        raise CourseError(f"{what} has no {', no '.join(missing)}{why}: choose a model that is complete.")
    return weights + [name for name in root if name.endswith(SMALL_FILES)]


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether one of the four ways to store a tokenizer is among the files."""
    held = set(names)
    return bool(
        held & {"tokenizer.json", "vocab.txt"}
        or held >= {"vocab.json", "merges.txt"}
        or any(name.endswith(".model") for name in held)
    )


def check_shards(folder: Path, names: Iterable[str]) -> None:
    """Raise CourseError if the index of split weights names a file that is not there."""
    if WEIGHTS in names or INDEX not in names:
        return
    shards = set(read_json(folder / INDEX).get("weight_map", {}).values())
    lost = sorted(shard for shard in shards if not (folder / shard).is_file())
    if lost:
        raise CourseError(
            f"The folder {folder} lacks {', '.join(lost)}, which {INDEX} lists: copy or download it again."
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; CourseError if there is something else in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read as JSON ({error}): get the model again.") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds no JSON object: get the model again.")
    return content
