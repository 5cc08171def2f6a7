"""What a set of conversations is worth before anything is trained on it.

Nobody reads ten thousand examples, and the mistakes that spoil a training run repeat themselves, so they can be
counted: answers that are empty, that end in the middle, or that differ for the same question; examples that stand there
twice; and test questions among them, after which no score means anything. `inspect` finds them and says where they are.
*Problems* are to be mended before training. *Remarks* may be as they should: answers of one word are right for a
classification and a bad sign in a dialogue.

Left out: whether an answer is true. Read some.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from course_lib.errors import CourseError
from course_lib.records.conversations import ASSISTANT, Conversation, Fault
from course_lib.records.duplicates import folded, near_copies, near_twins, words

NEAR = 0.7
PROSE = 5  # words from which on an answer is expected to end like a sentence
HABIT = 0.8  # share of the answers in prose that makes a full stop their habit
PILE = 3  # answers of the greatest length and without an end: more than chance
# What ends an answer: a mark of any script, a closing bracket or quote, the end of code or of a table.
ENDED = re.compile(r"[.!?…:;。！？।؟)\]}>»”’\"'`*|_~]\s*$")


@dataclass(frozen=True)
class Kind:
    """A kind of finding: in words, whether it has to be mended, and whether `fix` can do so."""

    title: str
    serious: bool
    fixable: bool = False


KINDS: dict[str, Kind] = {
    "broken": Kind("records that cannot be read", True, True),
    "roles": Kind("messages in an order that is none", True, True),
    "empty": Kind("empty answers", True, True),
    "no question": Kind("empty questions", True, True),
    "duplicate": Kind("exact duplicates", True, True),
    "overlap": Kind("questions of the test file", True, True),
    "near overlap": Kind("nearly examples of the test file", True, True),
    "conflict": Kind("other answers to the same question", True),
    "cut off": Kind("answers cut off at one length", True),
    "too long": Kind("answers longer than the model's limit", True),
    "not encodable": Kind("conversations that the tokenizer refuses", True),
    "near duplicate": Kind("near-duplicates", False),
    "shortened": Kind("conversations whose questions will be cut", False),
    "one word": Kind("answers of one word", False),
    "unfinished": Kind("answers without an end", False),
    "white space": Kind("texts with white space around them", False, True),
}


@dataclass(frozen=True)
class Problem:
    """One finding: its kind (a key of KINDS), where it stands, in which field, and what it is."""

    kind: str
    where: str
    field: str
    detail: str

    @property
    def serious(self) -> bool:
        """Whether it has to be mended before training."""
        return KINDS[self.kind].serious

    @property
    def fixable(self) -> bool:
        """Whether `fix` mends it."""
        return KINDS[self.kind].fixable

    def __str__(self) -> str:
        return ", ".join(part for part in (self.where, self.field) if part) + f": {self.detail}"


class Encoded(Protocol):
    """A conversation as tokens, and which of them are learned (`prompts.chat.Encoded` is one)."""

    @property
    def ids(self) -> Sequence[int]:
        """The tokens."""

    @property
    def learn(self) -> Sequence[bool]:
        """For each token whether it counts for the loss."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of conversations and those learned of them, in their order, and the model's limit (None: not known)."""

    tokens: tuple[int, ...]
    learned: tuple[int, ...]
    limit: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Median, 95% and maximum of the lengths; how many are beyond the limit; tokens and those learned within it."""
        longest = self.limit or max(self.tokens)
        return {
            "median": int(np.median(self.tokens)),
            "p95": int(np.percentile(self.tokens, 95, method="higher")),
            "max": max(self.tokens),
            "limit": self.limit,
            "cut": sum(self.limit is not None and count > self.limit for count in self.tokens),
            "tokens": int(np.minimum(self.tokens, longest).sum()),
            "learned": int(np.minimum(self.learned, longest).sum()),
        }


@dataclass(frozen=True)
class Inspection:
    """What was found in a set of conversations."""

    records: int
    roles: Mapping[str, int]
    turns: Mapping[int, int]  # how many conversations have so many answers
    lengths: Lengths | None
    problems: tuple[Problem, ...]

    @property
    def serious(self) -> list[Problem]:
        """What has to be mended before training."""
        return [one for one in self.problems if one.serious]

    def counts(self) -> dict[str, int]:
        """How many findings of each kind, in the order of KINDS, without those that there are none of."""
        found = Counter(one.kind for one in self.problems)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def of(self, kind: str) -> list[Problem]:
        """The findings of one kind, in the order of the file."""
        return [one for one in self.problems if one.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        marks = [asdict(one) | {"serious": one.serious, "fixable": one.fixable} for one in self.problems]
        lengths = self.lengths.to_json() if self.lengths else None
        return {
            "records": self.records,
            "roles": dict(self.roles),
            "turns": {str(count): number for count, number in self.turns.items()},
            "lengths": lengths,
            "counts": self.counts(),
            "problems": marks,
        }


def inspect(
    conversations: Sequence[Conversation],
    encode: Callable[[list[dict[str, str]]], Encoded] | None = None,
    limit: int | None = None,
    test: Sequence[Conversation] | None = None,
    *,
    faults: Sequence[Fault] = (),
    near: float = NEAR,
) -> Inspection:
    """Look a set of conversations over.

    ``encode`` makes tokens of messages (raising CourseError for what it refuses) and ``limit`` is how many a model
    takes; without ``encode`` nothing is said about lengths. ``test`` are the conversations that a model will be tested
    on, ``faults`` the records that could not be read, ``near`` the similarity from which texts count as nearly equal.
    """
    found = [Problem(one.kind, one.where, one.field, one.detail) for one in faults]
    found += [problem for number, one in enumerate(conversations) for problem in _alone(one, _place(one, number))]
    found += _together(conversations, near)
    found += _ends(conversations)
    if test:
        found += _overlap(conversations, test, near)
    lengths = None
    if encode:
        lengths, more = _measured(conversations, encode, limit)
        found += more
    turns = Counter(sum(message.role == ASSISTANT for message in one.messages) for one in conversations)
    roles = Counter(message.role for one in conversations for message in one.messages)
    return Inspection(len(conversations), dict(roles), dict(sorted(turns.items())), lengths, tuple(found))


def question_copies(
    conversations: Sequence[Conversation], test: Sequence[Conversation], near: float = NEAR
) -> tuple[list[int], list[int]]:
    """Positions of the conversations whose question is one of the test's, and of those nearly the same as one of it.

    Nearly the same with question and answer together: that 7 + 5 is asked where the test asks 7 + 6 is no copy.
    """
    known = {folded(one.asked) for one in test}
    exact = [number for number, one in enumerate(conversations) if folded(one.asked) in known]
    rest = sorted(set(range(len(conversations))) - set(exact))
    close = near_copies([_whole(conversations[k]) for k in rest], [_whole(one) for one in test], near)
    return exact, [rest[k] for k in close]


def duplicates(conversations: Sequence[Conversation]) -> dict[int, int]:
    """For each conversation that says the same as an earlier one, both positions; case and white space do not count."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    found = {}
    for number, one in enumerate(conversations):
        key = tuple((message.role, folded(message.content)) for message in one.messages)
        if first.setdefault(key, number) != number:
            found[number] = first[key]
    return found


