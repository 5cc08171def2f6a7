"""Conversations: read, or refused with file, line and field; written in every format and read again; inspected."""

from __future__ import annotations

import csv
import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from course_lib import hub
from course_lib.errors import CourseError
from course_lib.prompts import Template
from course_lib.records import (
    FORMATS,
    Conversation,
    Fault,
    Message,
    fix,
    inspect,
    load_conversations,
    price,
    read_all,
    read_conversations,
    write_conversations,
)
from course_lib.records.duplicates import _similar, near_copies, near_twins, shingles
from course_lib.records.inspection import KINDS, Lengths
from course_lib.records.pricing import padding_share
from course_lib.records.shapes import SHAPES

FILES = (
    ("alpaca", ".json"),
    ("alpaca", ".jsonl"),
    ("alpaca", ".csv"),
    ("alpaca", ".tsv"),
    ("chat", ".json"),
    ("chat", ".jsonl"),
    ("prompt-completion", ".json"),
    ("prompt-completion", ".jsonl"),
    ("csv", ".csv"),
    ("csv", ".tsv"),
)
GOOD = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]}'


def said(*turns: str, system: str = "", **fields: Any) -> Conversation:
    """A conversation of turns that begin with the user's."""
    spoken = [Message(("user", "assistant")[k % 2], text) for k, text in enumerate(turns)]
    return Conversation((*([Message("system", system)] if system else []), *spoken), fields)


def chat(*turns: tuple[str, Any], **more: Any) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns], **more})


def written(folder: Path, text: str, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(CourseError) as caught:
        read_conversations(path, **how)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


# Reading


def test_alpaca_joins_instruction_and_input_and_keeps_what_is_beside_them(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day.", "topic": "greeting"},
        {"instruction": "Count to two.", "input": "", "output": "One, two."},
        {"instruction": "And then?", "output": "Three.", "system": "Be brief.", "history": [["Count.", "One, two."]]},
    ]
    first, second, third = read_conversations(written(tmp_path, json.dumps(rows), "mine.json"))
    assert first.dicts()[0] == {"role": "user", "content": "Translate.\n\nGuten Tag"}
    assert first.fields == {"input": "Guten Tag", "topic": "greeting"}
    assert second == said("Count to two.", "One, two.")
    assert third == said("Count.", "One, two.", "And then?", "Three.", system="Be brief.")
    assert (third.reply, third.prompt) == ("Three.", third.messages[:-1])
    assert Conversation.of("Translate.", "Guten Tag", "Good day.").messages == first.messages


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
        {"conversations": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
        {"instruction": "Hi", "output": "Hello."},
        {"prompt": "Hi", "completion": "Hello."},
        {
            "prompt": [{"role": "user", "content": "Hi"}],
            "completion": [{"role": "assistant", "content": "Hello."}],
        },
    ],
)
def test_every_format_is_recognised(tmp_path: Path, row: dict[str, Any]) -> None:
    assert read_conversations(written(tmp_path, json.dumps(row) + "\n")) == [said("Hi", "Hello.")]
    assert read_conversations(written(tmp_path, json.dumps([row]), "list.json")) == [said("Hi", "Hello.")]


def test_a_system_text_beside_the_messages_is_their_first(tmp_path: Path) -> None:
    row = json.loads(GOOD) | {"system": "Be kind."}
    assert read_conversations(written(tmp_path, json.dumps(row))) == [said("Hi", "Hello there.", system="Be kind.")]


def test_marks_of_windows_blank_lines_lists_and_single_objects_are_read(tmp_path: Path) -> None:
    one = said("Hi", "Hello there.")
    assert read_conversations(written(tmp_path, f"\ufeff{GOOD}\r\n\r\n  \r\n{GOOD}")) == [one, one]
    assert read_conversations(written(tmp_path, f"[{GOOD},\n{GOOD}]")) == [one, one]
    pretty = json.dumps(json.loads(GOOD), indent=2)
    assert read_conversations(written(tmp_path, pretty, "one.json")) == [one]
    assert "the record goes on in the next line" in refusal(written(tmp_path, pretty))


