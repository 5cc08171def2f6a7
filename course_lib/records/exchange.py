"""Files of examples, read into conversations and written from them in another format.

    conversations = read_conversations("mine.csv", columns={"prompt": "question", "completion": "answer"})
    write_conversations("mine.jsonl", conversations, "chat")

The formats are in `shapes`, the files in `rows`. Which format a file has is seen from the fields that most of its first
records have. Reading and writing in any format, one after the other, loses nothing: the last file says what the first
one said. What a format has no place for is refused, with file, line and reason.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.records.conversations import ASSISTANT, USER, Conversation, Fault, Message
from course_lib.records.files import SUFFIXES
from course_lib.records.rows import TABLES, Found, is_table, rows_of, write_rows
from course_lib.records.shapes import ALPACA, CHAT, COLUMNS, MORE, PROMPT, SHAPES, SHARED, Row, Shape

FORMATS = tuple(SHAPES)
LOOKED_AT = 200  # records from which the format is seen
Template = Any  # a function from a row to (prompt, answer), or an object whose `render` is one


@dataclass(frozen=True)
class Reading:
    """What a file holds: the records that can be used, those that cannot, in their order, and its format."""

    conversations: list[Conversation]
    faults: list[Fault]
    format: str


def read_conversations(
    path: str | Path,
    format: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    template: Template = None,
) -> list[Conversation]:
    """The conversations of a file; raises the first `Fault` that there is (`read_all` gives all of them).

    ``format`` is one of `FORMATS`; without it, what the records look like. ``columns`` says what the fields of a format
    are called in this file, such as ``{"output": "response"}``. ``template`` makes prompt and answer from a row's
    fields: a function that returns both, or a `prompts.Template`.
    """
    reading = read_all(path, format, columns=columns, template=template)
    if reading.faults:
        raise reading.faults[0]
    return reading.conversations


def read_all(
    path: str | Path,
    format: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    template: Template = None,
    ram_free: int | None = None,
) -> Reading:
    """As `read_conversations`, with what is wrong beside what is not. CourseError where nothing at all can be read."""
    path = Path(path).expanduser()
    columns = dict(columns or {})
    if template is not None and (format or columns):
        raise CourseError("A template makes prompt and answer itself: give either it, or a format and columns.")
    known = {name for shape in (*SHAPES.values(), SHARED) for name in shape.own}
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise CourseError(f"No format has a field {unknown[0]!r}: columns can be given for {', '.join(sorted(known))}.")
    found = rows_of(path, tuple(columns.values()), ram_free)
    if template is not None:
        return _sorted(((where, row, _templated) for where, row in found), "csv", template)
    renamed = [(where, _renamed(row, columns)) for where, row in found]
    shape = _shape(path, renamed, format, columns)
    return _sorted(((where, row, _read) for where, row in renamed), shape.name, (shape, is_table(path)))


def load_conversations(
    name_or_path: str | Path,
    part: str = "train",
    format: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    template: Template = None,
) -> list[Conversation]:
    """As `read_conversations`, for a file, a short name of `hub.DATA` or a hub id too.

    ``part`` is "train" or "test"; what has no test part, such as a file, has no conversations there.
    """
    files, columns = files_of(name_or_path, part, columns, template)
    return [one for file in files for one in read_conversations(file, format, columns=columns, template=template)]


def files_of(
    name_or_path: str | Path,
    part: str = "train",
    columns: Mapping[str, str] | None = None,
    template: Template = None,
) -> tuple[list[Path], Mapping[str, str] | None]:
    """The files of one part of what `load_conversations` loads, and what the fields are called in them."""
    from course_lib import hub

    if part not in ("train", "test"):
        raise CourseError(f"Conversations have the parts 'train' and 'test', not {part!r}: name one of these.")
    name, path = str(name_or_path), own_file(name_or_path)
    if path:
        return ([path] if part == "train" else []), columns
    told = bool(columns) or template is not None  # then data sets of other kinds will do
    data = hub.data_files(name, task=hub.DATA[name].task if told and name in hub.DATA else "instructions")
    return list(data.train if part == "train" else data.test), columns if told else data.columns


def own_file(name_or_path: str | Path) -> Path | None:
    """The path, where a name means a file and not a data set; whether the file is there is not asked."""
    from course_lib import hub

    path = Path(name_or_path).expanduser()
    named = str(name_or_path) not in hub.DATA and (path.is_file() or path.suffix.lower() in SUFFIXES)
    return path if named else None


def write_conversations(
    path: str | Path, conversations: Iterable[Conversation], format: str | None = None, *, overwrite: bool = False
) -> None:
    """Write a file that `read_conversations` gives the same conversations for.

    Without ``format``, a table for .csv and .tsv, chat for everything else. Raises `Fault` for a conversation that the
    format cannot hold, and CourseError where the file exists (unless ``overwrite``) or format and suffix do not match.
    """
    path = Path(path).expanduser()
    shape = _target(path, format)
    conversations = list(conversations)
    rows = [shape.write(_writable(one)) for one in conversations]
    if not rows:
        raise CourseError(f"There is no conversation to write to {path.name}.")
    if is_table(path):
        places = (one.where for one in conversations)
        rows = [_cells(row, shape, where) for row, where in zip(rows, places, strict=True)]
    write_rows(path, rows, overwrite)


def _writable(one: Conversation) -> Conversation:
    """The conversation, if all of its fields can stand in a file of text; some of a parquet file cannot."""
    for name, value in one.fields.items():
        try:
            json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError):
            what = f"a value ({type(value).__name__}) that JSON in UTF-8 cannot hold"
            raise Fault(one.where, name, f"{what}: change or remove it.") from None
    return one


def _target(path: Path, format: str | None) -> Shape:
    """The format to write, checked against the file's suffix."""
    format = format or ("csv" if is_table(path) else "chat")
    shape = _named(format)
    if is_table(path) and shape is PROMPT:
        return COLUMNS
    if is_table(path) and shape is CHAT:
        raise CourseError(f"A table such as {path.name} has no place for the lists of {format}: end it in .jsonl.")
    if not is_table(path) and shape is COLUMNS:
        raise CourseError(f"The format csv is a table, and {path.name} is none: end it in {' or '.join(TABLES)}.")
    return shape


