"""The models that can be planned without downloading anything.

A preset is a model's own config.json, reduced to what decides memory, with its published number of parameters. The
table is `assets/model_presets.toml`; nothing is counted by hand: the tests build each model on torch's meta device,
where tensors have shapes and no bytes, and compare its count, the formula's and the published one, to the parameter.

    >>> preset("llama-2-7b").parameters
    6738415616

A hub id finds its preset too ("meta-llama/Llama-2-7b-hf"), so that naming a gated or a 140 GB repository costs nothing.

Left out: weights, tokenizers, licences.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from course_lib.memory import tables
from course_lib.memory.architecture import Architecture

NULL = "none"  # TOML has no null


@dataclass(frozen=True)
class Preset:
    """One model with a short name. ``config`` is what transformers' ``AutoConfig.for_model`` takes."""

    name: str
    title: str
    hub_id: str  # empty: not on the hub
    parameters: int  # published, a shared matrix counted once
    config: Mapping[str, Any]
    source: str  # where config and count can be looked up
    note: str = ""
    also: tuple[str, ...] = ()  # other hub ids and names of the same architecture

    @property
    def architecture(self) -> Architecture:
        """The shape of the model; costs microseconds."""
        return Architecture.from_config(self.config, self.name)

    @property
    def causal(self) -> bool:
        """Whether it predicts the next token; otherwise it is an encoder."""
        return self.architecture.causal


@functools.cache
def presets() -> Mapping[str, Preset]:
    """All presets by name, in the order of the table."""
    return MappingProxyType({name: _preset(name, entry) for name, entry in tables.read("model_presets.toml").items()})


def find(name: str) -> Preset | None:
    """The preset of a short name, another name, or a hub id, whatever their case; None if there is none.

    >>> find("Qwen/Qwen2.5-0.5B-Instruct").name
    'qwen2.5-0.5b'
    """
    return _names().get(name.strip().lower())


def preset(name: str) -> Preset:
    """The preset of this name. Raises CourseError naming what comes near."""
    found = find(name)
    if found is None:
        raise tables.unknown("model preset", name, presets())
    return found


def model_config(name: str) -> Any:
    """The transformers config of a preset. Raises CourseError for an unknown name."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**preset(name).config)


def _preset(name: str, entry: dict[str, Any]) -> Preset:
    config = {key: None if value == NULL else value for key, value in entry.pop("config").items()}
    also = tuple(entry.pop("also", ()))
    return Preset(name=name, config=MappingProxyType(config), also=also, **entry)


@functools.cache
def _names() -> dict[str, Preset]:
    """Every way to say a preset. The last part of a hub id is a name as well: `llama-2-7b-hf`."""
    names: dict[str, Preset] = {}
    for entry in presets().values():
        for name in filter(None, (entry.hub_id, *entry.also)):
            names.setdefault(name.lower(), entry)
            names.setdefault(name.lower().rpartition("/")[2], entry)
    return names | dict(presets())
