"""Llama checkpoints: from a folder to a decoder and back; and from a live Llama of transformers to a decoder.

A checkpoint is a folder with the numbers of the architecture (config.json) and tensors by name (safetensors: a table
of names, types and places, then the bytes; reading it runs no code). With tied embeddings one matrix is stored once.

A model that is being trained with transformers is adopted, not copied: the decoder takes over its embedding, its linear
maps, whatever peft or bitsandbytes put in their place, and the weights of its norms. So each step of training is seen
at once, and nothing is held twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib.decoder.config import DecoderConfig
from course_lib.decoder.model import Decoder, RMSNorm, angles
from course_lib.errors import CourseError

PARTS = {
    "self_attn": ("LlamaAttention", ("q_proj", "k_proj", "v_proj", "o_proj")),
    "mlp": ("LlamaMLP", ("gate_proj", "up_proj", "down_proj")),
}
NORMS = ("input_layernorm", "post_attention_layernorm")


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


def adopt(model: nn.Module) -> Decoder:
    """A decoder that shares the modules of a live Llama of transformers, bare or within peft; no weight is copied.

    Raises CourseError when the model computes anything else than `Decoder` does (`unlike_llama` says what).
    """
    found = unlike_llama(model)
    if found:
        raise CourseError(f"The decoder cannot take over this model, because it {found}: ask it through transformers.")
    llama: Any = _bare(model)
    config = DecoderConfig.from_hf(llama.config.to_dict())
    with torch.device("meta"):
        made = Decoder(config)
    made.model.embed_tokens, made.lm_head = llama.model.embed_tokens, llama.lm_head
    made.model.norm = _norm(llama.model.norm)
    for ours, theirs in zip(made.model.layers, llama.model.layers, strict=True):
        for part, (_, names) in PARTS.items():
            for name in names:
                setattr(getattr(ours, part), name, getattr(getattr(theirs, part), name))
        for name in NORMS:
            setattr(ours, name, _norm(getattr(theirs, name)))
    made.angles = angles(config).to(made.device)
    return made


def unlike_llama(model: nn.Module) -> str:
    """What keeps a model of transformers from being adopted: "is ...", "has ..."; empty if nothing does."""
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None and adapter.is_prompt_learning:
        return "begins with a prompt that was learned"
    found: Any = _bare(model)
    if type(found).__name__ != "LlamaForCausalLM":
        return f"is a {type(found).__name__} and no plain Llama"
    try:
        DecoderConfig.from_hf(found.config.to_dict())
    except CourseError as error:
        return f"is another Llama ({error})"
    kinds = [type(getattr(layer, part)).__name__ for layer in found.model.layers for part in PARTS]
    changed = set(kinds) - {kind for kind, _ in PARTS.values()}
    return f"has {', '.join(sorted(changed))} in its layers" if changed else ""


def _bare(model: Any) -> Any:
    """The model of transformers within peft's, with the layers that peft put into it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _norm(theirs: Any) -> Any:
    """Ours with their weight, which is faster; theirs if it has become something else."""
    if type(theirs).__name__ != "LlamaRMSNorm":
        return theirs
    norm = RMSNorm(1, theirs.variance_epsilon)
    norm.weight = theirs.weight
    return norm