def test_every_conversation_knows_where_it_stands(tmp_path: Path) -> None:
    lines = read_conversations(written(tmp_path, f"\n{GOOD}\n\n{GOOD}"))
    assert [one.where for one in lines] == ["mine.jsonl, line 2", "mine.jsonl, line 4"]
    listed = read_conversations(written(tmp_path, f"[\n{GOOD},\n\n{GOOD}]", "mine.json"))
    assert [one.where for one in listed] == ["mine.json, record 1 on line 2", "mine.json, record 2 on line 4"]
    table = written(tmp_path, 'prompt,completion\n"a\nb",c\n\nd,e\n', "mine.csv")
    assert [one.where for one in read_conversations(table)] == ["mine.csv, line 2", "mine.csv, line 5"]


def test_a_table_is_read_by_its_columns_or_by_a_template(tmp_path: Path) -> None:
    path = written(tmp_path, "text,stars,town\nfine food,5,\nno salt,2,Lima\n", "mine.csv")
    columns = {"prompt": "text", "completion": "stars"}
    assert read_conversations(path, columns=columns) == [said("fine food", "5"), said("no salt", "2", town="Lima")]
    wording = Template("mine", "Rate this: {{ text }}\nStars: ||| {{ stars }}")
    first, second = read_conversations(path, template=wording)
    assert first.messages == said("Rate this: fine food\nStars:", "5").messages
    assert second.fields == {"text": "no salt", "stars": "2", "town": "Lima"}
    assert read_conversations(path, template=lambda row: (row["town"], row["text"]))[0].reply == "fine food"
    missing = Template("mine", "{{ body }} ||| {{ stars }}")
    assert refusal(path, template=missing).startswith("mine.csv, line 2: ")
    assert "stars, text, town" in refusal(path, template=missing)
    with pytest.raises(CourseError, match="either it, or a format and columns"):
        read_conversations(path, "csv", template=wording)


def test_columns_may_rename_what_has_another_use_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '{"prompt": "old", "question": "Hi", "reply": "Hello."}')
    (one,) = read_conversations(path, columns={"prompt": "question", "completion": "reply"})
    assert one == said("Hi", "Hello.", prompt="old")
    assert "No format has a field 'query'" in refusal(path, columns={"query": "question"})
    table = written(tmp_path, "question,reply\na,b\n", "mine.csv")
    assert "did you mean 'question'?" in refusal(table, columns={"prompt": "questions"})


def test_columns_that_are_named_decide_the_format(tmp_path: Path) -> None:
    both = {"messages": said("asked", "told").dicts(), "question": "A?", "reply": "B."}
    path = written(tmp_path, json.dumps(both) + "\n")
    (one,) = read_conversations(path, columns={"prompt": "question", "completion": "reply"})
    assert (one.asked, one.reply) == ("A?", "B.")
    assert read_conversations(path)[0].reply == "told"


def test_a_parquet_file_of_messages_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([json.loads(GOOD)] * 2), tmp_path / "mine.parquet")
    read = read_conversations(tmp_path / "mine.parquet")
    assert read == [said("Hi", "Hello there.")] * 2
    assert read[1].where == "mine.parquet, row 2"


