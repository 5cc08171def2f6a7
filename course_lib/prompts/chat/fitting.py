"""A conversation that is too long, made to fit without losing any of its last answer.

The oldest turns go first, a question with its answer; the system message stays. If one question and its answer are
still too long, the longest of what is asked loses its middle: instructions stand at the beginning of a text, and what
is wanted often at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_lib.errors import CourseError

GAP = " ... "
SHORTEST = 24  # characters that must stay of a question: with less, the answer would be an answer to nothing

Messages = Sequence[Mapping[str, str]]


def fitted(messages: Messages, limit: int, encode: Callable[[Messages], Any]) -> Any:
    """What ``encode`` makes of the conversation, shortened to at most ``limit`` ids. Raises CourseError."""
    system, turns = _parts(messages)
    while True:
        made = encode([*system, *turns])
        if len(made.ids) <= limit:
            return made
        if len(turns) < 3:
            break
        turns = turns[2:]
    kept = [dict(message) for message in (*system, *turns)]
    asked = [message for message in kept if message["role"] != "assistant"]
    for message in sorted(asked, key=lambda one: -len(one["content"])):
        best = _shortened(message, limit, lambda: encode(kept))
        if best is not None:
            return best
    answer = f"The answer has {sum(made.learn):,} tokens and" if turns[-1]["role"] == "assistant" else "The prompt"
    raise CourseError(f"{answer} does not fit into {limit:,} tokens with what is asked: shorten it or raise the limit.")


def _shortened(message: dict[str, str], limit: int, encode: Callable[[], Any]) -> Any:
    """Shorten one message as little as is needed; None, and the message at its shortest, if that is not enough."""
    whole, best = message["content"], None
    low, high = min(SHORTEST, len(whole)), len(whole)
    while low <= high:
        size = (low + high) // 2
        message["content"] = _shorter(whole, size)
        made = encode()
        if len(made.ids) <= limit:
            best, low = made, size + 1
        else:
            high = size - 1
    return best


def _parts(messages: Messages) -> tuple[list[Mapping[str, str]], list[Mapping[str, str]]]:
    first = 1 if messages and messages[0]["role"] == "system" else 0
    return list(messages[:first]), list(messages[first:])


def _shorter(text: str, size: int) -> str:
    """The beginning and the end of a text, ``size`` characters in all, cut between words where there are any."""
    if size >= len(text):
        return text
    head, tail = text[: size // 2], text[len(text) - (size - size // 2) :]
    head = head.rsplit(None, 1)[0] if len(head.split()) > 1 else head
    tail = tail.split(None, 1)[1] if len(tail.split()) > 1 else tail
    return head + GAP + tail
