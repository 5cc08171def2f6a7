"""Figures: deterministic, described, legible, and without a trace on the reader's own settings."""

from __future__ import annotations

import doctest
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from course_lib.errors import CourseError
from course_lib.teach import figure, labels, plots, summaries, tables, values

AXES = {"xlabel": "Trained blocks", "ylabel": "Accuracy (%)", "title": "What blocks bring"}
POINTS = [
    plots.Point("tf-idf + logistic regression", 1.2, 0.83, 0.80, 0.86, "baseline"),
    plots.Point("frozen features", 22, 0.868, 0.842, 0.89, "frozen"),
    plots.Point("frozen features + SVM", 23, 0.864, 0.838, 0.888, "frozen"),
    plots.Point("all layers", 230, 0.905, 0.88, 0.925, "fine-tuned"),
]
DRAWN = {
    "line": lambda **more: plots.line([0, 1, 2], {"a": [0.8, 0.9, 0.85]}, **AXES, **more),
    "learning_curves": lambda **more: plots.learning_curves({"a": ([1, 2], [0.7, 0.5])}, **AXES, **more),
    "scatter_cost": lambda **more: plots.scatter_cost(POINTS, **AXES, **more),
    "bars": lambda **more: plots.bars(["x", "y"], {"a": [1, 2]}, **AXES, **more),
    "confusion": lambda **more: plots.confusion([[9, 1], [2, 8]], ["no", "yes"], **AXES, **more),
    "histogram": lambda **more: plots.histogram({"a": [1, 2, 2, 3]}, **AXES, **more),
    "matrix": lambda **more: plots.matrix([[0.9, 0.1], [0.4, 0.8]], ["p", "q"], ["x", "y"], **AXES, **more),
}


def picture(drawn: plots.Figure) -> Image.Image:
    return Image.open(io.BytesIO(drawn.png))


@pytest.mark.parametrize("kind", DRAWN)
def test_every_figure_has_a_summary_in_one_line_and_an_alternative_text_with_its_axes(kind: str) -> None:
    drawn = DRAWN[kind]()
    assert drawn.summary
    assert "\n" not in drawn.summary
    assert "Trained blocks" in drawn.alt
    assert "Accuracy (%)" in drawn.alt
    assert drawn.summary in drawn.alt


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_figure_drawn_twice_has_the_same_bytes(kind: str) -> None:
    assert DRAWN[kind]().png == DRAWN[kind]().png


@pytest.mark.parametrize("kind", DRAWN)
def test_a_picture_is_twice_as_wide_as_shown_or_sharper_and_carries_no_date_or_software(kind: str) -> None:
    shown = picture(DRAWN[kind]())
    assert shown.width == round(figure.INCHES * figure.DPI)
    assert shown.width > 1.4 * figure.WIDTH
    assert not set(shown.info) & {"Software", "Creation Time", "date", "dpi"}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("missing", AXES)
def test_a_figure_without_a_label_or_title_is_refused(kind: str, missing: str) -> None:
    with pytest.raises(CourseError, match=missing):
        _draw_without(kind, missing)


def _draw_without(kind: str, missing: str) -> None:
    names = {**AXES, missing: " "}
    given = {
        "line": lambda: plots.line([0, 1], {"a": [1, 2]}, **names),
        "learning_curves": lambda: plots.learning_curves({"a": ([1], [1])}, **names),
        "scatter_cost": lambda: plots.scatter_cost(POINTS, **names),
        "bars": lambda: plots.bars(["x"], {"a": [1]}, **names),
        "confusion": lambda: plots.confusion([[1]], ["x"], **names),
        "histogram": lambda: plots.histogram({"a": [1]}, **names),
        "matrix": lambda: plots.matrix([[1]], ["p"], ["x"], **names),
    }
    given[kind]()


def test_own_words_replace_the_summary_and_the_alternative_text() -> None:
    drawn = DRAWN["line"](summary="Up, then down.", alt="A hill.")
    assert (drawn.summary, drawn.alt) == ("Up, then down.", "A hill.")


