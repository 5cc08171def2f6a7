"""Labels that stand beside what they name and on top of nothing.

Both ways of labelling measure the text as drawn, in pixels. At the right end of lines, labels keep the order of the
lines and are pushed apart just enough. Around points, each label tries places from close to far and takes the one that
hides least; then each tries again, now that it knows where the others went. Where a label had to move away, a thin
line leads back to its point. Left out: trying two labels at once, which only denser figures would need.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any, NamedTuple

import numpy as np

from course_lib.teach.figure import GREY, INK

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels; as an array (4,)
GAP = 3.0  # pixels that stay free around a label
SIZE = 9.0  # points


def at_line_ends(ax: Any, ends: list[tuple[str, float, dict[str, Any]]]) -> None:
    """Write (name, y in data units, look of the line) at the right edge, in the order of y, without overlap."""
    from matplotlib.lines import Line2D
    from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, TextArea

    ax.figure.draw_without_rendering()
    ends = sorted(
        (("\n".join(textwrap.wrap(name, 20, break_on_hyphens=False)), y, look) for name, y, look in ends),
        key=lambda end: end[1],
    )
    heights = [_size(ax, name)[1] + 2 * GAP for name, _, _ in ends]
    left, bottom, top = ax.get_xlim()[0], ax.bbox.y0, ax.bbox.y1
    wanted = [float(ax.transData.transform((left, y))[1]) for _, y, _ in ends]
    for (name, _, look), y in zip(ends, spread(wanted, heights, bottom, top), strict=True):
        sample = DrawingArea(24, 8)
        sample.add_artist(Line2D([0, 12, 24], [4, 4, 4], **(look | {"markevery": [1]})))
        text = TextArea(name, textprops={"fontsize": SIZE, "color": INK, "linespacing": 1.1})
        label = HPacker(children=[sample, text], align="center", pad=0, sep=5)
        at = (1.0, (y - bottom) / (top - bottom))
        place: dict[str, Any] = {"xycoords": "axes fraction", "xybox": (6, 0), "boxcoords": "offset points"}
        free: dict[str, Any] = {"box_alignment": (0, 0.5), "frameon": False, "pad": 0, "annotation_clip": False}
        ax.add_artist(AnnotationBbox(label, at, **place, **free))


def spread(wanted: list[float], heights: list[float], bottom: float, top: float) -> list[float]:
    """Centres close to the wanted ones (ascending) so that intervals of these heights do not overlap.

    >>> spread([10, 11, 50], [8, 8, 8], 0, 100)
    [6.5, 14.5, 50.0]
    """
    groups: list[tuple[list[float], list[float]]] = []  # wanted, heights
    for want, height in zip(wanted, heights, strict=True):
        groups.append(([want], [height]))
        while len(groups) > 1 and _start(*groups[-1], bottom, top) < _stop(*groups[-2], bottom, top):
            later, taller = groups.pop()
            groups[-1] = (groups[-1][0] + later, groups[-1][1] + taller)
    centres: list[float] = []
    for wants, tall in groups:
        y = _start(wants, tall, bottom, top)
        for height in tall:
            centres.append(y + height / 2)
            y += height
    return centres


def beside_points(ax: Any, points: list[tuple[float, float]], names: list[str], taken: list[Box]) -> None:
    """Write each name near its point (data units). ``taken`` are further boxes in pixels to keep clear of."""
    names = ["\n".join(textwrap.wrap(name, 24, break_on_hyphens=False)) for name in names]
    spots = np.array([ax.transData.transform(point) for point in points])
    marks = np.array([(x - 8, y - 8, x + 8, y + 8) for x, y in spots] + taken)
    frame = np.array([ax.bbox.x0, ax.bbox.y0, ax.bbox.x1, ax.bbox.y1])
    boxes = _settle([_Label(spot, *_places(spot, _size(ax, name))) for spot, name in zip(spots, names, strict=True)],
                    marks, frame)  # fmt: skip
    for name, point, spot, box in zip(names, points, spots, boxes, strict=True):
        offset = (np.array([box[0] + box[2], box[1] + box[3]]) / 2 - spot) * 72 / ax.figure.dpi
        near = np.clip(spot, box[:2], box[2:])
        written = ax.annotate(
            name, point, xytext=tuple(offset), textcoords="offset points", ha="center", va="center", fontsize=SIZE,
            color=INK, linespacing=1.1, zorder=6,
        )  # fmt: skip
        written.set_in_layout(False)
        if np.hypot(*(near - spot)) > 26:
            start, end = ax.transData.inverted().transform([spot, near])
            ax.plot(*zip(start, end, strict=True), color=GREY, lw=0.7, zorder=2, scalex=False, scaley=False)


class _Label(NamedTuple):
    """A label's point (2,), the boxes where it could stand (K, 4), and how far each is from the point (K,)."""

    spot: np.ndarray
    places: np.ndarray
    distances: np.ndarray


