"""The figures of the course: what was measured, with its uncertainty, in one style.

Each function draws one kind of figure and returns a `Figure`, which shows itself with an alternative text and a
one-line summary of its numbers. Labels of the axes (with units) and a title are required. Where a value has an
interval, give ``(values, low, high)`` and it is drawn; a figure without its uncertainty invites conclusions that the
data do not carry. With ``percent=True`` the values are shares between 0 and 1 and are shown as percentages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.teach import figure, labels, summaries
from course_lib.teach.figure import COLOURS, GREY, HATCHES, INK, LINES, MARKERS, Figure
from course_lib.teach.matrix_plot import matrix
from course_lib.teach.tables import Table, table
from course_lib.teach.values import Curve, Point, column, curve, named, number, some

__all__ = [
    "Figure", "Point", "Table", "bars", "confusion", "histogram", "learning_curves", "line", "matrix", "scatter_cost",
    "table",
]  # fmt: skip

REFERENCE: dict[str, Any] = {"color": GREY, "ls": (0, (1, 2)), "lw": 1.3}
Numbers = Sequence[float] | np.ndarray
Banded = Numbers | tuple[Numbers, Numbers, Numbers]  # values, or (values, low, high)


def line(
    x: Numbers,
    series: Mapping[str, Banded],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    percent: bool = False,
    xlog: bool = False,
    ylog: bool = False,
    ylim: tuple[float, float] | None = None,
    xticks: Numbers | None = None,
    references: Mapping[str, float] | None = None,
    height: float = 4.0,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Lines over a common x (n,), each with a band where its interval is given.

    ``references`` are horizontal lines to compare with. The places themselves become the ticks where there are few.
    """
    some(series, "series")
    curves = [curve(name, x, values) for name, values in series.items()]
    ticks = xticks if xticks is not None else (x if len(x) <= 8 else None)
    look = {"percent": percent, "xlog": xlog, "ylog": ylog, "ylim": ylim, "xticks": ticks, "references": references}
    return _lines(curves, (xlabel, ylabel, title), height, look, summary, alt)


