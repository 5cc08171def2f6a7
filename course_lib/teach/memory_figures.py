"""What fills a GPU, drawn: stacked bars of parts, against the lines of real GPUs.

`stacked` takes bytes by part for each bar and the bytes of each line. The parts keep their colour and hatch whatever
else is in the figure, from the bottom up in the order of `PARTS`: what is there all the time first. `of_plan` draws one
plan: a bar for each phase and one for what the process holds, so that the bar to compare with a line is the last.

The axis ends a little above the tallest bar, or at the first line above it, so a small model is not drawn flat; lines
beyond that are left out, and of lines too close to tell apart the first stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.teach import figure
from course_lib.teach.figure import COLOURS, GREY, INK, Figure
from course_lib.teach.summaries import listed
from course_lib.teach.values import named, number

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU
    from course_lib.memory.plan import Plan

GB = 10**9
# From the bottom up: part, colour, hatch. What a plan does not name here is drawn like "other".
PARTS: dict[str, tuple[str, str]] = {
    "weights": (COLOURS[0], ""),
    "adapters": (COLOURS[5], "++"),
    "gradients": (COLOURS[2], "..."),
    "optimizer": (COLOURS[4], "\\\\\\"),
    "activations": (COLOURS[1], "///"),
    "logits": (COLOURS[3], "xxx"),
    "kv_cache": ("#999933", "ooo"),
    "temporary": ("#bbbbbb", ""),
    "workspace": ("#888888", "||"),
    "other": ("#dddddd", "---"),
}
TITLES = {"kv_cache": "keys, values", "other": "allocator, context"}
CARDS = ("t4", "a10g", "a100-40", "l40s", "a100-80", "h200")  # one of each size that is common
APART = 0.045  # of the axis: lines nearer than this are one line


def stacked(
    bars: Mapping[str, Mapping[str, float]],
    *,
    lines: Mapping[str, float],
    xlabel: str,
    title: str,
    ylabel: str = "Memory (GB, 10⁹ bytes)",
    height: float = 4.6,
    summary: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Stacked bars: bytes by part for each bar, with a labelled line for each of ``lines`` (bytes) in sight.

    Raises CourseError where a bar is empty or a part is not a number of bytes.
    """
    named(xlabel, ylabel, title)
    parts = _parts(bars)
    totals = {name: sum(bar.values()) / GB for name, bar in bars.items()}
    top = _top(max(totals.values()), [size / GB for size in lines.values()])
    with figure.axes(height, title, xlabel, ylabel) as ax:
        ax.grid(visible=False, axis="x")
        base = np.zeros(len(bars))
        for part in parts:
            sizes = np.array([bar.get(part, 0) / GB for bar in bars.values()])
            colour, hatch = PARTS.get(part, PARTS["other"])
            ax.bar(range(len(bars)), sizes, 0.62, base, color=figure.lighter(colour), hatch=hatch, edgecolor="white",
                   lw=0.6, label=TITLES.get(part, part), zorder=3)  # fmt: skip
            base += sizes
        for at, total in enumerate(totals.values()):
            ax.annotate(number(total), (at, total), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9,
                        color=INK, zorder=6, bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.85})  # fmt: skip
        ax.set_xticks(range(len(bars)), list(bars))
        ax.set_xlim(-0.5, len(bars) + 0.05 + 0.06 * len(bars))  # room for the names of the lines
        ax.set_ylim(0, top)
        ax.xaxis.set_tick_params(length=0)
        _draw_lines(ax, {name: size / GB for name, size in lines.items()}, top)
        figure.key(ax, ax.get_legend_handles_labels()[0][::-1], set())  # in the order in which they lie
        return figure.finish(ax, "Stacked bar chart", summary or _summary(totals), alt)


def of_plan(plan: Plan, cards: Sequence[GPU | str] = CARDS, *, title: str = "", height: float = 4.6) -> Figure:
    """One plan: a bar for each phase, and one for all that the process holds, against the memory that GPUs have.

    ``cards`` are names or GPUs. The summary says the same in words: the peak and its parts, what is held, what fits.
    """
    known = [_card(card) for card in cards]
    bars: dict[str, Mapping[str, float]] = dict(plan.phases)
    context = plan.reserved_bytes - plan.peak_bytes
    bars["held"] = {**plan.parts, "other": max(0, context)}
    lines = {card.name: float(card.usable) for card in known}
    return stacked(
        bars,
        lines=lines,
        xlabel="Phase, and what the process holds at most",
        title=title or f"{plan.model}, {plan.recipe.method}",
        height=height,
        summary=sentence(plan, known),
    )


def sentence(plan: Plan, cards: Sequence[GPU | str] = CARDS) -> str:
    """A plan in words: the peak, when it comes, its parts, what the process holds, and on which cards there is room."""
    largest = sorted(plan.parts.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{TITLES.get(part, part)} {size / GB:.2f}" for part, size in largest if size >= 0.005 * GB)
    room = [card.name for card in map(_card, cards) if plan.reserved_bytes <= card.usable]
    where = f"room on {', '.join(room)}" if room else "room on none of these cards"
    return (
        f"Peak {plan.peak_bytes / GB:.2f} GB in the phase {plan.peak_phase} ({parts or 'all parts below 0.01'}); "
        f"the process holds {plan.reserved_bytes / GB:.2f} GB: {where}."
    )


def _card(card: GPU | str) -> GPU:
    from course_lib.memory.gpus import gpu

    return gpu(card) if isinstance(card, str) else card


def _parts(bars: Mapping[str, Mapping[str, float]]) -> list[str]:
    """All parts in the order in which they are stacked, the unknown ones on top."""
    if not bars or not all(bars.values()):
        raise CourseError("There is nothing to draw: every bar needs at least one part.")
    for name, bar in bars.items():
        for part, size in bar.items():
            if not np.isfinite(size) or size < 0:
                raise CourseError(f"{part!r} of {name!r} must be a number of bytes, not {size!r}.")
    found = dict.fromkeys(part for bar in bars.values() for part in bar)
    order = [part for part in PARTS if part in found]
    return order + [part for part in found if part not in PARTS]


def _top(tallest: float, lines: list[float]) -> float:
    """Where the axis ends: just above the tallest bar, or above the next line if that is less than twice as high."""
    above = min((line for line in lines if line >= tallest), default=tallest)
    return max(tallest * 1.12, above * 1.06 if above <= 3 * tallest else 0.0) or 1.0


def _draw_lines(ax: Any, lines: Mapping[str, float], top: float) -> None:
    """The lines in sight, each with its name at the right end; of two too close the lower one."""
    last = -top
    for name, size in sorted(lines.items(), key=lambda item: item[1]):
        if size > top or size - last < APART * top:
            continue
        last = size
        ax.axhline(size, color=GREY, ls=(0, (4, 2)), lw=1.2, zorder=4)
        ax.annotate(f"{name} {number(size)}", (1, size), xycoords=ax.get_yaxis_transform(), xytext=(-2, 2),
                    textcoords="offset points", ha="right", va="bottom", fontsize=9, color=INK, zorder=6)  # fmt: skip


def _summary(totals: Mapping[str, float]) -> str:
    return listed([f"{name} {number(total)} GB" for name, total in totals.items()])
