"""A table of results: HTML with a caption and headed columns for a notebook, aligned columns of text elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError
from course_lib.teach import show
from course_lib.teach.values import number

Format = str | Callable[[Any], str]
Column = str | tuple[str, Format]  # a heading, or a heading and how its values are written


@dataclass(frozen=True)
class Table:
    """Cells as text, and which columns hold numbers (they are aligned right)."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    @property
    def summary(self) -> str:
        """What the table holds, in one line."""
        return f"{self.caption} ({len(self.rows)} rows: {', '.join(self.headings)})"

    def html(self) -> str:
        """The table as HTML; its first column heads the rows."""
        sides = [f'style="text-align:{"right" if right else "left"};padding:.2em .7em"' for right in self.numeric]
        named = zip(self.headings, sides, strict=True)
        head = "".join(f'<th scope="col" {side}>{show.escape(heading)}</th>' for heading, side in named)
        body = "".join(
            "<tr>"
            + "".join(
                f'<th scope="row" {side}>{show.escape(cell)}</th>' if i == 0 else f"<td {side}>{show.escape(cell)}</td>"
                for i, (cell, side) in enumerate(zip(row, sides, strict=True))
            )
            + "</tr>"
            for row in self.rows
        )
        caption = f'<caption style="caption-side:top;text-align:left"><b>{show.escape(self.caption)}</b></caption>'
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __str__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(len(row[i]) for row in lines) for i in range(len(self.headings))]
        laid = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self.numeric, strict=True)
            ).rstrip()
            for row in lines
        ]
        return "\n".join([self.caption, laid[0], "  ".join("-" * width for width in widths), *laid[1:]])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}


def table(rows: Sequence[Any], columns: Mapping[str, Column], *, caption: str) -> Table:
    """A table of mappings or objects; ``columns`` maps each field to its heading, or to (heading, format).

    >>> print(table([{"n": 2, "acc": 0.912}], {"n": "Blocks", "acc": ("Accuracy", "{:.1%}")}, caption="Unfreezing"))
    Unfreezing
    Blocks  Accuracy
    ------  --------
         2     91.2%
    """
    if not columns:
        raise CourseError("This table has no columns; name the fields to show.")
    if not isinstance(caption, str) or not caption.strip():
        raise CourseError("This table has no caption; say what it shows.")
    fields = {key: (spec, None) if isinstance(spec, str) else spec for key, spec in columns.items()}
    values = [[_field(row, key) for key in fields] for row in rows]
    cells = [
        tuple(_written(value, how) for value, (_, how) in zip(row, fields.values(), strict=True)) for row in values
    ]
    numeric = tuple(
        bool(values) and all(row[i] is None or _is_number(row[i]) for row in values) for i in range(len(fields))
    )
    return Table(caption, tuple(heading for heading, _ in fields.values()), tuple(cells), numeric)


def _field(row: Any, key: str) -> Any:
    if isinstance(row, Mapping) and key in row:
        return row[key]
    if not isinstance(row, Mapping) and hasattr(row, key):
        return getattr(row, key)
    raise CourseError(f"A row of this table has no field {key!r}.")


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str | bool)


def _written(value: Any, how: Format | None) -> str:
    if value is None:
        return "-"
    if how is not None:
        return how.format(value) if isinstance(how, str) else how(value)
    return number(float(value)) if _is_number(value) else str(value)