def test_a_notebook_gets_an_image_with_alternative_text_and_the_summary_as_text() -> None:
    drawn = plots.line([0, 1], {"a < b": [1, 2]}, xlabel="x (s)", ylabel="y", title='A "quoted" title')
    bundle = drawn._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == drawn.summary
    assert '<img alt="Line chart: y against x (s). A &lt; b goes from' in bundle["text/html"]
    assert 'src="data:image/png;base64,' in bundle["text/html"]


def test_a_figure_can_be_saved(tmp_path: Path) -> None:
    path = DRAWN["bars"]().save(tmp_path / "bars.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_drawing_neither_reads_nor_changes_the_readers_matplotlib_settings() -> None:
    plain = DRAWN["line"]().png
    with matplotlib.rc_context({"font.size": 40, "lines.linewidth": 9, "axes.facecolor": "black"}):
        before = dict(matplotlib.rcParams)
        assert DRAWN["line"]().png == plain
        assert dict(matplotlib.rcParams) == before


def test_drawing_opens_no_pyplot_figure() -> None:
    import matplotlib.pyplot

    DRAWN["bars"]()
    assert matplotlib.pyplot.get_fignums() == []


def test_the_style_uses_no_font_that_matplotlib_does_not_bring() -> None:
    from matplotlib import font_manager

    found = font_manager.findfont(figure.STYLE["font.family"], fallback_to_default=False)
    assert found.startswith(matplotlib.get_data_path())


def test_series_differ_without_colour() -> None:
    assert len(set(figure.MARKERS)) == len(set(figure.HATCHES)) == len(figure.COLOURS) == 7
    assert len(set(zip(figure.MARKERS, map(str, figure.LINES), strict=True))) == 7


def test_the_colours_are_far_enough_from_white_to_be_seen() -> None:
    from matplotlib.colors import to_rgb

    for colour in figure.COLOURS:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = np.dot(linear, (0.2126, 0.7152, 0.0722))
        assert 1.05 / (luminance + 0.05) > 2, colour


def test_percent_shows_shares_as_percentages_in_summary_and_picture() -> None:
    shares = plots.line([1, 2], {"a": [0.5, 0.75]}, **AXES, percent=True)
    assert shares.summary == "A goes from 50.0% at trained blocks 1 to 75.0% at 2."
    assert shares.png == plots.line([1, 2], {"a": [50, 75]}, **AXES).png


def test_a_peak_inside_a_line_is_told() -> None:
    assert "highest 0.9 at 1" in DRAWN["line"]().summary


def test_the_cost_summary_names_best_cheapest_and_the_cheapest_that_the_interval_includes() -> None:
    points = [*POINTS, plots.Point("last 2 blocks", 77, 0.894, 0.87, 0.915, "fine-tuned")]
    summary = plots.scatter_cost(points, xlabel="CPU time (s)", ylabel="Accuracy (%)", title="Cost").summary
    assert summary == (
        "Best of 5: all layers (90.5% at CPU time 230); cheapest: tf-idf + logistic regression (83.0% at CPU time 1.2);"
        " cheapest within the best one's interval: last 2 blocks (89.4% at CPU time 77)."
    )


def test_the_confusion_summary_names_the_most_frequent_mistake() -> None:
    assert DRAWN["confusion"]().summary == "17 of 20 right; the most frequent mistake is yes taken for no (2 times)."


def test_the_confusion_summary_of_a_perfect_classifier_names_no_mistake() -> None:
    perfect = plots.confusion([[3, 0], [0, 4]], ["a", "b"], title="Perfect")
    assert perfect.summary == "7 of 7 right."


def test_the_histogram_summary_has_count_range_and_median() -> None:
    assert DRAWN["histogram"]().summary == "A: 4 values of trained blocks between 1 and 3, median 2."


def test_the_summary_of_a_small_matrix_has_every_cell_with_its_interval() -> None:
    shares = np.array([[0.9, 0.1], [0.4, np.nan]])
    drawn = plots.matrix(
        (shares, shares - 0.05, shares + 0.05), ["base", "tuned"], ["sums", "SQL"], **AXES, percent=True
    )
    assert drawn.summary == (
        "Base: sums 90.0% (85.0% to 95.0%), SQL 10.0% (5.0% to 15.0%); tuned: sums 40.0% (35.0% to 45.0%)."
    )


def test_the_summary_of_a_large_matrix_has_the_highest_and_the_lowest_cell_of_each_row() -> None:
    shares = np.linspace(0, 1, 30).reshape(3, 10)
    shares[2] = np.nan
    drawn = plots.matrix(shares, ["a", "b", "c"], [f"task {i}" for i in range(10)], **AXES, percent=True)
    assert drawn.summary == "A: task 9 31.0%, ..., task 0 0.0%; b: task 9 65.5%, ..., task 0 34.5%; c: not measured."


def test_a_matrix_of_shares_has_the_same_colours_whatever_its_values() -> None:
    def corner(value: float) -> Any:
        one = plots.matrix([[value, 0.2]], ["p"], ["x", "y"], **AXES, percent=True)
        shown = picture(one).convert("RGB")
        return shown.getpixel((shown.width - 60, shown.height // 2 - 40))

    assert np.abs(np.subtract(corner(0.1), corner(0.9))).max() < 4  # the colour of 0.2 does not hang on its neighbour


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: plots.line([0, 1], {"a": [1]}, **AXES), "'a' has 1 values where 2 are needed"),
        (lambda: plots.line([0, 1], {}, **AXES), "nothing to draw"),
        (lambda: plots.line([], {"a": []}, **AXES), "at least one number"),
        (lambda: plots.line([0, 1], {"a": [1, float("nan")]}, **AXES), "not a finite number"),
        (lambda: plots.line([0, 1], {"a": ["x", "y"]}, **AXES), "list of numbers"),
        (lambda: plots.line([0, 1], {"a": ([1, 2], [2, 3], [3, 4])}, **AXES), "does not contain its value"),
        (lambda: plots.line([0, 1], {"a": [1, 2]}, **AXES, xlog=True), "logarithmic axis has no place for x = 0"),
        (lambda: plots.line([0], {str(i): [1] for i in range(8)}, **AXES), "more than 7"),
        (lambda: plots.learning_curves({"a": [1, 2, 3]}, **AXES), "pair"),
        (lambda: plots.scatter_cost([], **AXES), "nothing to draw"),
        (lambda: plots.scatter_cost([plots.Point("a", 1, 0.9, 0.95, 1)], **AXES), "interval of 'a'"),
        (lambda: plots.scatter_cost([plots.Point("a", 0, 0.9)], **AXES), "logarithmic"),
        (lambda: plots.bars(["x"], {"a": [1, 2]}, **AXES), "2 values where 1"),
        (lambda: plots.confusion([[1, 2]], ["a", "b"], title="t"), "2 rows and columns"),
        (lambda: plots.confusion([], [], title="t"), "rows and columns"),
        (lambda: plots.histogram({"a": []}, **AXES), "at least one number"),
        (lambda: plots.matrix([], [], [], **AXES), "needs a row and a column"),
        (lambda: plots.matrix([[1, 2]], ["p"], ["x"], **AXES), r"1 rows of 1 numbers, .* the shape \(1, 2\)"),
        (lambda: plots.matrix([[1, 2], [3]], ["p", "q"], ["x", "y"], **AXES), "all of the same length"),
        (lambda: plots.matrix([["a"]], ["p"], ["x"], **AXES), "rows of numbers"),
        (lambda: plots.matrix([[float("inf")]], ["p"], ["x"], **AXES), "infinite"),
        (lambda: plots.matrix([[float("nan")]], ["p"], ["x"], **AXES), "no cell"),
        (lambda: plots.matrix(([[1]], [[2]], [[3]]), ["p"], ["x"], **AXES), "does not contain its value"),
    ],
)
def test_a_wrong_call_gets_a_sentence(wrong: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        wrong()


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: plots.line([3], {"a": [1]}, **AXES),
        lambda: plots.line([1, 1000], {"a": ([1, 2], [1, 1], [2, 3])}, **AXES, xlog=True, ylog=True),
        lambda: plots.line([1, 2], {"a": [0, 0], "b": [0, 0]}, **AXES, references={"floor": 0}, ylim=(-1, 1)),
        lambda: plots.bars(["a" * 60, "b"], {"s": ([1, 2], [0, 1], [2, 3]), "t": [0, -1]}, **AXES, horizontal=True),
        lambda: plots.confusion(np.eye(12, dtype=int), list("abcdefghijkl"), title="Twelve"),
        lambda: plots.confusion([[0, 0], [0, 0]], ["a", "b"], title="Empty rows"),
        lambda: plots.histogram({"a": [1.0], "b": [1.0, 1.0]}, **AXES),
        lambda: plots.matrix(np.eye(14), [f"row {i}" for i in range(14)], ["$column$ " * 4] * 14, **AXES, percent=True),
        lambda: plots.matrix([[2.0, 2.0]], ["p"], ["x", "y"], **AXES),
        lambda: plots.scatter_cost([plots.Point(r"only $\one_point$", 1, 0.5)], **AXES),
        lambda: plots.scatter_cost([plots.Point(f"rung {i}", 1 + i, 0.9) for i in range(20)], **AXES),
    ],
)
def test_odd_data_still_makes_a_figure(drawn: Callable[[], Any]) -> None:
    assert picture(drawn()).height > 200


