"""What a chat template does, found out by letting it write a short conversation.

A chat template is a program, and programs differ: one opens the answer of the assistant when it is asked to
(``add_generation_prompt``), another always, a third never; one ends an answer with a token of its own, another with the
tokenizer's end token, a third with nothing. None of that is written down anywhere but in the template, so it is tried:
a question and an answer that occur nowhere else go in, and the text around them says what the template adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError

QUESTION, ANSWER, SYSTEM = "qxquestionxq", "qxanswerxq", "qxsystemxq"

Render = Callable[..., str]  # (messages, reply) -> text; raises CourseError


def said(*contents: str, system: str = "") -> list[dict[str, str]]:
    """A conversation of these texts in turn, the user's first."""
    turns = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]
    return [{"role": "system", "content": system}, *turns] if system else turns


@dataclass(frozen=True)
class Layout:
    """What stands around an answer.

    ``opening`` is what has to be added to a prompt because the template does not open the answer when it is asked to.
    ``closing`` follows an answer to the end of the text; its first ``kept`` characters end the answer, with the token
    ``end``. Where ``adds_end``, the template ends answers with no token of the tokenizer, and its end token is put
    right behind them. ``why_not`` says why nothing can be learned from conversations in this layout, if nothing can.
    """

    opening: str = ""
    closing: str = ""
    kept: int = 0
    end: str = ""
    adds_end: bool = False
    why_not: str = ""


def layout(render: Render, marks: re.Pattern[str] | None, end_token: str) -> Layout:
    """Try the template. ``marks`` finds the tokenizer's special tokens in a text, ``end_token`` is its own end."""
    asked, opened = render(said(QUESTION)), render(said(QUESTION), reply=True)
    whole = render(said(QUESTION, ANSWER))
    at = whole.rfind(ANSWER)
    opening = ""
    if at >= 0 and asked == opened and whole.startswith(asked) and whole[len(asked) : at].strip():
        opening = whole[len(asked) : at]
    if at < 0:
        return Layout(end=end_token, why_not="it leaves out what the assistant says")
    if not whole.startswith(opened):
        extra = opened[len(_common(opened, whole)) :]
        return Layout(end=end_token, why_not=f"it opens an answer with {extra!r}, which conversations do not have")
    closing = whole[at + len(ANSWER) :]
    mark = marks.search(closing) if marks else None
    if mark:
        return Layout(opening, closing, mark.end(), mark.group())
    if not end_token:
        return Layout(opening, closing, why_not="neither it nor the tokenizer has a token that ends an answer")
    return Layout(opening, closing, end=end_token, adds_end=True)


def _common(first: str, second: str) -> str:
    same = next(
        (k for k, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return first[:same]


def found(render: Render, messages: list[dict[str, str]], text: str) -> bool | None:
    """Whether the template writes this text of the messages; None when it refuses them."""
    try:
        return text in render(messages)
    except CourseError:
        return None


def mark_pattern(tokens: Any) -> re.Pattern[str] | None:
    """A pattern that finds these tokens in a text, the longest first; None without any."""
    ordered = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