# What is refused


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (chat(("user", 5), ("assistant", "x")), ["'messages[0].content'", "a number", "quotes"]),
        (chat(("user", True), ("assistant", "x")), ["true or false"]),
        (chat(("user", "q"), ("assistant", None)), ["'messages[1].content'", "nothing (null)"]),
        (chat(("user", ["q"]), ("assistant", "a")), ["a list where text should be"]),
        (chat(("human", "q"), ("assistant", "a")), ["'messages[0].role'", "no role 'human'", "write 'user'"]),
        (chat(("user", "q"), ("bot", "a")), ["'messages[1].role'", "write 'assistant'"]),
        (chat(("user", "q"), ("tool", "a")), ["system, user, assistant"]),
        (chat(("user", "q"), ("user", "q"), ("assistant", "a")), ["'messages[1].role'", "in a row"]),
        (chat(("assistant", "a")), ["'messages[0].role'", "speaks first"]),
        (chat(("user", "q")), ["without an answer"]),
        (chat(("user", "q"), ("system", "s"), ("assistant", "a")), ["'messages[1].role'", "not the first"]),
        (chat(("system", "s")), ["no question and no answer"]),
        (chat(), ["no question and no answer"]),
        (chat(("system", "s"), ("user", "q"), ("assistant", "a"), system="t"), ["second system"]),
        ('{"messages": "hi"}', ["'messages'", "text where a list of messages should be"]),
        ('{"messages": [["user", "q"]]}', ["'messages[0]'", "a list where a message should be"]),
        ('{"messages": [{"role": "user"}]}', ["'messages[0]'", "no 'content', only 'role'"]),
        ('{"messages": [{"role": "assistant", "content": null, "tool_calls": [{}]}]}', ["call of a tool"]),
        ('{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}', ["learns all"]),
        ('{"instruction": "a", "output": 5}', ["'output'", "a number"]),
        ('{"instruction": "a", "input": 5, "output": "b"}', ["'input'", "a number"]),
        ('{"instruction": "\\ud800", "output": "b"}', ["'instruction'", "half of a character"]),
        ('{"instruction": "a", "output": "b", "history": [["c"]]}', ["'history[0]'", "a pair"]),
        ('{"instruction": "a", "output": "b", "history": "x"}', ["'history'", "no valid JSON"]),
        ('{"instruction": "a", "output": "b", "history": {"a": 1}}', ["'history'", "a list should be here"]),
        ('{"instruction": "a", "output": "b", "system": 7}', ["'system'", "a number"]),
        ('{"prompt": [], "completion": "a"}', ["'completion'", "one of prompt and completion is a list"]),
        ('{"prompt": [], "completion": []}', ["'completion'", "0 messages where one should be"]),
        ('{"instruction": "a", "output": "b", "output": "c"}', ["'output' stands twice"]),
        ('{"instruction": "a", "output": "b", "x": NaN}', ["NaN"]),
        ('{"instruction": "a"', ["not valid JSON", "at character"]),
        ('{"instruction": "a", "output": "b"} x', ["not valid JSON", "more after the end"]),
        ("[" * 5000, ["nested too deeply"]),
        ('"text"', ["no object"]),
    ],
)
def test_a_wrong_record_is_named_with_its_file_and_line(tmp_path: Path, line: str, words: list[str]) -> None:
    good = '{"instruction": "x", "output": "y"}\n' if "instruction" in line else f"{GOOD}\n"
    good = '{"prompt": "x", "completion": "y"}\n' if "prompt" in line else good
    sentence = refusal(written(tmp_path, good + line))
    assert sentence.startswith("mine.jsonl, line 2")
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mine.jsonl", "\n \n", ["no records"]),
        ("mine.json", "[]", ["no records"]),
        ("mine.jsonl", '{"question": "a", "reply": "b"}', ["'question' and 'reply'", "prompt=question"]),
        ("mine.jsonl", '{"mesages": []}', ["'mesages'", "did you mean 'messages'?"]),
        ("mine.json", f'{{"data": [{GOOD}]}}', ["one object with the records in 'data'"]),
        ("mine.json", f"[{GOOD},", ["not valid JSON", "line 1"]),
        ("mine.json", f"[{GOOD}] x", ["more after the end of the list"]),
        ("mine.json", f"[{GOOD} {GOOD}]", ["expecting ',' or ']'"]),
        ("mine.json", '[["a"], ["b"]]', ["record 1 on line 1", "no object", "nothing in 1 more"]),
        ("mine.csv", "prompt;completion\na;b\n", ["semicolons"]),
        ("mine.csv", "prompt,completion,prompt\na,b,c\n", ["2 columns named 'prompt'"]),
        ("mine.csv", 'prompt,completion\na,"b\n', ["line 2", "never closed"]),
        ("mine.csv", "prompt,completion\na\n", ["line 2", "1 cell where the header names 2"]),
        ("mine.csv", "what is it,it is a cat\nx,y\n", ["'what is it' and 'it is a cat'"]),
    ],
)
def test_a_file_that_cannot_be_used_is_answered_with_one_sentence(
    tmp_path: Path, name: str, text: str, words: list[str]
) -> None:
    sentence = refusal(written(tmp_path, text, name))
    assert name in sentence
    assert all(word in sentence for word in words), sentence