@pytest.mark.parametrize("wanted", [[5.0, 5.0, 5.0], [0.0, 1.0, 99.0], [98.0, 99.0, 100.0], [10.0, 50.0, 90.0]])
def test_labels_at_line_ends_keep_their_order_and_do_not_overlap(wanted: list[float]) -> None:
    placed = labels.spread(wanted, [10.0, 12.0, 10.0], 0.0, 100.0)
    edges = [(y - h / 2, y + h / 2) for y, h in zip(placed, [10, 12, 10], strict=True)]
    assert all(low[1] <= high[0] + 1e-9 for low, high in itertools.pairwise(edges))
    assert edges[0][0] >= 0
    assert edges[-1][1] <= 100


def test_labels_beside_points_cover_neither_points_nor_each_other() -> None:
    with figure.axes(5, "Title", "Time (s)", "Accuracy (%)") as ax:
        spots = [
            (x, 80 + y) for x, y in [(1, 1), (1.05, 1.1), (1.1, 1), (1.4, 1.2), (3, 4), (3.1, 4.1), (8, 2), (8.2, 2)]
        ]
        ax.plot(*zip(*spots, strict=True), "o")
        ax.figure.draw_without_rendering()
        labels.beside_points(ax, spots, [f"a rung with number {i}" for i in range(8)], [])
        boxes = [text.get_window_extent() for text in ax.texts]
        pixels = ax.transData.transform(spots)
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.contains(*pixel) for box in boxes for pixel in pixels)
    assert all(ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0 for box in boxes)


