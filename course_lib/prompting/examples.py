"""Examples that belong to their question: the rows of a worksheet mean something only to the word below them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from course_lib.errors import CourseError

BETWEEN = " : "


def own_rows(record: Mapping[str, Any]) -> list[dict[str, str]]:
    r"""The ``examples`` of a worksheet's record ("mango : zomek", one a line) as records: question, answer, labels.

    A strategy takes this function as its ``examples``, and ``k`` says how many rows are shown. Raises CourseError when
    the record has no such rows.

    >>> own_rows({"examples": "mango : zomek\\\ncarp : tul", "labels": "tul, zomek"})[1]
    {'labels': 'tul, zomek', 'question': 'carp', 'answer': 'tul'}
    """
    rows = [line.split(BETWEEN) for line in str(record.get("examples", "")).splitlines()]
    if any(len(row) != 2 for row in rows) or "examples" not in record:
        raise CourseError(
            "The record has no rows such as \"mango : zomek\" in its field 'examples': make it with k rows."
        )
    shared = {name: str(record[name]) for name in ("labels",) if name in record}
    return [{**shared, "question": word, "answer": label} for word, label in rows]