def learning_curves(
    runs: Mapping[str, tuple[Numbers, Numbers]],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    ylog: bool = False,
    height: float = 4.0,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Lines that each have their own x: ``{"train": (steps, losses), "test": (steps, losses)}``."""
    some(runs, "runs")
    for name, run in runs.items():
        if not isinstance(run, tuple | list) or len(run) != 2:
            raise CourseError(f"{name!r} must be a pair (steps, values).")
    curves = [curve(name, steps, values) for name, (steps, values) in runs.items()]
    return _lines(curves, (xlabel, ylabel, title), height, {"ylog": ylog, "quiet": True}, summary, alt)


def scatter_cost(
    points: Sequence[Point],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    percent: bool = True,
    xlog: bool = True,
    references: Mapping[str, float] | None = None,
    height: float = 5.0,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Quality against cost: a labelled point for each result, with its interval; groups differ by colour and marker."""
    named(xlabel, ylabel, title)
    if not points:
        raise CourseError("There is nothing to draw: points is empty.")
    groups = list(dict.fromkeys(point.group for point in points))
    some(groups, "the list of groups")
    scale = 100 if percent else 1
    x, y = column([p.x for p in points], "x"), scale * column([p.y for p in points], "y")
    _positive(x, xlog, "x")
    with figure.axes(height, title, xlabel, ylabel) as ax:
        figure.axis(ax, "x", xlog, None)
        ax.margins(x=0.14, y=0.16)
        for i, group in enumerate(groups):
            rows = [j for j, point in enumerate(points) if point.group == group]
            errors = np.array([_error(points[j]) for j in rows]).T * scale
            ax.errorbar(
                x[rows], y[rows], errors, fmt=MARKERS[i], color=COLOURS[i], ms=8, mec="white", mew=0.8, elinewidth=1.1,
                capsize=2.5, zorder=4,
            )  # fmt: skip
        _reference_lines(ax, references or {}, scale)
        names = _name_points(ax, points, groups)
        ax.figure.draw_without_rendering()
        clear = _bars_in_pixels(ax, points, scale) + _lines_in_pixels(ax, references or {}, scale)
        labels.beside_points(ax, list(zip(x, y, strict=True)), names, clear)
        return figure.finish(ax, "Scatter plot", summary or summaries.of_cost(points, xlabel, percent), alt)


def bars(
    names: Sequence[str],
    series: Mapping[str, Banded],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    percent: bool = False,
    horizontal: bool = False,
    height: float | None = None,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Bars for each name, side by side for each series, with the value written at each. (n,) values a series.

    ``xlabel`` and ``ylabel`` name the axes as drawn, so with ``horizontal`` the values lie along x.
    """
    named(xlabel, ylabel, title)
    some(series, "series")
    curves = [curve(name, np.arange(len(names)), values) for name, values in series.items()]
    scale, thick = (100 if percent else 1), 0.8 / len(curves)
    height = height or (1.5 + 0.42 * len(names) * max(1, 0.7 * len(curves)) if horizontal else 3.8)
    with figure.axes(height, title, xlabel, ylabel) as ax:
        ax.grid(visible=False, axis="y" if horizontal else "x")
        for i, one in enumerate(curves):
            at = one.x + (i - (len(curves) - 1) / 2) * thick
            _bar_row(ax, at, one, i, thick, scale, horizontal, percent)
        places = ax.yaxis if horizontal else ax.xaxis
        room = 26 if horizontal else 80 // len(names)
        places.set_ticks(range(len(names)), [_wrapped(name, room) for name in names])
        places.set_tick_params(length=0)
        if horizontal:
            ax.invert_yaxis()
        ax.margins(**{"x" if horizontal else "y": 0.12})
        if len(curves) > 1:
            figure.legend(ax)
        return figure.finish(ax, "Bar chart", summary or summaries.of_bar(names, curves, percent), alt)


def confusion(
    matrix: Sequence[Sequence[int]] | np.ndarray,
    classes: Sequence[str],
    *,
    xlabel: str = "Predicted",
    ylabel: str = "True",
    title: str,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Counts (classes, classes), row = true class, column = predicted, shaded by the share of the row."""
    named(xlabel, ylabel, title)
    counts = np.asarray(matrix)
    if counts.shape != (len(classes), len(classes)) or not len(classes) or (counts < 0).any():
        raise CourseError(f"The matrix must have {len(classes)} rows and columns of counts, one for each class.")
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    with figure.axes(min(6.5, 2.2 + 0.62 * len(classes)), title, xlabel, ylabel) as ax:
        ax.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.set_xticks(range(len(classes)), [_wrapped(name, 60 // len(classes)) for name in classes])
        ax.set_yticks(range(len(classes)), classes)
        ax.tick_params(length=0)
        for (row, at), share in np.ndenumerate(shares):
            text = f"{counts[row, at]:,}\n{share:.0%}" if len(classes) <= 6 else f"{counts[row, at]:,}"
            ax.text(at, row, text, ha="center", va="center", color=INK if share > 0.5 else "white", fontsize=10)
        return figure.finish(ax, "Confusion matrix", summary or summaries.of_confusion(counts, classes), alt)


def histogram(
    series: Mapping[str, Numbers],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    bins: int | Numbers = 30,
    height: float = 3.6,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """How often values occur, on common bins; a dashed line marks each median."""
    named(xlabel, ylabel, title)
    some(series, "series")
    columns = {name: column(values, f"{name!r}") for name, values in series.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(columns.values())), bins)
    with figure.axes(height, title, xlabel, ylabel) as ax:
        ax.margins(x=0.02)
        for i, (name, values) in enumerate(columns.items()):
            median = float(np.median(values))
            ax.hist(values, edges, histtype="stepfilled", facecolor=(COLOURS[i], 0.25), ec=COLOURS[i], hatch=HATCHES[i],
                    ls=LINES[i], lw=1.6, label=f"{name} (median {number(median)}, dashed)")  # fmt: skip
            ax.axvline(median, color=COLOURS[i], ls="--", lw=1.4)
        if len(columns) > 1:
            figure.legend(ax)
        return figure.finish(ax, "Histogram", summary or summaries.of_histogram(columns, xlabel), alt)


def _lines(
    curves: list[Curve],
    texts: tuple[str, str, str],
    height: float,
    look: dict[str, Any],
    summary: str | None,
    alt: str | None,
) -> Figure:
    """Lines with markers and bands, named at their right ends."""
    xlabel, ylabel, title = texts
    named(*texts)
    percent, references = look.get("percent", False), look.get("references") or {}
    scale = 100 if percent else 1
    for one in curves:
        _positive(one.x, look.get("xlog", False), "x")
        _positive(one.y if one.low is None else one.low, look.get("ylog", False), "y")
    with figure.axes(height, title, xlabel, ylabel) as ax:
        figure.axis(ax, "x", look.get("xlog", False), look.get("xticks"))
        figure.axis(ax, "y", look.get("ylog", False), None)
        ends = [(name, scale * float(y), REFERENCE) for name, y in references.items()]
        for i, one in enumerate(curves):
            if one.low is not None and one.high is not None:
                ax.fill_between(one.x, scale * one.low, scale * one.high, color=COLOURS[i], alpha=0.16, lw=0)
            quiet = look.get("quiet", False) and len(one.x) > 30
            drawn: dict[str, Any] = {"color": COLOURS[i], "ls": LINES[i], "lw": 1.6 if quiet else 2}
            drawn |= {} if quiet else {"marker": MARKERS[i], "mec": "white", "mew": 0.8}
            ax.plot(one.x, scale * one.y, zorder=3 + i, **drawn)
            ends.append((one.name, scale * float(one.y[-1]), drawn))
        for y in references.values():
            ax.axhline(scale * y, **REFERENCE)
        if look.get("ylim"):
            ax.set_ylim(*(scale * bound for bound in look["ylim"]))
        if len(ends) > 1:
            labels.at_line_ends(ax, ends)
        return figure.finish(ax, "Line chart", summary or summaries.of_line(curves, xlabel, percent), alt)


def _name_points(ax: Any, points: Sequence[Point], groups: list[str]) -> list[str]:
    """What to write beside each point: its label, or where there are many its number, with a key at the right."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"ls": "", "ms": 8, "mec": "white", "mew": 0.8}
    heads = [Line2D([], [], color=COLOURS[i], marker=MARKERS[i], label=group, **look) for i, group in enumerate(groups)]
    if len(points) <= 8:
        if len(groups) > 1:
            figure.legend(ax, heads)
        return [point.label for point in points]
    handles: list[Any] = []
    numbers: dict[int, str] = {}
    for head, group in zip(heads, groups, strict=True):
        handles += [head] if group else []
        for i in sorted((i for i, point in enumerate(points) if point.group == group), key=lambda i: points[i].x):
            numbers[i] = str(len(numbers) + 1)
            indent = "  " * (2 - len(numbers[i]))  # a digit is as wide as two spaces
            label = _wrapped(points[i].label, 24).replace("\n", "\n" + 6 * " ")
            handles.append(Line2D([], [], ls="", label=f"{indent}{numbers[i]}  {label}"))
    figure.key(ax, handles, set(groups))
    return [numbers[i] for i in range(len(points))]


def _positive(values: np.ndarray, log: bool, what: str) -> None:
    if log and (values <= 0).any():
        raise CourseError(f"A logarithmic axis has no place for {what} = {number(values.min())}; leave it out.")


def _error(point: Point) -> tuple[float, float]:
    """How far the interval reaches below and above; none has no length."""
    low, high = (point.y if bound is None else bound for bound in (point.low, point.high))
    if not low <= point.y <= high:
        raise CourseError(f"The interval of {point.label!r} does not contain its value.")
    return point.y - low, high - point.y


def _bars_in_pixels(ax: Any, points: Sequence[Point], scale: float) -> list[labels.Box]:
    """The error bars as boxes that labels keep clear of."""
    boxes = []
    for point in points:
        below, above = _error(point)
        x, bottom = ax.transData.transform((point.x, scale * (point.y - below)))
        top = ax.transData.transform((point.x, scale * (point.y + above)))[1]
        boxes.append((x - 5, bottom, x + 5, top))
    return boxes


def _lines_in_pixels(ax: Any, references: Mapping[str, float], scale: float) -> list[labels.Box]:
    """The reference lines as flat boxes."""
    heights = [float(ax.transData.transform((ax.get_xlim()[0], scale * y))[1]) for y in references.values()]
    return [(ax.bbox.x0, y - 2, ax.bbox.x1, y + 2) for y in heights]


def _reference_lines(ax: Any, references: Mapping[str, float], scale: float) -> None:
    for name, y in references.items():
        ax.axhline(scale * y, **REFERENCE)
        ax.annotate(name, (0, scale * y), xycoords=ax.get_yaxis_transform(), xytext=(4, 3), textcoords="offset points",
                    color=GREY, fontsize=9)  # fmt: skip


def _bar_row(
    ax: Any, at: np.ndarray, one: Curve, i: int, thick: float, scale: float, horizontal: bool, percent: bool
) -> None:
    """The bars of one series, their intervals and their values."""
    look = {
        "facecolor": figure.lighter(COLOURS[i]),
        "edgecolor": "white",
        "hatch": HATCHES[i],
        "label": one.name,
        "lw": 0.8,
    }
    ends, values = one.y, scale * one.y
    (ax.barh if horizontal else ax.bar)(at, values, thick * 0.94, **look)
    if one.low is not None and one.high is not None:
        ends = one.high
        reach = {"xerr" if horizontal else "yerr": scale * np.array([one.y - one.low, one.high - one.y])}
        centres = (values, at) if horizontal else (at, values)
        ax.errorbar(*centres, **reach, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    for place, end, value in zip(at, ends, one.y, strict=True):
        ax.annotate(
            number(value, percent), (scale * end, place) if horizontal else (place, scale * end),
            xytext=(4, 0) if horizontal else (0, 3), textcoords="offset points", fontsize=9, color=INK,
            ha="left" if horizontal else "center", va="center" if horizontal else "bottom",
        )  # fmt: skip


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(str(text), max(8, width), break_on_hyphens=False))
