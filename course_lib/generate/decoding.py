"""How to pick the next token: the settings, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Decoding:
    """How tokens are picked and when a completion ends.

    max_new: at most that many tokens. temperature: scores are divided by it before drawing; 0 takes the likeliest
    token (greedy). top_k: draw among that many likeliest tokens (0: all). top_p: draw among the fewest likeliest tokens
    that have this probability together (Holtzman et al. 2020). repetition_penalty: scores of tokens that were there
    already are divided by it where positive, multiplied where negative (Keskar et al. 2019). stop: strings that end a
    completion and are not part of its text. n: completions of each prompt. seed: of the draws.

    Raises CourseError for values that mean nothing.
    """

    max_new: int = 64
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    n: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("max_new", 1), ("n", 1), ("top_k", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise CourseError(f"{name} must be a whole number from {least} on, not {value!r}.")
        for name in ("temperature", "top_p", "repetition_penalty"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise CourseError(f"{name} must be a number, not {value!r}.")
        if self.temperature < 0:
            raise CourseError(
                f"temperature must not be negative, as {self.temperature} is: 0 takes the likeliest token."
            )
        if not 0 < self.top_p <= 1:
            raise CourseError(f"top_p is a probability above 0 and at most 1, not {self.top_p}.")
        if self.repetition_penalty <= 0:
            raise CourseError(f"repetition_penalty must be above 0 (1: none), not {self.repetition_penalty}.")
        if isinstance(self.stop, str) or not isinstance(self.stop, Sequence):
            raise CourseError(f"stop is a tuple of strings: write stop=({self.stop!r},).")
        object.__setattr__(self, "stop", tuple(self.stop))
        if not all(isinstance(text, str) and text for text in self.stop):
            raise CourseError(f"Each stop string needs at least one character, not so in {self.stop!r}.")
        if self.n > 1 and self.temperature == 0:
            raise CourseError(f"Greedy decoding gives {self.n} times the same: set a temperature above 0, or n=1.")


Finish = Literal["stop", "end", "length"]


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt.

    text: without the stop string. ids: every token written, those of the stop string and the end token included.
    logprobs: the model's own log-probability of each (before temperature, penalty and filters). finish: "stop" (a stop
    string), "end" (the model's end token) or "length" (max_new). prompt_tokens: the prompt's length.
    """

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    prompt_tokens: int