def test_many_points_are_numbered_by_group_and_cost_with_a_key() -> None:
    points = [plots.Point(f"rung {i}", 100 - i, 0.9, group="ab"[i % 2]) for i in range(10)]
    with figure.axes(5, "Title", "Time (s)", "Accuracy (%)") as ax:
        names = plots._name_points(ax, points, ["a", "b"])
        key = [text.get_text().strip() for text in ax.get_legend().get_texts()]
    assert names[8] == "1"  # the cheapest of group a
    assert names[1] == "10"
    assert key[:2] == ["a", "1  rung 8"]
    assert sorted(names, key=int) == [str(i) for i in range(1, 11)]


def test_a_table_shows_fields_of_mappings_and_of_objects_as_html_and_text() -> None:
    rows = [POINTS[0], {"label": "a < b", "x": 12345.6, "y": None}]
    shown = plots.table(rows, {"label": "Rung", "x": "CPU (s)", "y": ("Accuracy", "{:.1%}")}, caption="Results")
    assert str(shown).splitlines() == [
        "Results",
        "Rung                          CPU (s)  Accuracy",
        "----------------------------  -------  --------",
        "tf-idf + logistic regression      1.2     83.0%",
        "a < b                          12,346         -",
    ]
    markup = shown._repr_mimebundle_()["text/html"]
    assert "<caption" in markup
    assert '<th scope="col"' in markup
    assert "a &lt; b" in markup


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: plots.table([{"a": 1}], {"b": "B"}, caption="c"), "no field 'b'"),
        (lambda: plots.table([{"a": 1}], {}, caption="c"), "no columns"),
        (lambda: plots.table([{"a": 1}], {"a": "A"}, caption=""), "no caption"),
    ],
)
def test_a_wrong_table_gets_a_sentence(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        call()


@pytest.mark.parametrize("module", [labels, tables, values, summaries])
def test_examples_in_the_docstrings_are_right(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
