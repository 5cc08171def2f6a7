"""What a record of each format looks like, and how it becomes a conversation and back.

    chat               {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}
                       what services that train models take; ShareGPT's {"conversations": [{"from", "value"}]} is read
    alpaca             {"instruction": ..., "input": ..., "output": ...}, earlier turns in "history" as pairs
    prompt-completion  {"prompt": ..., "completion": ...}, both texts or both lists of messages
    csv                the columns prompt and completion, and where they are needed system and history (JSON)

Each may have a "system" text, and any other field beside its own. A field that would be mistaken for one of the
format's own, or that a cell of a table cannot hold as it is, goes into an object called "more_fields".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from course_lib.records.conversations import (
    ASSISTANT,
    OTHER_WORDS,
    SYSTEM,
    USER,
    Conversation,
    Fault,
    Message,
    joined,
    messages_of,
    parted,
    text_of,
)

Row = Mapping[str, Any]
MORE = "more_fields"
BESIDE = "message_fields"  # what the messages of a chat had beside role and content, in a list as long as theirs


@dataclass(frozen=True)
class Shape:
    """A format: the fields that every record has, those that only it understands, and the two directions.

    ``confusing`` are names of other formats' fields, by which a record of this one would be taken for theirs.
    """

    name: str
    needs: tuple[str, ...]
    own: tuple[str, ...]
    confusing: tuple[str, ...]
    read: Callable[[Row, str], Conversation]
    write: Callable[[Conversation], dict[str, Any]]

    def fits(self, row: Any) -> bool:
        """Whether a row has the fields of this format."""
        return isinstance(row, dict) and all(name in row for name in self.needs)


def _finished(row: Row, where: str, own: tuple[str, ...], messages: list[Message], **kept: Any) -> Conversation:
    """The conversation with everything that the row has beside the fields of its format."""
    fields = {name: value for name, value in row.items() if name not in own and name != MORE}
    system = row.get("system")
    if system:
        if messages and messages[0].role == SYSTEM:
            raise Fault(where, "system", "a second system message: keep one of the two.")
        messages = [Message(SYSTEM, text_of(system, where, "system")), *messages]
    return Conversation(tuple(messages), fields | (_decoded(row, MORE, where, dict) or {}) | kept, where)


def _decoded(row: Row, name: str, where: str, kind: type) -> Any:
    """A list or an object, which a cell of a table holds in JSON; None where there is nothing."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise Fault(where, name, "the cell holds no valid JSON: mend it or leave it empty.") from None
    if value is not None and not isinstance(value, kind):
        what = "an object" if kind is dict else "a list"
        raise Fault(where, name, f"{what} should be here, in JSON: mend it or leave it empty.")
    return value or None


def _beside(row: Row, turns: list[dict[str, Any]], where: str, names: tuple[str, str]) -> dict[str, Any]:
    """What messages have beside role and content, as one field; nothing (null) does not count."""
    found = [{key: value for key, value in one.items() if key not in names and value is not None} for one in turns]
    if not any(found):
        return {}
    if BESIDE in row:
        raise Fault(where, BESIDE, "the course keeps what messages have beside their content here: rename the field.")
    return {BESIDE: found}


def _read_chat(row: Row, where: str) -> Conversation:
    own = "messages" if "messages" in row else "conversations"
    names = ("role", "content")
    turns = row[own]
    listed = turns if isinstance(turns, list) else []
    if own == "conversations" and any(isinstance(one, dict) and "from" in one for one in listed):
        names = ("from", "value")
    messages = messages_of(turns, where, own, *names)
    if names[0] == "from":
        messages = [Message(OTHER_WORDS.get(one.role, one.role), one.content) for one in messages]
    return _finished(row, where, (own, "system"), messages, **_beside(row, turns, where, names))


def _write_chat(one: Conversation) -> dict[str, Any]:
    fields = dict(one.fields)
    beside = fields.get(BESIDE)
    turns: list[dict[str, Any]] = list(one.dicts())
    fits = isinstance(beside, list) and len(beside) == len(turns) and any(beside)
    if isinstance(beside, list) and fits and all(isinstance(extra, dict) and _harmless(extra) for extra in beside):
        turns = [turn | extra for turn, extra in zip(turns, beside, strict=True)]
        del fields[BESIDE]
    return {"messages": turns} | placed(fields, CHAT)


def _harmless(extra: dict[str, Any]) -> bool:
    """Whether reading a message gives these back: no names of its own, nothing that is left out or refused."""
    refused = extra.get("weight") == 0 or extra.get("tool_calls") or extra.get("function_call")
    return not refused and not {"role", "content"} & set(extra) and None not in extra.values()