def test_every_broken_line_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    lines = [GOOD, "{", GOOD, chat(("user", "q")), '{"other": 1}', GOOD]
    reading = read_all(written(tmp_path, "\n".join(lines)))
    assert [one.where for one in reading.conversations] == [f"mine.jsonl, line {number}" for number in (1, 3, 6)]
    assert [(fault.where, fault.kind) for fault in reading.faults] == [
        ("mine.jsonl, line 2", "broken"),
        ("mine.jsonl, line 4", "roles"),
        ("mine.jsonl, line 5", "broken"),
    ]
    assert "'other'" in str(reading.faults[2])


def test_a_number_too_long_for_python_is_a_fault_of_its_record(tmp_path: Path) -> None:
    good, bad = '{"prompt": "A?", "completion": "B."}', '{"prompt": "A?", "completion": "B.", "n": ' + "1" * 5000 + "}"
    reading = read_all(written(tmp_path, f"{bad}\n{good}\n"))
    assert (len(reading.conversations), reading.faults[0].where) == (1, "mine.jsonl, line 1")
    assert "record 2 on line 2: a number" in refusal(written(tmp_path, f"[{good},\n{bad}]", "mine.json"))


def test_a_conversation_cannot_be_made_in_a_wrong_order() -> None:
    with pytest.raises(Fault, match="there is no role 'User': write 'user'"):
        Conversation((Message("User", "a"), Message("assistant", "b")))
    assert hash(said("a", "b")) == hash(said("a", "b", topic="x")), "fields do not hash, and need not"


# From format to format


PIECES = [
    "",
    " ",
    "a",
    "b c",
    "=1+1",
    '"quoted"',
    "x,y;z\t|",
    "line\nline",
    "\r\n",
    "a\rb",
    "\u2028",
    "ü",
    "這",
    "😀",
    "[1]",
]
PIECES += ["null", "{}", "0", "\x0c", "\\", "'", "#", "Instruction\n\nInput", "\ufeff", "{{ x }}", "007", "true"]
NAMES = ["topic", "input", "prompt", "completion", "instruction", "output", "system", "history", "messages", "id", ""]
NAMES += ["conversations", "more_fields", "message_fields", "label", " ", "x,y", "text\nlines", "ключ"]
VALUES: list[Any] = [*PIECES, 5, 0, -1.5, True, False, None, [], [1, "a"], {}, {"a": [None]}, "\0"]


def invented(rng: random.Random) -> Conversation:
    """Any conversation that can be: any texts, any number of turns, any fields beside them."""

    def text() -> str:
        return "".join(rng.choices(PIECES, k=rng.randint(0, 3)))

    turns = [text() for _ in range(2 * rng.randint(1, 3))]
    fields = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.choice((0, 0, 1, 3)))}
    if rng.random() < 0.3:  # as Alpaca reads it
        given = text()
        turns[-2], fields["input"] = f"{text()}\n\n{given}", given
    if rng.random() < 0.1:
        fields["message_fields"] = [{"name": "Ann"} if k == 0 else {} for k in range(len(turns))]
    return Conversation(said(*turns, system=rng.choice(["", "", text()])).messages, fields)


