"""A conversation: what a model that answers is trained on.

    system      (optional, first)  how to behave
    user        what is asked
    assistant   what is answered; user and assistant take turns, and the assistant has the last word

Every format of instruction data says this and little else, so they are all read into one type and written from it
(`exchange`). What a format has beyond the messages, such as a category or an id, travels along in ``fields``; what it
says by its shape, such as Alpaca's separate "input", is kept there too, so that nothing is lost on the way.

Left out: tools, pictures, several answers to one question, and answers that are not to be learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.errors import CourseError

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")
OTHER_WORDS = {  # what other programs call the three
    "human": USER,
    "gpt": ASSISTANT,
    "bot": ASSISTANT,
    "ai": ASSISTANT,
    "model": ASSISTANT,
    "chatgpt": ASSISTANT,
    "developer": SYSTEM,
}
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
SEPARATOR = "\n\n"  # between an instruction and its input


class Fault(CourseError):
    """What is wrong with one record: where it stands, which field, and what to do about it."""

    def __init__(self, where: str, field: str, detail: str, kind: str = "broken") -> None:
        place = ", ".join(part for part in (where, f"field {field!r}" if field else "") if part)
        super().__init__(f"{place}: {detail}" if place else detail)
        self.where, self.field, self.detail, self.kind = where, field, detail, kind


@dataclass(frozen=True)
class Message:
    """One turn: who speaks ("system", "user" or "assistant"), and what is said."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Messages in a valid order (see above); raises `Fault` for any other.

    ``fields`` is what its record had beside the messages; ``where`` says where that stands ("a.jsonl, line 12") and
    does not count when two conversations are compared.
    """

    messages: tuple[Message, ...]
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_order(self)

    @classmethod
    def of(cls, instruction: str, input: str = "", output: str = "", system: str = "", where: str = "") -> Conversation:
        """One question and its answer; the input follows the instruction after an empty line.

        >>> Conversation.of("Translate.", "Guten Tag", "Good day").dicts()[0]["content"]
        'Translate.\\n\\nGuten Tag'
        """
        asked = joined(instruction, input)
        spoken = ((SYSTEM, system),) * bool(system) + ((USER, asked), (ASSISTANT, output))
        return cls(tuple(Message(*turn) for turn in spoken), {"input": input} if input else {}, where)

    def dicts(self) -> list[dict[str, str]]:
        """The messages as transformers takes them."""
        return [{"role": one.role, "content": one.content} for one in self.messages]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the last answer."""
        return self.messages[:-1]

    @property
    def reply(self) -> str:
        """The last answer."""
        return self.messages[-1].content

    @property
    def asked(self) -> str:
        """The prompt as one text, to compare it with others."""
        return "\n".join(one.content for one in self.prompt)


def joined(instruction: str, input: str) -> str:
    """What is asked: the instruction, and after an empty line its input; or the one of them that there is."""
    return SEPARATOR.join(part for part in (instruction, input) if part)


def parted(asked: str, input: Any) -> str | None:
    """The instruction that `joined` made ``asked`` of with this input; None where it did not."""
    if not isinstance(input, str) or not input:
        return None
    if asked == input:
        return ""
    instruction = asked.removesuffix(SEPARATOR + input)
    return instruction if instruction and instruction != asked else None


def text_of(value: Any, where: str, field: str) -> str:
    """A value that has to be text; `Fault` names what it is instead."""
    if not isinstance(value, str):
        if value is None:
            raise Fault(where, field, "there is nothing (null): write the text, or leave the record out.")
        kind = KINDS.get(type(value), type(value).__name__)
        fix = "put it in quotes" if isinstance(value, int | float) else "only text can be learned from"
        raise Fault(where, field, f"{kind} where text should be: {fix}.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Fault(where, field, "half of a character (a lone surrogate): remove it.")
    return value


def messages_of(turns: Any, where: str, field: str, role: str = "role", content: str = "content") -> list[Message]:
    """The messages in a list of objects that call role and content by these names; the order is not checked here."""
    if not isinstance(turns, list):
        raise Fault(where, field, f"{_kind(turns)} where a list of messages should be: write [{{...}}, {{...}}].")
    found = []
    for number, turn in enumerate(turns):
        place = f"{field}[{number}]"
        if not isinstance(turn, dict):
            hint = f'write {{"{role}": ..., "{content}": ...}}'
            raise Fault(where, place, f"{_kind(turn)} where a message should be: {hint}.")
        if turn.get("weight") == 0:
            raise Fault(where, f"{place}.weight", "an answer that is not to be learned: the course learns all of them.")
        if turn.get("tool_calls") or turn.get("function_call"):
            raise Fault(where, place, "a call of a tool: only text can be learned from, so leave the record out.")
        for name in (role, content):
            if name not in turn:
                has = ", ".join(repr(key) for key in turn) or "nothing"
                raise Fault(where, place, f"the message has no {name!r}, only {has}: add it.")
        speaker = text_of(turn[role], where, f"{place}.{role}")
        found.append(Message(speaker, text_of(turn[content], where, f"{place}.{content}")))
    return found


def _check_order(conversation: Conversation) -> None:
    """System first or never, then user and assistant in turn, the assistant last."""
    where, spoken = conversation.where, conversation.messages
    for number, message in enumerate(spoken):
        if message.role not in ROLES:
            meant = OTHER_WORDS.get(message.role.strip().lower(), message.role.strip().lower())
            hint = f"write {meant!r}" if meant in ROLES else f"the roles are {', '.join(ROLES)}"
            raise _disorder(where, number, f"there is no role {message.role!r}: {hint}.")
    turns: Sequence[Message] = spoken[1:] if spoken and spoken[0].role == SYSTEM else spoken
    skipped = len(spoken) - len(turns)
    for number, message in enumerate(turns):
        due = (USER, ASSISTANT)[number % 2]
        if message.role == SYSTEM:
            raise _disorder(where, number + skipped, "a system message that is not the first: move it there.")
        if message.role != due:
            hint = "join the two" if number else f"begin with a message of the {due}"
            before = f"two messages of the {message.role} in a row" if number else f"the {message.role} speaks first"
            raise _disorder(where, number + skipped, f"{before}: {hint}.")
    if not turns:
        raise Fault(where, "messages", "there is no question and no answer: write both.", "roles")
    if turns[-1].role != ASSISTANT:
        raise _disorder(where, len(spoken) - 1, "the conversation ends without an answer: add the assistant's.")


def _disorder(where: str, number: int, detail: str) -> Fault:
    return Fault(where, f"messages[{number}].role", detail, "roles")


def _kind(value: Any) -> str:
    return "nothing (null)" if value is None else KINDS.get(type(value), type(value).__name__)
