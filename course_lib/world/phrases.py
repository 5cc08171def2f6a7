"""Sentences from patterns: the small machine that reviews, dialogues and the dialect share.

A pattern is a sentence with names in braces. A name is looked up in the slots (one value per text: who buys, what it
costs) and, failing that, in the pools (a new draw at every use: greetings, relations). `{The}` is `{the}` with a
capital. Pools may themselves hold patterns, so a few lists give many sentences.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from course_lib.assets import asset
from course_lib.world.lexicon import Noun

SLOT = re.compile(r"\{(\w+)\}")


@cache
def material(name: str) -> dict[str, Any]:
    """The word lists of one kind of document, ``assets/world/<name>.toml``."""
    return tomllib.loads(asset(f"world/{name}.toml").read_text(encoding="utf-8"))


def capital(text: str) -> str:
    """The text with its first letter in upper case, the rest unchanged."""
    return text[:1].upper() + text[1:]


def fill(pattern: str, slots: Mapping[str, str], pools: Mapping[str, Sequence[str]], rng: Random) -> str:
    """The pattern with every ``{name}`` replaced. Raises KeyError for a name that neither slots nor pools know."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in slots:
            return slots[name]
        if name in pools:
            return fill(rng.choice(pools[name]), slots, pools, rng)
        if name == name.lower():
            raise KeyError(name)
        return capital(fill(f"{{{name.lower()}}}", slots, pools, rng))

    return SLOT.sub(value, pattern)


def some(noun: Noun) -> str:
    """Several of a thing: "mangoes", or the mass noun as it is, "rice"."""
    return noun.singular if noun.mass else noun.plural


def weighted(rng: Random, weights: Mapping[str, int]) -> str:
    """One key, drawn in proportion to its weight; the order of the keys counts."""
    return rng.choices(list(weights), list(weights.values()))[0]
