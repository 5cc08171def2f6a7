"""The rows of a file, each with the place where it stands, and the way back.

A file of examples is written by hand or by a script, and both make the same mistake more than once. So a row that
cannot be read does not end the reading: it is given as a `Fault` that says where it is and what is wrong, and the next
row follows. What makes the whole file unreadable (its encoding, its header, a list in JSON that is cut off) is still an
error.

JSON counts as a list when it begins with "[", whatever the file is called, and as one record to a line otherwise. A key
that stands twice in an object is a fault, because a parser would silently keep the second.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.records.conversations import Fault
from course_lib.records.files import SUFFIXES, check_columns, check_delimiter, check_file
from course_lib.records.formats import csv_fields

Found = tuple[str, Any]  # where a row stands, and the row or its Fault
TABLES = (".csv", ".tsv")
WRITABLE = (*TABLES, ".jsonl", ".ndjson", ".json")
LONG = "a number with more digits than Python reads"
_BLANK = re.compile(r"[ \t\r\n]*")


def rows_of(path: Path, wanted: Sequence[str] = (), ram_free: int | None = None) -> list[Found]:
    """All rows of a CSV, TSV, JSON, JSONL or parquet file with their places; what cannot be read is a `Fault`.

    ``wanted`` are columns that a table must have. CourseError where nothing of the file can be read.
    """
    check_file(path, ram_free)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        found = list(_parquet(path))
    elif suffix in TABLES:
        found = list(_table(path, SUFFIXES[suffix], wanted))
    else:
        found = list(_json(path))
    if not found:
        raise CourseError(f"{path.name} has no records: add some.")
    return found


def is_table(path: Path) -> bool:
    """Whether a file has cells, which hold text only."""
    return path.suffix.lower() in TABLES


def _table(path: Path, delimiter: str, wanted: Sequence[str]) -> Iterator[Found]:
    rows = csv_fields(path, delimiter)
    _, header = next(rows, (1, []))
    check_delimiter(path, header, delimiter, *(wanted or ("prompt", "completion")))
    check_columns(path, header, *header, *wanted)
    for line, row in rows:
        where = f"{path.name}, line {line}"
        if len(row) == len(header):
            yield where, dict(zip(header, row, strict=True))
        else:
            fix = "put cells that contain the separator in quotes" if len(row) > len(header) else "add what is missing"
            yield (
                where,
                Fault(
                    where,
                    "",
                    f"{len(row)} cell{'s' * (len(row) != 1)} where the header names {len(header)} columns: {fix}.",
                ),
            )


def _parquet(path: Path) -> Iterator[Found]:
    import pyarrow.parquet as pq

    for number, row in enumerate(pq.read_table(path).to_pylist(), 1):
        yield f"{path.name}, row {number}", row


def _json(path: Path) -> Iterator[Found]:
    text = path.read_text(encoding="utf-8-sig")
    start = text[_blank(text, 0) : _blank(text, 0) + 1]
    if start == "[":
        return _list(path, text)
    if start == "{" and _goes_on(text):
        if path.suffix.lower() != ".json":
            raise CourseError(
                f"{path.name}, line 1: the record goes on in the next line: write each record on one line, or all of "
                "them as one list, [{...}, {...}], in a file that ends in .json."
            )
        return _list(path, f"[{text}]")
    return _lines(path, text)


def _goes_on(text: str) -> bool:
    """Whether the first object of a text is valid, but not at the end of its line."""
    parse = _Parser()
    try:
        begin = _blank(text, 0)
        _, end = parse.decoder.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[begin:end]


def _lines(path: Path, text: str) -> Iterator[Found]:
    parse = _Parser()
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path.name}, line {number}"
            parse.wrong.clear()
            try:
                value, end = parse.decoder.raw_decode(line, _blank(line, 0))
                if line[end:].strip():
                    raise json.JSONDecodeError("more after the end of the record", line, end)
                yield where, parse.checked(value, where)
            except json.JSONDecodeError as error:
                problem = f"{error.msg.lower()}, at character {error.pos + 1}"
                yield where, Fault(where, "", f"this is not valid JSON ({problem}): mend the line.")
            except RecursionError:
                yield where, Fault(where, "", "this is nested too deeply: write one object with texts in it.")
            except ValueError:
                yield where, Fault(where, "", f"{LONG}: put it in quotes.")


def _list(path: Path, text: str) -> Iterator[Found]:
    """The elements of a list, with the lines on which they begin."""
    parse = _Parser()
    place, line, seen, number = _blank(text, _blank(text, 0) + 1), 1, 0, 0
    try:
        while text[place : place + 1] != "]":
            number += 1
            line, seen = line + text.count("\n", seen, place), place
            where = f"{path.name}, record {number} on line {line}"
            value, end = parse.decoder.raw_decode(text, place)
            yield where, parse.checked(value, where)
            place = _blank(text, end)
            if text[place : place + 1] == ",":
                place = _blank(text, place + 1)
            elif text[place : place + 1] != "]":
                raise json.JSONDecodeError("expecting ',' or ']'", text, place)
        if text[place + 1 :].strip():
            raise json.JSONDecodeError("more after the end of the list", text, _blank(text, place + 1))
    except json.JSONDecodeError as error:
        problem = f"{error.msg.lower()}, at character {error.colno} of line {error.lineno}"
        raise CourseError(f"{path.name} is not valid JSON ({problem}): mend the list.") from None
    except RecursionError:
        raise CourseError(f"{path.name} is nested too deeply: write a list of objects with texts in them.") from None
    except ValueError:
        raise CourseError(f"{where}: {LONG}: put it in quotes.") from None


class _Parser:
    """A JSON decoder that remembers what JSON does not allow and Python's decoder passes over."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)

    def checked(self, value: Any, where: str) -> Any:
        """The value, or the Fault of what was met in it."""
        if not self.wrong:
            return value
        detail, self.wrong[:] = self.wrong[0], []
        return Fault(where, "", detail)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            self.wrong.append(f"the key {twice!r} stands twice in one object: keep one of them.")
        return found

    def _constant(self, name: str) -> None:
        self.wrong.append(f"{name} is no value that JSON has: write null or a number.")


def _blank(text: str, place: int) -> int:
    """The next place that is not white space."""
    match = _BLANK.match(text, place)
    return match.end() if match else place


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], overwrite: bool = False) -> None:
    """Write a list of objects as the file's suffix says; a file is there complete or not at all.

    CourseError where the file exists (unless ``overwrite``), or cannot be written.
    """
    if path.suffix.lower() not in WRITABLE:
        raise CourseError(f"{path.name} cannot be written: give a name that ends in {', '.join(WRITABLE)}.")
    if path.exists() and not overwrite:
        raise CourseError(f"{path} exists already: choose another name, or remove it first.")
    if path.is_dir() or not path.parent.is_dir():
        raise CourseError(f"{path} cannot be written: give a file in a folder that exists.")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            _write(stream, path.suffix.lower(), rows)
        os.replace(partial, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)


def _write(stream: Any, suffix: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if suffix in TABLES:
        header = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(
            stream, header, restval="", delimiter=SUFFIXES[suffix], quoting=csv.QUOTE_ALL, lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    elif suffix == ".json":
        stream.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
    else:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