def _whole(one: Conversation) -> str:
    return "\n".join(message.content for message in one.messages)


def _place(one: Conversation, number: int) -> str:
    return one.where or f"conversation {number + 1}"


def _alone(one: Conversation, where: str) -> Iterator[Problem]:
    """What can be said about a conversation by itself."""
    for message in one.messages:
        empty, answer = not message.content.strip(), message.role == ASSISTANT
        field = "answer" if answer else "question" if message.role == "user" else "system"
        if empty and field != "system":
            yield Problem("empty" if answer else "no question", where, field, "there is nothing: fill it in.")
        elif not empty and trimmed(message.content) != message.content:
            yield Problem("white space", where, field, "white space before or after the text.")
    if len(words(one.reply)) == 1:
        yield Problem("one word", where, "answer", f"only {_short(one.reply)}.")


def _together(conversations: Sequence[Conversation], near: float) -> Iterator[Problem]:
    """What only comparing shows: duplicates, near-duplicates, and questions that have several answers."""
    places = [_place(one, number) for number, one in enumerate(conversations)]
    same = duplicates(conversations)
    for number, first in same.items():
        yield Problem("duplicate", places[number], "", f"the same as {places[first]}.")
    answered: dict[str, int] = {}
    for number, one in enumerate(conversations):
        first = answered.setdefault(folded(one.asked), number)
        earlier = conversations[first]
        if number not in same and folded(earlier.reply) != folded(one.reply):
            detail = f"{_short(one.reply)}, but {_short(earlier.reply)} to the same question in {places[first]}."
            yield Problem("conflict", places[number], "answer", detail)
    rest = [number for number in range(len(conversations)) if number not in same]
    texts = [_whole(conversations[number]) for number in rest]
    for number, first in near_twins(texts, near):
        yield Problem("near duplicate", places[rest[number]], "", f"nearly the same as {places[rest[first]]}.")