def _read_flat(row: Row, where: str, asked: str, answer: str, own: tuple[str, ...], **kept: Any) -> Conversation:
    """One question and answer, after the pairs of ``history``."""
    messages = []
    for number, pair in enumerate(_decoded(row, "history", where, list) or ()):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Fault(where, f"history[{number}]", "an earlier turn is a pair of texts: write [question, answer].")
        messages += [
            Message(role, text_of(text, where, f"history[{number}]"))
            for role, text in zip((USER, ASSISTANT), pair, strict=True)
        ]
    return _finished(row, where, own, [*messages, Message(USER, asked), Message(ASSISTANT, answer)], **kept)


def _before(one: Conversation, format: str) -> dict[str, Any]:
    """The fields system and history of a format that has no list of messages."""
    messages, found = one.messages, {}
    if messages[0].role == SYSTEM:
        if not messages[0].content:
            raise Fault(
                one.where, "messages[0].content", f"an empty system message, which {format} cannot hold: remove it."
            )
        found["system"] = messages[0].content
        messages = messages[1:]
    spoken = [message.content for message in messages[:-2]]
    history = [list(pair) for pair in zip(spoken[::2], spoken[1::2], strict=True)]
    return found | ({"history": history} if history else {})


def _read_alpaca(row: Row, where: str) -> Conversation:
    instruction, output = (text_of(row[name], where, name) for name in ("instruction", "output"))
    given = row.get("input")
    given = "" if given is None else text_of(given, where, "input")
    asked = joined(instruction, given)
    return _read_flat(row, where, asked, output, ALPACA.own, **({"input": given} if given else {}))


def _write_alpaca(one: Conversation) -> dict[str, Any]:
    fields = dict(one.fields)
    asked = one.messages[-2].content
    instruction = parted(asked, fields.get("input"))
    given = "" if instruction is None else fields.pop("input")
    row = {"instruction": asked if instruction is None else instruction, "input": given, "output": one.reply}
    return row | _before(one, "alpaca") | placed(fields, ALPACA)


def _read_prompt(row: Row, where: str) -> Conversation:
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, list) and isinstance(completion, list):
        if len(completion) != 1:
            raise Fault(where, "completion", f"{len(completion)} messages where one should be: move the others up.")
        messages = [part for name in ("prompt", "completion") for part in messages_of(row[name], where, name)]
        kept = _beside(row, [*prompt, *completion], where, ("role", "content"))
        return _finished(row, where, PROMPT.own, messages, **kept)
    if isinstance(prompt, list) != isinstance(completion, list):
        raise Fault(
            where, "completion", "one of prompt and completion is a list and the other is not: make both texts."
        )
    return _finished(
        row,
        where,
        PROMPT.own,
        [Message(USER, text_of(prompt, where, "prompt")), Message(ASSISTANT, text_of(completion, where, "completion"))],
    )


def _write_prompt(one: Conversation) -> dict[str, Any]:
    turns = one.dicts()
    simple = len(turns) == 2
    row = {
        "prompt": turns[0]["content"] if simple else turns[:-1],
        "completion": one.reply if simple else turns[-1:],
    }
    return row | placed(one.fields, PROMPT)


def _read_columns(row: Row, where: str) -> Conversation:
    asked, answer = (text_of(row[name], where, name) for name in ("prompt", "completion"))
    return _read_flat(row, where, asked, answer, COLUMNS.own)


def _write_columns(one: Conversation) -> dict[str, Any]:
    row = {"prompt": one.messages[-2].content, "completion": one.reply}
    return row | _before(one, "csv") | placed(one.fields, COLUMNS)


def placed(fields: Row, shape: Shape) -> dict[str, Any]:
    """Fields beside a format's own, those with confusing names in an object of their own."""
    taken = {*shape.own, *shape.confusing, MORE}
    apart = {name: value for name, value in fields.items() if name in taken}
    return {name: value for name, value in fields.items() if name not in taken} | ({MORE: apart} if apart else {})


CHAT = Shape("chat", ("messages",), ("messages", "system"), (), _read_chat, _write_chat)
ALPACA = Shape(
    "alpaca",
    ("instruction", "output"),
    ("instruction", "input", "output", "system", "history"),
    ("messages",),
    _read_alpaca,
    _write_alpaca,
)
_FIRST = ("messages", "instruction", "output")
PROMPT = Shape(
    "prompt-completion",
    ("prompt", "completion"),
    ("prompt", "completion", "system"),
    _FIRST,
    _read_prompt,
    _write_prompt,
)
COLUMNS = Shape(
    "csv",
    ("prompt", "completion"),
    ("prompt", "completion", "system", "history"),
    _FIRST,
    _read_columns,
    _write_columns,
)
SHARED = Shape("chat", ("conversations",), ("conversations", "system"), (), _read_chat, _write_chat)
SHAPES = {shape.name: shape for shape in (ALPACA, CHAT, PROMPT, COLUMNS)}
