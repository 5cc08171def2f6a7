"""What can be found wrong with a file before it is parsed, each with a sentence that says how to mend it.

The checks go from cheap to dear: is it there, is it what its suffix says, does it fit into memory, is it UTF-8, has it
the columns. Each reads as little as it can, and the first that fails ends the reading.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError

SUFFIXES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": "", ".json": "", ".parquet": ""}
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
EXPANSION = 4  # bytes in memory for each byte of a file: Arrow, Python strings and the copy that a split makes
SMALL = 64 * 2**20  # files that fit into any machine are not worth asking for its free memory


@dataclass(frozen=True)
class Table:
    """Two columns of a file as they are, and where each of their rows stands in it."""

    file: Path
    text: str
    label: str
    texts: Sequence[Any]
    labels: Sequence[Any]
    unit: str  # "line" of the file where it has lines, else "row", both counted from 1
    rows: Sequence[int]
    classes: tuple[str, ...] | None = None  # in their order, where the file names them

    def fault(self, index: int, column: str, problem: str) -> CourseError:
        """The error for one row: file, row, column, what is wrong and what to do."""
        return CourseError(f"{self.file.name}, {self.unit} {self.rows[index]}, column {column!r}: {problem}")


def check_file(path: Path, ram_free: int | None = None) -> None:
    """Everything that can be found out about a file before it is parsed; ``ram_free`` is the free memory in bytes."""
    _check_exists(path)
    _check_kind(path)
    _check_memory(path, ram_free)
    if path.suffix.lower() != ".parquet":
        _check_encoding(path)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise CourseError(_missing(path))
    if path.is_dir():
        raise CourseError(f"{path} is a folder: name one of the files in it.")
    if path.suffix.lower() not in SUFFIXES:
        raise CourseError(f"{path.name} cannot be read: save it as .csv, .tsv, .jsonl, .json or .parquet.")


def _check_kind(path: Path) -> None:
    """By the first bytes: people rename a workbook to .csv and hope."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise CourseError(f"{path} cannot be opened ({error.strerror}): check its permissions.") from error
    if not start:
        raise CourseError(f"{path.name} is empty: it needs a header and rows.")
    found = next((what for magic, what in _SIGNATURES.items() if start.startswith(magic)), None)
    if path.suffix.lower() == ".parquet":
        if start != b"PAR1":
            raise CourseError(
                f"{path.name} is not a parquet file: give it the suffix of what it is, or download it again."
            )
    elif found == "text in UTF-16":
        raise CourseError(f'{path.name} is text in UTF-16: save it as UTF-8 (spreadsheets call it "CSV UTF-8").')
    elif found:
        raise CourseError(f"{path.name} is {found}, not text: export it as CSV in UTF-8.")


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no file {path}, nor a folder {folder}: check the path."
    names = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES]
    close = difflib.get_close_matches(path.name, names, n=2, cutoff=0.5)
    close = close or [name for name in sorted(names) if Path(name).stem == path.stem]
    hint = f"did you mean {' or '.join(close)}?" if close else "check the path."
    return f"There is no file {path}: {hint}"


def _check_memory(path: Path, ram_free: int | None) -> None:
    size = path.stat().st_size
    if path.suffix.lower() == ".parquet":
        size = max(size, _parquet_bytes(path))
    needed = EXPANSION * size
    if ram_free is None:
        if needed <= SMALL:
            return
        from course_lib.hardware import memory

        _, ram_free = memory()
    if needed > ram_free:
        raise CourseError(
            f"{path.name} needs about {needed / 2**30:.1f} GiB of memory, but {ram_free / 2**30:.1f} GiB are free: "
            "close other programs or cut the file into parts."
        )


def _parquet_bytes(path: Path) -> int:
    """The size of the contents when unpacked; CourseError where the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise CourseError(f"{path.name} is damaged or cut short ({first_line(error)}): get it again.") from error
    return sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))


def _check_encoding(path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path.name}, line {number}"
            try:
                line.decode("utf-8")
                binary = b"\0" in line
            except UnicodeDecodeError as error:
                binary = b"\0" in line + file.read(1024)  # a picture or a workbook, not a letter of an old encoding
                if not binary:
                    place = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
                    fix = 'save the file as UTF-8 (spreadsheets call it "CSV UTF-8")'
                    raise CourseError(f"{where} is not UTF-8 ({place}): {fix}.") from None
            if binary:
                raise CourseError(f"{where} holds binary data (zero bytes): export the file as text in UTF-8.")


def check_columns(path: Path, columns: Sequence[str], *wanted: str) -> None:
    """CourseError where a wanted column is missing or stands there twice."""
    for name in wanted:
        if columns.count(name) > 1:
            raise CourseError(
                f"{path.name} has {columns.count(name)} columns named {name!r}: rename all but one of them."
            )
        if name in columns:
            continue
        folded = {column.strip().casefold(): column for column in columns}
        close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
        shown = ", ".join(repr(column if len(column) <= 40 else column[:37] + "...") for column in columns[:12])
        shown += f" and {len(columns) - 12} more" if len(columns) > 12 else ""
        other = "name one of these, or give the columns names in the first line."
        other = other if SUFFIXES[path.suffix.lower()] else "name one of these."
        hint = f"did you mean {folded[close[0]]!r}?" if close else other
        raise CourseError(f"{path.name} has no column {name!r}, it has {shown}: {hint}")


def check_delimiter(path: Path, columns: Sequence[str], delimiter: str, *wanted: str) -> None:
    """CourseError where the header makes sense only when it is cut at another character."""
    if set(wanted) <= set(columns):
        return
    for other, name in DELIMITERS.items():
        fields = [field.strip('"') for field in delimiter.join(columns).split(other)]
        if other != delimiter and (set(wanted) <= set(fields) or len(columns) == 1 < len(fields)):
            fix = {",": "rename it to .csv", "\t": "rename it to .tsv"}.get(other, "save it with commas")
            raise CourseError(
                f"{path.name} separates its columns with {name}, not with {DELIMITERS[delimiter]}: {fix}."
            )


def first_line(error: BaseException) -> str:
    """What an error of a library says first, short enough for a sentence of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