def _ends(conversations: Sequence[Conversation]) -> Iterator[Problem]:
    """Answers in prose that do not end where most of them do, and those that all stop at the greatest length."""
    prose = [number for number, one in enumerate(conversations) if len(words(one.reply)) >= PROSE]
    open_ended = [number for number in prose if not ENDED.search(conversations[number].reply)]
    if not open_ended:
        return
    longest = max(len(conversations[number].reply) for number in prose)
    pile = [number for number in open_ended if len(conversations[number].reply) == longest]
    if len(pile) < PILE:
        pile = []
    habit = len(prose) - len(open_ended) >= HABIT * len(prose) and len(prose) > 2 * PROSE
    for number in open_ended:
        where, end = _place(conversations[number], number), _short(conversations[number].reply[-24:], end=True)
        if number in pile:
            detail = f"it stops at {end}, as {len(pile)} answers do after {longest:,} characters."
            yield Problem("cut off", where, "answer", detail)
        elif habit:
            yield Problem("unfinished", where, "answer", f"it stops at {end}, without a mark that ends a sentence.")


def _overlap(conversations: Sequence[Conversation], test: Sequence[Conversation], near: float) -> Iterator[Problem]:
    exact, close = question_copies(conversations, test, near)
    for number in exact:
        yield Problem("overlap", _place(conversations[number], number), "question", "it is in the test file too.")
    for number in close:
        where = _place(conversations[number], number)
        yield Problem("near overlap", where, "", "nearly the same is in the test file, question and answer.")


def _measured(
    conversations: Sequence[Conversation], encode: Callable[[list[dict[str, str]]], Encoded], limit: int | None
) -> tuple[Lengths | None, list[Problem]]:
    """How long the conversations are in tokens, and which of them are too long."""
    tokens, learned, found = [], [], []
    for number, one in enumerate(conversations):
        where = _place(one, number)
        try:
            encoded = encode(one.dicts())
        except CourseError as error:
            found.append(Problem("not encodable", where, "", str(error)))
            continue
        tokens.append(len(encoded.ids))
        learned.append(sum(encoded.learn))
        if limit is None or len(encoded.ids) <= limit:
            continue
        answer = _last_answer(encoded.learn)
        if answer >= limit:
            detail = f"{answer:,} tokens, but the model takes {limit:,} with the question: shorten it."
            found.append(Problem("too long", where, "answer", detail))
        else:
            detail = f"{len(encoded.ids):,} tokens, of which {len(encoded.ids) - limit:,} have to be cut."
            found.append(Problem("shortened", where, "question", detail))
    return (Lengths(tuple(tokens), tuple(learned), limit) if tokens else None), found


def _last_answer(learn: Sequence[bool]) -> int:
    """How many tokens the last answer has: the last stretch of tokens that are learned."""
    end = len(learn)
    while end and not learn[end - 1]:
        end -= 1
    begin = end
    while begin and learn[begin - 1]:
        begin -= 1
    return end - begin


def trimmed(text: str) -> str:
    """A text without white space around it; where the first of several lines is indented, it stays so.

    >>> trimmed("  yes  "), trimmed("\\n\\n    def f():\\n        pass\\n")
    ('yes', '    def f():\\n        pass')
    """
    text = re.sub(r"\A(?:[^\S\n]*\n)+", "", text.rstrip())
    return text if "\n" in text else text.strip()


def _short(text: str, end: bool = False, width: int = 40) -> str:
    """A text in quotes on one line, or its beginning or end."""
    line = " ".join(text.split())
    if end:
        return repr("..." + line)
    return repr(line if len(line) <= width else line[: width - 3] + "...")