def test_nothing_is_lost_between_any_two_formats(tmp_path: Path) -> None:
    rng = random.Random(5)
    conversations = [invented(rng) for _ in range(300)]
    for number, ((first, end), (second, other)) in enumerate(itertools.product(FILES, FILES)):
        some = rng.sample(conversations, 20)
        one, two = tmp_path / f"{number}-first{end}", tmp_path / f"{number}-second{other}"
        write_conversations(one, some, first)
        middle = read_conversations(one, format=first)
        write_conversations(two, middle, second)
        assert read_conversations(two, format=second) == middle == some, (one.name, two.name)


@pytest.mark.parametrize(("format", "end"), FILES)
def test_what_was_written_is_recognised(tmp_path: Path, format: str, end: str) -> None:
    rng = random.Random(6)
    conversations = [invented(rng) for _ in range(200)]
    path = tmp_path / f"mine{end}"
    write_conversations(path, conversations, format)
    reading = read_all(path)
    assert reading.format == format
    assert reading.conversations == conversations


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a.json", [{"instruction": "a", "input": "b", "output": "c", "topic": "x"}]),
        ("a.jsonl", [{"instruction": "a", "input": "", "output": "c", "system": "s", "history": [["d", "e"]]}]),
        ("c.jsonl", [json.loads(GOOD) | {"id": 7, "prompt": "Hi"}]),
        ("c.json", [{"messages": [{"role": "user", "content": "a", "name": "Ann"},
                                  {"role": "assistant", "content": "b", "weight": 1}]}]),
        ("p.jsonl", [{"prompt": "a ", "completion": " b", "label": None}]),
        ("p.json", [{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
                     "completion": [{"role": "assistant", "content": "a"}]}]),
    ],
)  # fmt: skip
def test_a_file_is_written_back_as_it_was(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    whole = name.endswith(".json")
    path = written(tmp_path, json.dumps(rows) if whole else "\n".join(map(json.dumps, rows)), name)
    reading = read_all(path)
    write_conversations(tmp_path / f"again-{name}", reading.conversations, reading.format)
    again = (tmp_path / f"again-{name}").read_text(encoding="utf-8")
    assert (json.loads(again) if whole else [json.loads(line) for line in again.splitlines()]) == rows


def test_a_table_of_a_spreadsheet_is_written_back_with_its_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path, "instruction,input,output,topic\nTranslate,Guten Tag,Good day,\nCount,,One,maths\n", "a.csv"
    )
    reading = read_all(path)
    assert reading.format == "alpaca"
    write_conversations(tmp_path / "b.csv", reading.conversations, reading.format)
    with path.open(newline="") as one, (tmp_path / "b.csv").open(newline="") as other:
        assert list(csv.reader(one)) == list(csv.reader(other))


def test_what_a_format_cannot_hold_is_refused_with_its_place(tmp_path: Path) -> None:
    line = chat(("system", ""), ("user", "a"), ("assistant", "b"))
    conversations = read_conversations(written(tmp_path, f"{GOOD}\n{line}"))
    for format, end in (("alpaca", ".json"), ("csv", ".csv")):
        with pytest.raises(Fault, match=r"mine.jsonl, line 2, field 'messages\[0\].content': an empty system message"):
            write_conversations(tmp_path / f"out{end}", conversations, format)
    for format in ("chat", "prompt-completion"):
        write_conversations(tmp_path / f"{format}.jsonl", conversations, format)
        assert read_conversations(tmp_path / f"{format}.jsonl") == conversations
    zero = read_conversations(written(tmp_path, '{"prompt": "a\\u0000", "completion": "b"}'))
    with pytest.raises(Fault, match="line 1, field 'prompt': a zero byte"):
        write_conversations(tmp_path / "out.csv", zero)
    assert not list(tmp_path.glob("out*")), "a file is written as a whole or not at all"


