"""From conversations to what is trained on and what is tested on, and to the scores of answers.

The test is cut off before anything else happens, and training examples that are copies of test examples are dropped, or
a model would be praised for its memory. What counts as a copy: the same question after folding case and white space, or
questions and answers that share seven in ten of their word triples (`course_lib.records.duplicates`). A question that
is the same for everybody ("Write a headline for this review.") is no copy: its input is part of the question.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib.batching import Item
from course_lib.errors import CourseError
from course_lib.metrics.report import METRICS, TaskReport
from course_lib.prompts import Chat
from course_lib.records.conversations import Conversation
from course_lib.records.duplicates import exact_copies, near_copies

if TYPE_CHECKING:
    from course_lib.instruct.asking import Asked

NEAR = 0.7
GENERAL = {"exact": "exact match", "f1": "token F1", "rouge": "ROUGE-L"}  # for answers that do not say how to be scored
ROOM = 16  # tokens an answer may be longer than the longest right one


@dataclass(frozen=True)
class Examples:
    """Conversations to learn from and to test on; ``copies`` of test examples were dropped from the others, and
    ``silent`` ones, whose answer is empty."""

    train: tuple[Conversation, ...]
    test: tuple[Conversation, ...]
    copies: int = 0
    silent: int = 0

    @property
    def fingerprint(self) -> str:
        """The sha256 of what is learned and tested, in this order: equal for equal data, whatever its file's format."""
        plain = [[one.dicts() for one in part] for part in (self.train, self.test)]
        return hashlib.sha256(json.dumps(plain, ensure_ascii=False).encode()).hexdigest()


def hold_out(
    conversations: Sequence[Conversation],
    test: Sequence[Conversation] | None = None,
    share: float = 0.1,
    most: int = 200,
    seed: int = 0,
) -> Examples:
    """Cut off ``share`` of the conversations, ``most`` at most, for testing; or take ``test`` as it is.

    Raises CourseError where too few are left on a side.
    """
    if not 0 < share < 1:
        raise CourseError(
            f"The test share must lie between 0 and 1, but it is {share}: 0.1 is a tenth of the examples."
        )
    rest = list(conversations)
    if test is None:
        if len(rest) < 4:
            raise CourseError(f"{len(rest)} examples are too few to learn from and to test on: give at least 4.")
        random.Random(f"hold out {seed}").shuffle(rest)
        cut = max(1, min(most, round(share * len(rest))))
        test, rest = rest[:cut], rest[cut:]
    if not test:
        raise CourseError("There is no example to test on: give a test file that is not empty, or none.")
    known = exact_copies([one.asked for one in rest], of=[one.asked for one in test])
    known += near_copies([_whole(one) for one in rest], of=[_whole(one) for one in test], threshold=NEAR)
    copies = set(known)
    kept = [one for k, one in enumerate(rest) if k not in copies]
    if not kept:
        raise CourseError("Every training example is a copy of a test example: give different ones.")
    return Examples(tuple(kept), tuple(test), len(copies))


def items(chat: Chat, conversations: Sequence[Conversation], limit: int) -> tuple[list[Item], int]:
    """Token ids of each conversation and which of them count; and how many conversations were cut to ``limit`` tokens.

    Raises CourseError, naming file and line, for an answer that does not fit.
    """
    where = [one.where or f"example {k + 1}" for k, one in enumerate(conversations)]
    encoded = chat.encode_all([one.dicts() for one in conversations], limit, where)
    return [(one.ids, one.learn) for one in encoded], sum(one.cut > 0 for one in encoded)


def evaluate(assistant: Asked, conversations: Sequence[Conversation], name: str = "", max_new: int = 64) -> TaskReport:
    """Have the conversations' last answers written, and score them (`scored`)."""
    answers = assistant.answer([one.dicts()[:-1] for one in conversations], max_new=max_new)
    return scored(conversations, answers, name)


def scored(conversations: Sequence[Conversation], answers: Sequence[str], name: str = "") -> TaskReport:
    """The scores of answers to these conversations.

    Conversations whose fields name a ``metric`` are scored by it, task by task; otherwise all of them by three general
    ones: exact match, token F1 and ROUGE-L.
    """
    if all(one.fields.get("metric") in METRICS for one in conversations):
        return TaskReport.of([record(one) for one in conversations], answers, name)
    pairs = [
        ({"task": title, "metric": metric, "output": one.reply}, answer)
        for metric, title in GENERAL.items()
        for one, answer in zip(conversations, answers, strict=True)
    ]
    return TaskReport.of([one for one, _ in pairs], [answer for _, answer in pairs], name)


def record(conversation: Conversation) -> dict[str, Any]:
    """A conversation with a metric as `course_lib.metrics.report` scores it."""
    return {"task": "", **conversation.fields, "output": conversation.reply}


def longest_answer(chat: Chat, conversations: Sequence[Conversation]) -> int:
    """How many tokens an answer to these may have: as many as the longest right one, and some more."""
    answers = chat.tokenizer([one.reply for one in conversations], add_special_tokens=False, verbose=False)["input_ids"]
    return max(map(len, answers), default=0) + ROOM


def _whole(conversation: Conversation) -> str:
    return f"{conversation.asked}\n{conversation.reply}"