def _settle(labels: list[_Label], marks: np.ndarray, frame: np.ndarray) -> list[np.ndarray]:
    """A place for each label: first one after the other, then each again, given where the others are."""
    chosen: list[np.ndarray | None] = [None] * len(labels)
    spots = np.array([label.spot for label in labels])
    neighbours = (np.hypot(*(spots[:, None] - spots).T) < 150).sum(0)
    crowded = [int(i) for i in np.argsort(-neighbours, kind="stable")]
    for _ in range(6):
        for i in crowded:
            others = [(labels[j].spot, box) for j, box in enumerate(chosen) if j != i and box is not None]
            chosen[i] = labels[i].places[int(np.argmin(_costs(labels[i], others, marks, frame)))]
    return [box for box in chosen if box is not None]


def _costs(label: _Label, others: list[tuple[np.ndarray, np.ndarray]], marks: np.ndarray, frame: np.ndarray) -> Any:
    """What each place of a label costs: the area it hides, what lies outside, and a long or crossing lead."""
    places, spot = label.places, label.spot
    area = (places[:, 2] - places[:, 0]) * (places[:, 3] - places[:, 1])
    cost = 2 * label.distances + 4 * (area - _overlaps(places, frame[None])) + 2 * _overlaps(places, marks)
    near = np.clip(spot, places[:, :2], places[:, 2:])
    path = spot + (near - spot) * np.linspace(0.25, 1, 12)[:, None, None]  # (12, K, 2)
    beyond = np.hypot(*(path - spot).T).T > 14  # the lead's first pixels lie on the point's own mark
    cost += 60 * (_inside(path, marks) & beyond).sum(0)
    if others:
        boxes = np.array([box for _, box in others])
        cost += 3 * _overlaps(places, boxes) + 150 * _inside(path, boxes).sum(0)
        for other, box in others:
            end = np.clip(other, box[:2], box[2:])
            lead = other + (end - other) * np.linspace(0, 1, 12)[:, None]
            over = (lead[:, None] > places[:, :2]) & (lead[:, None] < places[:, 2:])  # (12, K, 2)
            cost += 150 * over.all(-1).sum(0) + 300 * _cross(spot, near, other, end)
    return cost


def _places(spot: np.ndarray, size: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of this size around a spot (K, 4), in 16 directions, from close to far, and their distances (K,)."""
    places, distances = [], []
    for distance in (12.0, 18.0, 28.0, 40.0, 56.0, 76.0, 100.0, 130.0, 165.0, 200.0):
        for turn in range(16):
            across, up = math.cos(math.pi * turn / 8), math.sin(math.pi * turn / 8)
            x = spot[0] + across * distance + size[0] / 2 * max(-1, min(1, 1.6 * across))
            y = spot[1] + up * distance + size[1] / 2 * max(-1, min(1, 1.6 * up))
            places.append((x - size[0] / 2 - GAP, y - size[1] / 2 - GAP, x + size[0] / 2 + GAP, y + size[1] / 2 + GAP))
            distances.append(distance + (0 if turn % 4 == 0 else 3))  # beside, above or below reads best
    return np.array(places), np.array(distances)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> Any:
    """The area of each box (K, 4) that the others (M, 4) cover, summed: (K,)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(-1).sum(-1)


def _inside(points: np.ndarray, boxes: np.ndarray) -> Any:
    """Whether each point (..., 2) lies in any of the boxes (M, 4): (...)."""
    at = points[..., None, :]
    return ((at > boxes[:, :2]) & (at < boxes[:, 2:])).all(-1).any(-1)


def _cross(start: np.ndarray, ends: np.ndarray, other: np.ndarray, other_end: np.ndarray) -> Any:
    """Whether the segments from start to each end (K, 2) cross the other one: (K,)."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Any:
        return np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    apart = side(start, ends, other) * side(start, ends, other_end) < 0
    return apart & (side(other, other_end, start) * side(other, other_end, ends) < 0)


def _start(wants: list[float], heights: list[float], bottom: float, top: float) -> float:
    """Where a stack of labels begins so that on average each stands where it wants to, inside the axes."""
    above = np.cumsum([0.0, *heights[:-1]]) + np.asarray(heights) / 2
    return float(max(bottom, min(float(np.mean(np.asarray(wants) - above)), top - sum(heights))))


def _stop(wants: list[float], heights: list[float], bottom: float, top: float) -> float:
    return _start(wants, heights, bottom, top) + sum(heights)


def _size(ax: Any, text: str) -> tuple[float, float]:
    """Width and height of a label in pixels, measured as bold so that both kinds fit."""
    probe = ax.text(0, 0, text, fontsize=SIZE, fontweight="bold")
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height
