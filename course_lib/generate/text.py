"""From tokens back to text, while they come.

A token may be a part of a character (bytes), and a stop string may begin in the middle of one token and end in the
middle of another. So a text is decoded together with the end of its prompt, without which some tokenizers drop a space,
and what could still change is held back: bytes of an unfinished character, an end that may become a stop string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from course_lib.generate.decoding import Completion, Finish

BEFORE = 4  # tokens of the prompt to decode with
UNFINISHED = "\ufffd"  # what bytes that are no character (yet) decode to


def decoder_of(tokenizer: Any) -> Callable[[list[int]], str]:
    """Token ids to text, special tokens left out. The library's own entry point takes several times as long."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return lambda ids: fast.decode(ids, skip_special_tokens=True)
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class Line:
    """One text being written: its tokens so far, and whether it is finished."""

    def __init__(
        self,
        prompt: Sequence[int],
        sample: int,
        stop: tuple[str, ...],
        decode: Callable[[list[int]], str],
        hidden: frozenset[int],
    ) -> None:
        self.prompt, self.sample, self.stop, self.decode, self.hidden = prompt, sample, stop, decode, hidden
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish: Finish | None = None
        self._before = [token for token in prompt if token not in hidden][-BEFORE:]
        self._visible: list[int] = []
        # A visible token is at least one byte, so a stop string that has just ended lies within that many tokens.
        self._window = max((len(text.encode()) for text in stop), default=0) + BEFORE

    def add(self, token: int, logprob: float, ends: frozenset[int], longest: int) -> None:
        """Take the next token; sets ``finish`` when it is the last one."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        if token not in self.hidden:
            self._visible.append(token)
        if token in ends:
            self.finish = "end"
        elif self.stop and self._stops():
            self.finish = "stop"
        elif len(self.ids) == longest:
            self.finish = "length"

    def _stops(self) -> bool:
        tail = self._visible if len(self._visible) < self._window else self._visible[-self._window :]
        recent = self.decode(tail)
        return any(text in recent for text in self.stop) and self._cut(self._whole()) is not None

    def _whole(self) -> str:
        return self.decode(self._before + self._visible)[len(self.decode(self._before)) :]

    def _cut(self, text: str) -> int | None:
        return min((place for place in (text.find(stop) for stop in self.stop) if place >= 0), default=None)

    def text(self) -> str:
        """What is written so far, up to a stop string."""
        whole = self._whole()
        return whole[: self._cut(whole)]

    def settled(self) -> str:
        """The part of `text` that no further token changes."""
        text = self.text()
        if self.finish is not None:
            return text
        text = text.rstrip(UNFINISHED)
        held = (k for stop in self.stop for k in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:k]))
        return text[: len(text) - max(held, default=0)]

    def completion(self) -> Completion:
        """The finished line as callers get it."""
        assert self.finish is not None
        return Completion(self.text(), tuple(self.ids), tuple(self.logprobs), self.finish, len(self.prompt))
