"""From the columns of a file to validated `Records`.

What cannot be learned from is refused here rather than found after an hour of training: empty texts, columns that were
mixed up, labels that are missing, a single class, an id in place of a label. Labels may be words, integers, booleans
or whole numbers that a spreadsheet has turned into ``1.0``; classes stand in numeric order where all are numbers, else
in alphabetical order.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.records.collection import Records
from course_lib.records.files import Table
from course_lib.records.formats import open_table

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
MANY = 20  # classes from which on there should be at least this many thirds of records
PER_CLASS = 3


def read(
    source: str | Path | Sequence[str | Path],
    text: str = "text",
    label: str = "label",
    *,
    classes: Sequence[str] | None = None,
    label_names: Mapping[Any, str] | None = None,
    name: str | None = None,
    ram_free: int | None = None,
) -> Records:
    """The records of a CSV, TSV, JSONL, JSON or parquet file, or of several files one after the other.

    ``classes`` fixes the classes and their order (those of the training records, for test records); ``label_names``
    maps raw labels to classes and leaves out the records with other labels; ``ram_free`` is the memory that may be
    used, in bytes (default: what is free). CourseError names file, row and column of what is wrong.
    """
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(path) for path in source]
    if not paths:
        raise CourseError("There is no file to read: name at least one.")
    tables = [open_table(path.expanduser(), text, label, ram_free) for path in paths]
    names = {str(label_of(raw)): value for raw, value in (label_names or {}).items()}
    texts: list[str] = []
    found: list[str] = []
    for table in tables:
        labels = [label_of(value) for value in table.labels]
        keep = [k for k in range(len(labels)) if not names or labels[k] in names]
        _check_texts(table, keep)
        _check_labels(table, labels, keep, names, classes)
        texts += [str(table.texts[k]) for k in keep]
        found += [names.get(str(labels[k]), str(labels[k])) for k in keep]
    if not found:
        raise CourseError(_unknown(tables, names))
    order = tuple(classes) if classes is not None else _classes(tables, found, names)
    position = {value: k for k, value in enumerate(order)}
    return Records(tuple(texts), tuple(position[value] for value in found), order, name or paths[0].name)


def label_of(value: Any) -> str | None:
    """A raw label as text: trimmed, ``1.0`` as ``1``; None where there is none.

    >>> [label_of(value) for value in (1, 1.0, "1.00", True, " good ", "", float("nan"))]
    ['1', '1', '1', 'True', 'good', None, None]
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    word = str(value).strip()
    whole = _WHOLE.fullmatch(word)
    return (whole[1] if whole else word) or None


def _check_texts(table: Table, keep: Sequence[int]) -> None:
    empty = [k for k in keep if table.texts[k] is None or not str(table.texts[k]).strip()]
    if empty:
        raise table.fault(empty[0], table.text, f"the text is empty{_and_more(empty)}: fill it in or remove the row.")
    if keep and all(_is_number(table.texts[k]) for k in keep):
        raise table.fault(
            keep[0], table.text, "numbers where text should be, in every row: name the column with the texts."
        )


def _check_labels(
    table: Table,
    labels: Sequence[str | None],
    keep: Sequence[int],
    names: Mapping[str, str],
    classes: Sequence[str] | None,
) -> None:
    missing = [k for k in keep if labels[k] is None]
    if missing:
        raise table.fault(
            missing[0], table.label, f"the label is missing{_and_more(missing)}: fill it in or remove the row."
        )
    if classes is None:
        return
    for k in keep:
        value = names.get(str(labels[k]), str(labels[k]))
        if value not in classes:
            raise table.fault(
                k, table.label, f"the label {value!r} is in no training record: add some or remove the row."
            )


def _unknown(tables: Sequence[Table], names: Mapping[str, str]) -> str:
    seen = sorted({str(label_of(value)) for table in tables for value in table.labels})
    shown = ", ".join(seen[:8]) + (", ..." if len(seen) > 8 else "")
    where = f"{tables[0].file.name}, column {tables[0].label!r}"
    return f"{where} has none of the labels {', '.join(names)}, only {shown}: check the column."


def _classes(tables: Sequence[Table], found: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """The classes in their order, checked for being classes at all."""
    counts = Counter(found)
    where = f"{tables[0].file.name}, column {tables[0].label!r}"
    if len(counts) == 1:
        raise CourseError(f"{where} has only the class {found[0]!r}: a classifier needs at least two.")
    if len(counts) > MANY and len(counts) * PER_CLASS > len(found):
        raise CourseError(
            f"{where} has {len(counts)} different labels in {len(found)} rows, like an id or free text: "
            "name the column with the classes."
        )
    if names:
        return tuple(value for value in dict.fromkeys(names.values()) if counts[value])
    if tables[0].classes:
        return tuple(value for value in tables[0].classes if counts[value])
    if all(_is_number(value) for value in counts):
        return tuple(sorted(counts, key=lambda value: (float(value), value)))
    return tuple(sorted(counts))


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _and_more(indices: Sequence[int]) -> str:
    more = len(indices) - 1
    return f" (and in {more} more row{'s' * (more > 1)})" if more else ""
