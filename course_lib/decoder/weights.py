"""Llama checkpoints: from a folder to a decoder and back.

A checkpoint is a folder with the numbers of the architecture (config.json) and tensors by name (safetensors: a table
of names, types and places, then the bytes; reading it runs no code). With tied embeddings one matrix is stored once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from course_lib.decoder.config import DecoderConfig
from course_lib.decoder.model import Decoder, angles
from course_lib.errors import CourseError


def load(folder: str | Path, dtype: torch.dtype = torch.float32) -> Decoder:
    """The decoder in a folder with config.json and model.safetensors (one or several files), in evaluation mode.

    Raises CourseError when it is no Llama checkpoint or weights are missing.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{folder / 'config.json'} cannot be read ({error}): name the folder of a model.") from error
    with torch.device("meta"):
        model = Decoder(DecoderConfig.from_hf(config))
    weights = {
        name: t.to(dtype) for file in sorted(folder.glob("*.safetensors")) for name, t in load_file(file).items()
    }
    if model.config.tie_word_embeddings and (shared := "model.embed_tokens.weight") in weights:
        weights.setdefault("lm_head.weight", weights[shared])
    lost = [name for name, t in model.state_dict().items() if name not in weights or weights[name].shape != t.shape]
    if lost:
        raise CourseError(
            f"The weights in {folder} lack {len(lost)} tensors of this shape ({lost[0]}, ...): get a complete copy."
        )
    model.load_state_dict(weights, strict=False, assign=True)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.angles = angles(model.config)
    return model.eval()


def save(model: Decoder, folder: str | Path, **extra: Any) -> None:
    """Write config.json (with ``extra`` entries, such as token ids) and model.safetensors, as transformers reads them.

    Raises OSError when the folder cannot be written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().contiguous().cpu() for name, t in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    dtype = str(model.model.norm.weight.dtype).removeprefix("torch.")
    config = {**model.config.to_hf(), "dtype": dtype, **extra}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
