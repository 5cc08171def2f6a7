"""A figure of a table of numbers: every cell has a colour and its value.

The colour shows the pattern at a glance, such as a column that fades from row to row; the number is what may be quoted.
Cividis goes from dark blue to light yellow, looks the same to every kind of colour vision, and stays in order in grey.
Intervals do not fit into the cells: they are in the summary, where there are few cells enough to read them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.teach import figure
from course_lib.teach.figure import INK, Figure
from course_lib.teach.summaries import listed
from course_lib.teach.values import named, number

Cells = Sequence[Sequence[float]] | np.ndarray
TOLD = 24  # cells that a summary lists one by one


def matrix(
    values: Cells | tuple[Cells, Cells, Cells],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    percent: bool = False,
    limits: tuple[float, float] | None = None,
    height: float | None = None,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """A heatmap (rows, columns) with the number in each cell; of ``(values, low, high)`` the summary has the intervals.

    With ``percent`` the values are shares. The colours span ``limits``: 0 to 1 for shares, else what the values span.
    NaN is a cell that was not measured.
    """
    named(xlabel, ylabel, title)
    cells, low, high = _cells(values, len(rows), len(columns))
    least, most = limits or ((min(0.0, np.nanmin(cells)), max(1.0, np.nanmax(cells))) if percent else
                             (float(np.nanmin(cells)), float(np.nanmax(cells))))  # fmt: skip
    span = (most - least) or 1.0
    with figure.axes(height or min(9.0, 1.9 + 0.5 * len(rows)), title, xlabel, ylabel) as ax:
        ax.imshow(np.ma.masked_invalid(cells), cmap="cividis", vmin=least, vmax=least + span, aspect="auto")
        ax.set_facecolor("#eeeeee")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        room = 66 // len(columns)
        slanted = max(len(word) for name in columns for word in str(name).split() or [""]) > room
        ax.set_xticks(range(len(columns)), [_wrapped(name, 24 if slanted else room) for name in columns])
        if slanted:
            ax.tick_params(axis="x", rotation=35)
            for text in ax.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rows)), [_wrapped(name, 22) for name in rows])
        ax.tick_params(length=0)
        for (row, at), value in np.ndenumerate(cells):
            light = np.isnan(value) or (value - least) / span > 0.5
            ax.text(at, row, _written(value, percent, len(columns)), ha="center", va="center",
                    color=INK if light else "white", fontsize=10 if len(columns) <= 9 else 8.5)  # fmt: skip
        told = summary or of_matrix(rows, columns, (cells, low, high), percent)
        return figure.finish(ax, "Heatmap", told, alt)


def of_matrix(rows: Sequence[str], columns: Sequence[str], cells: tuple[np.ndarray, Any, Any], percent: bool) -> str:
    """Every cell where there are few, with its interval; else the highest and the lowest of each row."""
    values, low, high = cells
    told = []
    for i, name in enumerate(rows):
        measured = [j for j in range(len(columns)) if not np.isnan(values[i, j])]
        if len(values.flat) > TOLD:
            measured = sorted({max(measured, key=values[i].__getitem__), min(measured, key=values[i].__getitem__)},
                              key=lambda j: -values[i, j]) if measured else []  # fmt: skip
        texts = []
        for j in measured:
            bounds = f" ({number(low[i, j], percent)} to {number(high[i, j], percent)})" if low is not None else ""
            texts.append(f"{columns[j]} {number(values[i, j], percent)}{bounds}")
        between = ", ..., " if len(values.flat) > TOLD else ", "
        told.append(f"{name}: {between.join(texts) or 'not measured'}")
    return listed(told)


def _cells(values: Any, rows: int, columns: int) -> tuple[np.ndarray, Any, Any]:
    """Values (rows, columns), with their intervals where they are given."""
    if not rows or not columns:
        raise CourseError("There is nothing to draw: the matrix needs a row and a column.")
    tables = values if isinstance(values, tuple) and len(values) == 3 and np.ndim(values[0]) == 2 else (values,)
    try:
        arrays = [np.asarray(table, dtype=float) for table in tables]
    except (TypeError, ValueError):
        raise CourseError("The matrix must be rows of numbers, all of the same length.") from None
    for array in arrays:
        if array.shape != (rows, columns):
            raise CourseError(f"The matrix must have {rows} rows of {columns} numbers, one for each name; it has the"
                              f" shape {array.shape}.")  # fmt: skip
        if np.isinf(array).any():
            raise CourseError("The matrix contains an infinite number; NaN stands for a cell that was not measured.")
    if np.isnan(arrays[0]).all():
        raise CourseError("There is nothing to draw: no cell of the matrix is a number.")
    if len(arrays) == 1:
        return arrays[0], None, None
    if (arrays[1] > arrays[0]).any() or (arrays[2] < arrays[0]).any():
        raise CourseError("An interval of the matrix does not contain its value; the order is (value, low, high).")
    return arrays[0], arrays[1], arrays[2]


def _written(value: float, percent: bool, columns: int) -> str:
    if np.isnan(value):
        return "-"
    return f"{100 * value:.0f}%" if percent and columns > 6 else number(value, percent)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(str(text), max(8, width), break_on_hyphens=False))
