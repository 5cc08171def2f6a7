"""A cleaned copy of a set of conversations: what can be mended without knowing the right answer.

Dropped are conversations with an empty question or answer, the second and every further copy of one, and those whose
question is in the test file. White space around texts goes. What needs somebody who knows (two answers to one
question, an answer that ends too early) stays, and so do near-duplicates: a question is worth having in two wordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.records.conversations import ASSISTANT, SYSTEM, USER, Conversation, Message, joined, parted
from course_lib.records.inspection import NEAR, duplicates, question_copies, trimmed


@dataclass(frozen=True)
class Cleaned:
    """The conversations that are left, and how many were changed or dropped for what reason (a key of KINDS)."""

    conversations: list[Conversation]
    done: dict[str, int]


def fix(
    conversations: Sequence[Conversation],
    test: Sequence[Conversation] | None = None,
    *,
    near: float = NEAR,
    trim: bool = True,
) -> Cleaned:
    """A cleaned copy; the conversations given stay as they are.

    ``test`` and ``near`` as in `inspect`. ``trim`` takes white space off both ends of every text: leave it out where a
    prompt and its completion are joined as they stand, because the space between them belongs to one of them.
    """
    done: dict[str, int] = {}
    left = list(conversations)
    if trim:
        after = [without_space(one) for one in left]
        done["white space"] = sum(new.messages != old.messages for new, old in zip(after, left, strict=True))
        left = after
    left = _kept(left, done, "empty", [k for k, one in enumerate(left) if _lacks(one, ASSISTANT)])
    left = _kept(left, done, "no question", [k for k, one in enumerate(left) if _lacks(one, USER)])
    left = _kept(left, done, "duplicate", list(duplicates(left)))
    if test:
        exact, close = question_copies(left, test, near)
        done["overlap"], done["near overlap"] = len(exact), len(close)
        left = _kept(left, {}, "", exact + close)
    return Cleaned(left, {kind: count for kind, count in done.items() if count})


def without_space(one: Conversation) -> Conversation:
    """The same conversation with no white space around its texts, and around the input that is part of the question."""
    messages = [Message(message.role, trimmed(message.content)) for message in one.messages]
    fields = one.fields
    instruction = parted(one.messages[-2].content, fields.get("input"))
    if instruction is not None:
        given = trimmed(fields["input"])
        messages[-2] = Message(USER, joined(trimmed(instruction), given))
        fields = {**fields, "input": given} if given else {k: v for k, v in fields.items() if k != "input"}
    if messages[0].role == SYSTEM and not messages[0].content and one.messages[0].content:
        del messages[0]  # it was nothing but white space
    return Conversation(tuple(messages), fields, one.where)


def _lacks(one: Conversation, role: str) -> bool:
    return any(message.role == role and not message.content.strip() for message in one.messages)


def _kept(conversations: list[Conversation], done: dict[str, int], kind: str, dropped: list[int]) -> list[Conversation]:
    """The conversations without those at the positions ``dropped``, which are counted."""
    done[kind] = len(dropped)
    gone = set(dropped)
    return [one for number, one in enumerate(conversations) if number not in gone]
