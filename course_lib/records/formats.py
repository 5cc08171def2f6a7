"""From a file to two columns of it.

`datasets` reads the files, and it is built to carry on: an empty field becomes None, so does a text that says "NA", a
column of dates turns into timestamps, and what it does refuse ends in a chain of five exceptions. So CSV rows are
counted field by field first, and `datasets` is then asked for strings only. JSON is parsed here and handed to
`datasets` as two columns of strings, because its own reader of JSON guesses types and has no switch for that.

Left out: compressed files, and CSV dialects that do not double their quotes.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.records.files import (
    DELIMITERS,
    SUFFIXES,
    Table,
    check_columns,
    check_delimiter,
    check_file,
    first_line,
)

_END = "\0end of file"  # cannot occur in a text: files with zero bytes are refused before
_UNCLOSED = "a quote opens that is never closed: close it, or double it where it belongs to the text."


def open_table(path: Path, text: str, label: str, ram_free: int | None = None) -> Table:
    """The two columns of a CSV, TSV, JSONL, JSON or parquet file; CourseError says what is wrong with it.

    ``ram_free`` is the free memory in bytes, by default this machine's.
    """
    if text == label:
        raise CourseError(f"Text and label are both the column {text!r}: name two different columns.")
    check_file(path, ram_free)
    if path.suffix.lower() == ".parquet":
        return _parquet(path, text, label)
    delimiter = SUFFIXES[path.suffix.lower()]
    return _csv(path, delimiter, text, label) if delimiter else _json(path, text, label)


def _csv(path: Path, delimiter: str, text: str, label: str) -> Table:
    header, lines = _csv_rows(path, delimiter, text, label)
    if not lines:
        raise CourseError(f"{path.name} has a header but no rows: add records below it.")
    names = [f"column {k}" for k in range(len(header))]  # any header is fine for us, but not for pandas
    dataset = _load(
        "csv",
        path,
        sep=delimiter,
        header=0,
        column_names=names,
        features=_strings(names),
        na_filter=False,
        encoding="utf-8-sig",
    )
    values = dataset[:]  # as Python lists at once; a column by itself is read row by row
    texts, labels = (values[names[header.index(name)]] for name in (text, label))
    if len(texts) != len(lines):
        raise CourseError(f"{path.name} can be read in two ways ({len(lines)} or {len(texts)} rows): check its quotes.")
    return Table(path, text, label, texts, labels, "line", lines)


def _csv_rows(path: Path, delimiter: str, text: str, label: str) -> tuple[list[str], list[int]]:
    """The header, and the line of the file on which each row begins; every row has as many fields as the header."""
    rows = csv_fields(path, delimiter)
    _, header = next(rows, (1, []))
    if not header:
        raise CourseError(f"{path.name} is empty: it needs a header and rows.")
    check_delimiter(path, header, delimiter, text, label)
    check_columns(path, header, text, label)
    lines = []
    for line, row in rows:
        if len(row) != len(header):
            fields = f"{len(row)} field{'s' * (len(row) != 1)} where the header names {len(header)} columns"
            quote = f"put fields that contain {DELIMITERS[delimiter]} in quotes"
            raise CourseError(
                f"{path.name}, line {line}: {fields}: {quote if len(row) > len(header) else 'add what is missing'}."
            )
        lines.append(line)
    return header, lines


def csv_fields(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row of a table that is not blank, with the line on which it begins; the first is the header."""
    with path.open(encoding="utf-8-sig", newline="") as file, _long_fields():
        reader = csv.reader(_with_end(file), delimiter=delimiter)
        begin = 1
        for row in reader:
            if row == [_END]:
                return
            if row and row[-1].endswith(_END):
                raise CourseError(f"{path.name}, line {begin}: {_UNCLOSED}")
            if len(row) > 1 or (row and row[0].strip()):
                yield begin, row
            begin = reader.line_num + 1


