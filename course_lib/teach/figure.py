"""One style for every figure, and a figure that can be read without seeing it.

The colours are Okabe and Ito's, which differ for every kind of colour vision; because paper is grey and memory short,
series also differ by marker, line and hatch. A figure is drawn on its own canvas, never through pyplot, so nothing of
the reader's own matplotlib settings changes it or is changed. The same data gives the same bytes on the same machine:
the size is fixed and the PNG carries neither date nor software.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.teach import show

WIDTH = 700  # pixels on the page
DPI = 150  # pixels per inch in the file, so that the figure stays sharp on dense screens
INCHES = 7.0
INK, GREY = "#222222", "#6b6b6b"

# Okabe and Ito (2008), the yellow left out: it vanishes on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (6, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (3, 1)), (0, (9, 3)), "-")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "ooo")

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10.5,
    "text.parse_math": False,  # a class named "$5 to $10" is no formula
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelpad": 6,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2.0,
    "lines.markersize": 6.5,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_MACHINE = ("backend", "interactive", "toolbar", "webagg", "timezone")  # settings of the machine, not of a figure


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its picture, what it shows in one line, and what stands in for it where it cannot be seen."""

    png: bytes
    summary: str
    alt: str

    def save(self, path: str | Path) -> Path:
        """Write the PNG file and return its path."""
        Path(path).write_bytes(self.png)
        return Path(path)

    def image(self) -> str:
        """The picture alone, as an HTML element with its alternative text."""
        data = base64.b64encode(self.png).decode("ascii")
        return (
            f'<img alt="{html.escape(self.alt)}" width="{WIDTH}" style="max-width:100%;height:auto" '
            f'src="data:image/png;base64,{data}">'
        )

    def html(self) -> str:
        """The picture with its summary below."""
        caption = f'<figcaption style="max-width:{WIDTH}px"><small>{show.escape(self.summary)}</small></figcaption>'
        return f'<figure style="margin:.5em 0">{self.image()}{caption}</figure>'

    def __str__(self) -> str:
        return self.summary

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}


@contextmanager
def axes(height: float, title: str, xlabel: str, ylabel: str) -> Iterator[Any]:
    """Matplotlib axes in the course's style, whatever the reader's settings; those are as before afterwards."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    look: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith(_MACHINE)} | STYLE
    with matplotlib.rc_context(rc=look):
        canvas = Canvas(figsize=(INCHES, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(canvas)
        canvas.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr,call-arg]
        ax = canvas.add_subplot()
        rows = -(-len(title) // 62)  # of about the same length
        ax.set_title("\n".join(textwrap.wrap(title, len(title) // rows + 8)), fontsize=STYLE["axes.titlesize"])
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        yield ax


def finish(ax: Any, kind: str, summary: str, alt: str | None) -> Figure:
    """Draw the axes' figure to PNG bytes.

    A palette of 255 colours, which no eye tells from the full picture, makes the file and so the notebook a third of
    the size.
    """
    from PIL import Image

    out = io.BytesIO()
    ax.figure.canvas.draw()
    picture = Image.fromarray(np.asarray(ax.figure.canvas.buffer_rgba())).convert("RGB")
    picture.quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    described = alt or f"{kind}: {ax.get_ylabel() or 'values'} against {ax.get_xlabel() or 'categories'}. {summary}"
    return Figure(out.getvalue(), summary, described)


def legend(ax: Any, handles: list[Any] | None = None) -> None:
    """A legend in rows between title and axes, where it hides nothing."""
    shown = handles if handles is not None else ax.get_legend_handles_labels()[0]
    across = 4 if sum(len(str(handle.get_label())) for handle in shown) < 64 else 2
    rows = -(-len(shown) // across)
    place = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.99), "borderaxespad": 0.2}
    ax.legend(handles=shown, ncols=across, columnspacing=1.6, **place)
    ax.set_title(ax.get_title(loc="left"), pad=14 + 17 * rows, fontsize=STYLE["axes.titlesize"])


def key(ax: Any, handles: list[Any], heads: set[str]) -> None:
    """A list at the right of the axes, its headings in bold."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02), "borderaxespad": 0}
    shown = ax.legend(handles=handles, fontsize=9, handlelength=0.9, handletextpad=0.5, labelspacing=0.45, **place)
    for text in shown.get_texts():
        text.set_fontweight("bold" if text.get_text() in heads else "normal")


def axis(ax: Any, name: str, log: bool, ticks: Any) -> None:
    """A logarithmic axis with plain numbers, and ticks where they are wanted."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    axis = ax.xaxis if name == "x" else ax.yaxis
    if log:
        ax.set_xscale("log") if name == "x" else ax.set_yscale("log")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())
    if ticks is not None:
        axis.set_ticks(list(ticks))
        axis.set_minor_locator(NullLocator())


def lighter(colour: str) -> tuple[float, ...]:
    """The colour mixed with some white: opaque, so that grid lines do not shine through."""
    from matplotlib.colors import to_rgb

    return tuple(0.78 * part + 0.22 for part in to_rgb(colour))