@pytest.mark.parametrize("value", [float("nan"), "\ud800", date(2026, 1, 1), b"x"])
def test_a_value_that_no_file_of_text_holds_is_refused_with_its_field(tmp_path: Path, value: Any) -> None:
    one = Conversation(said("A?", "B.").messages, {"when": value}, "a.parquet, row 1")
    for name in ("out.jsonl", "out.json", "out.csv"):
        with pytest.raises(CourseError, match=r"^a.parquet, row 1, field 'when': a value .* that JSON"):
            write_conversations(tmp_path / name, [one])
    assert not list(tmp_path.iterdir())


def test_writing_refuses_a_name_that_does_not_fit_and_a_file_that_exists(tmp_path: Path) -> None:
    one = [said("a", "b")]
    for name, format, words in (
        ("x.csv", "chat", "no place for the lists of chat"),
        ("x.jsonl", "csv", "end it in .csv or .tsv"),
        ("x.txt", "chat", "give a name that ends in"),
        ("x.jsonl", "sharegpt", "the formats are alpaca, chat, prompt-completion, csv"),
        ("no/x.jsonl", "chat", "in a folder that exists"),
    ):
        with pytest.raises(CourseError, match=words):
            write_conversations(tmp_path / name, one, format)
    write_conversations(tmp_path / "x.jsonl", one)
    with pytest.raises(CourseError, match="exists already"):
        write_conversations(tmp_path / "x.jsonl", [said("c", "d")])
    assert read_conversations(tmp_path / "x.jsonl") == one
    write_conversations(tmp_path / "x.jsonl", iter([said("c", "d")]), overwrite=True)
    assert read_conversations(tmp_path / "x.jsonl") == [said("c", "d")]
    with pytest.raises(CourseError, match="no conversation to write"):
        write_conversations(tmp_path / "y.jsonl", [])
    assert tuple(SHAPES) == FORMATS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl"]