def _with_end(lines: Iterator[str]) -> Iterator[str]:
    yield from lines
    yield _END  # becomes a row of its own, or part of a field whose quote was never closed


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Fields of any length: Python's limit of 128 KiB guards against a quote never closed, which is found here."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json(path: Path, text: str, label: str) -> Table:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        unit = "row" if file.read(4096).lstrip().startswith("[") else "line"
    columns: dict[str, None] = {}
    rows, texts, labels = [], [], []
    for number, entry in _json_list(path) if unit == "row" else _json_lines(path):
        if not isinstance(entry, dict):
            raise CourseError(
                f"{path.name}, {unit} {number} is no object: write {{...}} with a text and a label in it."
            )
        columns.update(dict.fromkeys(entry))
        rows.append(number)
        texts.append(entry.get(text))
        labels.append(entry.get(label))
    if not rows:
        raise CourseError(f"{path.name} has no rows: it needs one object for each record.")
    check_columns(path, list(columns), text, label)
    raw = Table(path, text, label, texts, labels, unit, rows)
    values = {text: _json_strings(raw, text, texts), label: _json_strings(raw, label, labels)}
    from datasets import Dataset

    read = Dataset.from_dict(values, features=_strings([text, label]))[:]
    return Table(path, text, label, read[text], read[label], unit, rows)


def _json_list(path: Path) -> Iterator[tuple[int, Any]]:
    yield from enumerate(_parsed(path, path.read_text(encoding="utf-8-sig"), path.name), 1)


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _parsed(path, line, f"{path.name}, line {number},")


def _parsed(path: Path, content: str, where: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        line = "" if where != path.name else f" of line {error.lineno}"
        problem = f"{error.msg.lower()}, at character {error.colno}{line}"
    except RecursionError:
        problem = "it is nested too deeply"
    raise CourseError(f"{where} is not valid JSON ({problem}): mend it, with one object for each record.")


def _json_strings(table: Table, column: str, values: Sequence[Any]) -> list[str | None]:
    for index, value in enumerate(values):
        if isinstance(value, (list, dict)):
            kind = "a list" if isinstance(value, list) else "an object"
            raise table.fault(index, column, f"{kind} where one value should be: name another column or flatten it.")
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise table.fault(index, column, "half of a character (a lone surrogate): remove it.")
    return [None if value is None else str(value) for value in values]


def _parquet(path: Path, text: str, label: str) -> Table:
    import pyarrow.parquet as pq
    from datasets import ClassLabel

    metadata = pq.read_metadata(path)
    check_columns(path, metadata.schema.to_arrow_schema().names, text, label)
    if metadata.num_rows == 0:
        raise CourseError(f"{path.name} has no rows: it needs one for each record.")
    dataset = _load("parquet", path, columns=[text, label])
    values = dataset[:]
    table = Table(path, text, label, values[text], values[label], "row", range(1, len(dataset) + 1))
    for name in (text, label):
        kind = next((type(value) for value in values[name] if value is not None), str)
        if kind not in (str, int, float, bool):
            raise CourseError(
                f"{path.name}, column {name!r} holds values of the type {kind.__name__}, not texts or numbers: "
                "name another column."
            )
    feature = dataset.features[label]
    if not isinstance(feature, ClassLabel):
        return table
    named = [None if value is None or value < 0 else feature.int2str(value) for value in table.labels]
    return Table(path, text, label, table.texts, named, "row", table.rows, tuple(feature.names))


def _strings(names: Sequence[str]) -> Any:
    from datasets import Features, Value

    return Features({name: Value("string") for name in names})


def _load(kind: str, path: Path, **options: Any) -> Any:
    """`datasets.load_dataset` for one file, without a cache that outlives the call."""
    import datasets

    try:
        with _quiet(), tempfile.TemporaryDirectory(prefix="records-", ignore_cleanup_errors=True) as folder:
            plain = Path(folder, f"data{path.suffix.lower()}")  # the path itself may hold what is taken for a pattern
            plain.symlink_to(path.resolve())
            return datasets.load_dataset(
                kind, data_files=[str(plain)], split="train", cache_dir=folder, keep_in_memory=True, **options
            )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        problem = first_line(error.__cause__ or error)
        raise CourseError(f"{path.name} cannot be read ({problem}): mend the file.") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no log lines from `datasets`, whose settings are put back afterwards."""
    import datasets
    from datasets.utils import logging

    shown, level = not datasets.are_progress_bars_disabled(), logging.get_verbosity()
    counted, datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, False
    datasets.disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counted  # else reading a file of one's own is reported to the hub
        if shown:
            datasets.enable_progress_bars()
