"""Which model a question is about: a preset, a folder, a file, a hub id, or a config that is at hand already."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import TARGET_WORDS, Recipe


@dataclass(frozen=True)
class Subject:
    """A model: its name, its transformers config as a dict, and its architecture."""

    name: str
    values: dict[str, Any]
    architecture: Architecture

    @property
    def parameters(self) -> int:
        """All parameters; a matrix that two layers share counts once."""
        return self.architecture.parameters

    @property
    def config(self) -> Any:
        """The transformers config."""
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig

        values = dict(self.values)
        try:
            return AutoConfig.for_model(values.pop("model_type"), **values)
        except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
            why = " ".join(str(error.__cause__ or error).split()).rstrip(".")
            raise CourseError(f"transformers cannot read the configuration of {self.name}: {why}.") from error

    def check(self, recipe: Recipe) -> None:
        """Raise CourseError, naming the valid choices, where a recipe asks for what the model does not have."""
        model, stored = self.architecture, self.values.get("quantization_config")
        if stored:
            kind = stored.get("quant_method", "other") if isinstance(stored, dict) else "other"
            raise CourseError(
                f"The weights of {self.name} are stored quantized ({kind}), which is not planned; name the model"
                " that they were made from, and choose method qlora for NF4."
            )
        if recipe.method == "prompt" and not model.causal:
            raise CourseError(f"{self.name} is an encoder; prompt tuning here is for models that continue text.")
        length = recipe.seq_len + recipe.new_tokens + (recipe.prompt_tokens if recipe.method == "prompt" else 0)
        if model.positions and length > model.positions:
            raise CourseError(f"{self.name} reads at most {model.positions} tokens; seq_len {length} is beyond that.")
        if recipe.method == "last-n" and recipe.blocks > model.layers:
            raise CourseError(f"{self.name} has {model.layers} blocks; last-n can train 1 to {model.layers} of them.")
        if recipe.targets not in TARGET_WORDS and recipe.method in ("lora", "qlora"):
            known = {*model.linear_names, "lm_head"}
            unknown = [name for name in recipe.targets if name not in known]
            if unknown:
                raise CourseError(
                    f"{self.name} has no linear layer {unknown[0]!r}; targets may be all-linear, qv or some of"
                    f" {', '.join((*model.linear_names, 'lm_head'))}."
                )


def subject(model: Any) -> Subject:
    """The model that somebody means. Raises CourseError when there is none, or none that can be planned."""
    if isinstance(model, Subject):
        return model
    if isinstance(model, str | Path):
        return _named(str(model))
    if isinstance(model, dict):
        values = dict(model)
    elif hasattr(model, "to_dict"):
        values = model.to_dict()
    else:
        raise CourseError(f"A model is a name, a folder, a config.json or a transformers config, not {model!r}.")
    name = str(values.get("_name_or_path") or values.get("model_type") or "this model")
    return Subject(name, values, Architecture.from_config(values, name))


@functools.lru_cache(maxsize=64)
def _named(name: str) -> Subject:
    from course_lib.memory import models

    path = Path(name).expanduser()
    if path.is_dir() or path.suffix == ".json":
        values = _read(path / "config.json" if path.is_dir() else path)
        return Subject(path.stem if path.is_file() else path.name, values, Architecture.from_config(values, name))
    found = models.find(name)
    if found:
        return Subject(found.name, dict(found.config), Architecture.from_config(found.config, found.name))
    if "/" not in name:
        models.preset(name)  # says which names come close
    values = _from_hub(name)
    return Subject(name, values, Architecture.from_config(values, name))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CourseError(f"{path} cannot be read; give a folder with a config.json, or such a file.") from None
    except ValueError:
        raise CourseError(f"{path} is not JSON; give the config.json of a transformers model.") from None
    if not isinstance(values, dict):
        raise CourseError(f"{path} holds no settings; give the config.json of a transformers model.")
    return values


def _from_hub(name: str) -> dict[str, Any]:
    from course_lib.hub import config_file

    return _read(config_file(name))