def test_loading_takes_files_as_they_are_and_refuses_data_of_another_kind(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert load_conversations(path) == read_conversations(path)
    assert load_conversations(path, "test") == []
    with pytest.raises(CourseError, match="'train' and 'test'"):
        load_conversations(path, "validation")
    with pytest.raises(CourseError, match="texts with a class each, but here instructions"):
        load_conversations("reviews")
    stars = load_conversations("reviews-stars", template=Template("t", "Rate: {{ body }} ||| {{ stars }}"))
    assert {one.reply for one in stars} == set("12345")
    assert len(stars) == len(load_conversations("reviews", columns={"prompt": "body", "completion": "stars"}))
    assert hub.data_sets("instructions") == ["dolly"]


# Inspection


@dataclass(frozen=True)
class Words:
    """An encoding of a word to a token; the answers are learned."""

    ids: list[int]
    learn: list[bool]


def encode(messages: Iterable[dict[str, str]]) -> Words:
    learn = [one["role"] == "assistant" for one in messages for _ in one["content"].split()]
    return Words(list(range(len(learn))), learn)


def kinds(conversations: list[Conversation], **how: Any) -> dict[str, list[int]]:
    """The positions of what is found, by kind."""
    found: dict[str, list[int]] = {}
    for one in inspect(conversations, **how).problems:
        found.setdefault(one.kind, []).append(int(one.where.split()[-1]) - 1)
    return found


LONG = "the keeper of the old mill sold seven sacks of rye to the baker on the bridge"


def test_an_inspection_finds_what_was_put_there() -> None:
    conversations = [
        said("Who keeps the mill?", "The miller keeps it."),
        said("who  keeps the MILL?", "The miller  keeps it."),
        said("Who keeps the mill?", "The baker keeps it."),
        said("What is sold?", "  "),
        said("   ", "Something is sold."),
        said("Yes or no?", "Yes."),
        said(f"Shorten: {LONG}", "Seven sacks were sold there."),
        said(f"Shorten: {LONG} today", "Seven sacks were sold there."),
        said("Where is it?", " On the bridge."),
    ]
    assert kinds(conversations) == {
        "duplicate": [1],
        "conflict": [2],
        "empty": [3],
        "no question": [4],
        "one word": [5],
        "near duplicate": [7],
        "white space": [8],
    }
    found = inspect(conversations)
    assert found.of("duplicate")[0].detail == "the same as conversation 1."
    assert "'The baker keeps it.', but 'The miller keeps it.'" in found.of("conflict")[0].detail
    assert {one.kind for one in found.serious} == {"duplicate", "conflict", "empty", "no question"}
    assert found.turns == {1: 9}
    assert found.roles == {"user": 9, "assistant": 9}
    assert found.lengths is None
    assert json.loads(json.dumps(found.to_json()))["counts"] == found.counts()


def test_lengths_are_counted_against_the_limit() -> None:
    conversations = [
        said(" ".join("q" * asked), " ".join("a" * answered)) for asked, answered in ((4, 2), (6, 4), (15, 5), (2, 18))
    ]
    found = inspect(conversations, encode, limit=12)
    assert found.lengths
    assert found.lengths.to_json() == {
        "median": 15, "p95": 20, "max": 20, "limit": 12, "cut": 2, "tokens": 6 + 10 + 12 + 12,
        "learned": 2 + 4 + 5 + 12,
    }  # fmt: skip
    assert [(one.kind, one.where) for one in found.problems if one.kind in ("too long", "shortened")] == [
        ("shortened", "conversation 3"),
        ("too long", "conversation 4"),
    ]


def test_what_the_tokenizer_refuses_is_a_problem_of_its_record() -> None:
    def refuses(messages: list[dict[str, str]]) -> Words:
        if "<end>" in messages[0]["content"]:
            raise CourseError("Message 1 contains a special token.")
        return encode(messages)

    found = inspect([said("a", "b c."), said("x <end>", "b c.")], refuses)
    (problem,) = found.of("not encodable")
    assert (problem.where, problem.detail) == ("conversation 2", "Message 1 contains a special token.")
    assert found.lengths
    assert found.lengths.tokens == (3,)


def test_answers_without_an_end_count_only_where_an_end_is_the_habit() -> None:
    ended = [said(f"Question {k}?", f"The answer to question {k} is known.") for k in range(12)]
    open_ended = said("One more?", "The answer is known to all of the")
    assert kinds([*ended, open_ended])["unfinished"] == [12]
    assert "stops at '...r is known to all of the'" in inspect([*ended, open_ended]).of("unfinished")[0].detail
    without = [said(f"Question {k}?", f"the answer to question {k} is known") for k in range(12)]
    assert "unfinished" not in kinds([*without, open_ended])
    code = said("Write it.", "```python\nprint(1, 2, 3, 4, 5)\n```")
    chinese = said("说。", "这是一个很好的答案。")
    assert "unfinished" not in kinds([*ended, code, chinese])
    assert "one word" not in kinds([chinese])


def test_answers_that_pile_up_at_the_greatest_length_were_cut_off() -> None:
    ended = [said(f"Question {k}?", f"The answer to question {k} is known.") for k in range(12)]
    cut = [said(f"Why {k}?", f"Because of {k} reasons which are too long to be t") for k in range(3)]
    assert kinds([*ended, *cut])["cut off"] == [12, 13, 14]
    assert "cut off" not in kinds([*ended, *cut[:2]])


def test_questions_of_the_test_file_are_found_whatever_their_answer() -> None:
    train = [said("Who keeps the mill?", "A."), said(f"Shorten: {LONG}.", "Seven sacks."), said("What is 7 + 5?", "12")]
    test = [
        said("who keeps  the mill?", "Z."),
        said(f"Shorten: {LONG} now", "Seven sacks!"),
        said("What is 7 + 6?", "13"),
    ]
    assert {kind: found for kind, found in kinds(train, test=test).items() if "overlap" in kind} == {
        "overlap": [0],
        "near overlap": [1],
    }
    assert not [one for one in inspect(train, test=test, near=1.0).problems if one.kind == "near overlap"]


def test_records_that_could_not_be_read_are_among_the_problems(tmp_path: Path) -> None:
    reading = read_all(written(tmp_path, f"{GOOD}\n{{\n{chat(('user', 'q'))}"))
    found = inspect(reading.conversations, faults=reading.faults)
    assert found.counts() == {"broken": 1, "roles": 1}
    assert str(found.problems[1]).startswith("mine.jsonl, line 3, messages[0].role: ")
    assert all(one.serious and one.fixable for one in found.problems)
    assert all(kind.title for kind in KINDS.values())


def test_near_copies_are_those_that_comparing_every_pair_finds() -> None:
    rng = random.Random(2)
    words = [f"w{k}" for k in range(25)]
    frames = ["Which word does not belong: {} {} {}?", "The {} of the {} is {}.", "Write {} {} in the dialect: {}."]
    texts = [rng.choice(frames).format(*rng.choices(words, k=3)) + " " + rng.choice(words) for _ in range(400)]
    sets = shingles(texts)
    for threshold in (0.5, 0.7, 1.0):
        twins = near_twins(texts, threshold)
        assert all(m < k and _similar(sets[k], sets[m], threshold) for k, m in twins)
        kept = sorted(set(range(400)) - {k for k, _ in twins})
        assert not [(a, b) for a, b in itertools.combinations(kept, 2) if _similar(sets[a], sets[b], threshold)]
        every = [k for k in range(250) if any(_similar(sets[k], sets[m], threshold) for m in range(250, 400))]
        assert near_copies(texts[:250], of=texts[250:], threshold=threshold) == every
    assert near_twins([]) == []


# Cleaning


def test_cleaning_drops_and_trims_and_leaves_the_rest_alone() -> None:
    conversations = [
        said("Who?", " Ann. "),
        said("who?", "Ann."),
        said("Where?", ""),
        said(" ", "Here."),
        said("Where?", "There."),
        said("Where?", "Elsewhere."),
        Conversation.of("Translate. ", " Guten Tag\n", "    def f():\n        pass\n", system="  "),
        said("In the test", "A."),
    ]
    before = list(conversations)
    cleaned = fix(conversations, [said("in the  test", "B.")])
    assert conversations == before
    assert cleaned.conversations == [
        said("Who?", "Ann."),
        said("Where?", "There."),
        said("Where?", "Elsewhere."),
        Conversation.of("Translate.", "Guten Tag", "    def f():\n        pass"),
    ]
    assert cleaned.done == {"white space": 3, "empty": 1, "no question": 1, "duplicate": 1, "overlap": 1}
    again = fix(cleaned.conversations)
    assert (again.conversations, again.done) == (cleaned.conversations, {})
    assert not [one for one in inspect(cleaned.conversations).problems if one.fixable]
    assert fix([said("Q: a\nA:", " b")], trim=False).conversations == [said("Q: a\nA:", " b")]


# The price


def test_the_price_is_that_of_the_tokens_that_are_read() -> None:
    lengths = Lengths((100, 300, 200, 400), (10, 20, 30, 40), limit=300)
    t4 = price(lengths, "smollm2-135m")
    assert (t4.tokens, t4.learned) == (900, 100)
    # Each token of the 134.5M weights costs 4 operations with LoRA; attention and the adapters add less than a tenth.
    assert 4 * 134.5e6 * 900 < t4.flops < 1.15 * 4 * 134.5e6 * 900
    assert "assumption" in t4.basis
    full = price(lengths, "smollm2-135m", method="full")
    assert 1.3 < full.flops / t4.flops < 1.6, "6 in place of 4"
    assert price(lengths, "smollm2-135m", gpu="a100-80").hours < t4.hours < t4.padded_hours
    twice = Lengths(lengths.tokens * 2, lengths.learned * 2, 300)
    assert price(twice, "smollm2-135m").hours == pytest.approx(2 * t4.hours)


def test_padding_is_counted_by_hand() -> None:
    assert padding_share([7] * 20) == 0
    assert padding_share([10, 30], batch=2) == pytest.approx(1 - 40 / 60)
    assert padding_share([10, 30], batch=1) == 0