def _named(format: str) -> Shape:
    if format not in SHAPES:
        raise CourseError(f"There is no format {format!r}; the formats are {', '.join(FORMATS)}.")
    return SHAPES[format]


def _sorted(rows: Iterable[tuple[str, Any, Callable[..., Conversation]]], format: str, how: Any) -> Reading:
    """Conversations and faults, each in the order of the file."""
    good, bad = [], []
    for where, row, read in rows:
        try:
            if isinstance(row, Fault):
                raise row
            if not isinstance(row, dict):
                raise Fault(where, "", "no object: write {...} with the fields of a record in it.")
            good.append(read(row, where, how))
        except Fault as fault:
            bad.append(fault)
    if not good:
        more = f" (and nothing in {len(bad) - 1} more can be read either)" if len(bad) > 1 else ""
        raise CourseError(f"{str(bad[0]).rstrip('.')}{more}.")
    return Reading(good, bad, format)


def _read(row: Row, where: str, how: tuple[Shape, bool]) -> Conversation:
    shape, table = how
    if shape is CHAT and "messages" not in row and "conversations" in row:
        shape = SHARED
    missing = [name for name in shape.needs if name not in row]
    if missing:
        there = ", ".join(repr(str(name)) for name in list(row)[:8]) or "nothing"
        raise Fault(
            where, missing[0], f"the field is missing, the record has {there}: add it, or move it to a file of its own."
        )
    if table:
        row = {name: value for name, value in row.items() if value != "" or name in shape.needs}
    return shape.read(row, where)


def _templated(row: Row, where: str, template: Template) -> Conversation:
    try:
        fill: Callable[[Row], tuple[str, str]] = template.render if hasattr(template, "render") else template
        prompt, answer = fill(row)
    except Fault:
        raise
    except CourseError as error:
        raise Fault(where, "", str(error)) from error
    messages = (Message(USER, prompt), Message(ASSISTANT, answer.strip(" ")))
    return Conversation(messages, {name: value for name, value in row.items() if value != ""}, where)


def _renamed(row: Any, columns: Mapping[str, str]) -> Any:
    """A row in which the fields have a format's names; what had such a name before is kept apart."""
    if not columns or not isinstance(row, dict) or all(name == theirs for name, theirs in columns.items()):
        return row
    mine = {name: row[theirs] for name, theirs in columns.items() if theirs in row}
    rest = {name: value for name, value in row.items() if name not in columns.values()}
    apart = {name: rest.pop(name) for name in list(rest) if name in columns}
    return mine | rest | ({MORE: apart} if apart else {})


def _shape(path: Path, found: Sequence[Found], format: str | None, columns: Mapping[str, str]) -> Shape:
    """The format that is asked for, or the one that most of the first records have; first those with these columns."""
    table = is_table(path)
    if format:
        shape = _named(format)
        return COLUMNS if table and shape is PROMPT else shape
    rows = [row for _, row in found[:LOOKED_AT] if isinstance(row, dict)]
    every = (CHAT, ALPACA, COLUMNS if table else PROMPT, SHARED)
    shapes = sorted(every, key=lambda shape: not set(columns) <= set(shape.own))
    votes = Counter(next((n for n, shape in enumerate(shapes) if shape.fits(row)), -1) for row in rows)
    votes.pop(-1, None)
    if votes:
        return shapes[max(votes, key=lambda n: votes[n])]
    if not rows:  # nothing but faults: say the first
        return CHAT
    raise CourseError(_unlike(path, rows[0]))


def _unlike(path: Path, row: Row) -> str:
    """The sentence for a file whose records have the fields of no format."""
    names = [str(name) for name in row]
    lists = [name for name in names if isinstance(row[name], list) and row[name] and isinstance(row[name][0], dict)]
    if len(lists) == 1:
        return f"{path.name} is one object with the records in {lists[0]!r}: keep that list alone in the file."
    shown = " and ".join(repr(name if len(name) <= 40 else name[:37] + "...") for name in names[:6]) or "no fields"
    close = {name: difflib.get_close_matches(name.lower(), ("messages", "conversations"), 1) for name in names}
    for name, meant in close.items():
        if meant:
            return f"{path.name} has the field {name!r}, which no format has: did you mean {meant[0]!r}?"
    pair = names[:2] if len(names) > 1 else ["question", "answer"]
    return (
        f"{path.name} has records with {shown}, which is none of the formats ({', '.join(FORMATS)}): say which field is"
        f" which, such as prompt={pair[0]} and completion={pair[1]}, or give a template."
    )


def _cells(row: Row, shape: Shape, where: str) -> dict[str, str]:
    """A row of texts: lists and objects in JSON, and what would not come back as it was among "more_fields"."""
    cells, apart = {}, dict(row.get(MORE, {}))
    for name, value in row.items():
        if name == MORE:
            continue
        if name in shape.own:
            cells[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if "\0" in cells[name]:
                raise Fault(where, name, "a zero byte, which a table cannot hold: remove it.")
        elif isinstance(value, str) and value and name.strip() and "\0" not in name + value:
            cells[name] = value
        else:
            apart[name] = value
    return cells | ({MORE: json.dumps(apart, ensure_ascii=False)} if apart else {})
