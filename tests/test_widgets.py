"""Interactive figures: controls move them, text follows, and errors become sentences."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.teach import plots, show, widgets
from course_lib.teach.widgets import InteractiveFigure, interactive_figure

CONTROLS = {
    "blocks": widgets.slider("Trained blocks", 0, 6, value=2),
    "rate": widgets.slider("Rate", 0.0, 1.0, step=0.001, value=0.25, unit="1/s"),
    "labels": widgets.steps("Labels", [50, 200, 1600], value=200),
    "pooling": widgets.choice("Pooling", {"mean": 0, "first token": 1}),
    "log": widgets.switch("Log scale", True),
}


def drawn(blocks: int, rate: float, labels: int, pooling: int, log: bool) -> plots.Figure:
    summary = f"{blocks} {rate} {labels} {pooling} {log} <here>"
    return plots.line([1, 2], {"a": [blocks, rate]}, xlabel="x", ylabel="y", title="t", summary=summary)


@pytest.fixture
def figure() -> InteractiveFigure:
    return interactive_figure(drawn, CONTROLS, title="What unfreezing costs")


def kinds(widget: Any) -> set[str]:
    return {type(widget).__name__}.union(*[kinds(child) for child in getattr(widget, "children", ())])


def test_a_text_field_reports_when_it_is_left_and_shows_its_beginning() -> None:
    asked = interactive_figure(lambda own: f"got {own!r}", {"own": widgets.text("Your own", lines=2)}, title="t")
    assert str(asked).splitlines()[1] == "Your own: empty."
    assert "got 'a\\nb'" in str(asked.set(own="a\nb"))
    asked.panel()
    field = asked.controls["own"]
    assert (type(field).__name__, field.rows, field.continuous_update) == ("Textarea", 2, False)
    field.value = "word " * 30
    assert "word word ..." in asked._status.value
    with pytest.raises(CourseError, match="'Your own' cannot be 3; it takes a text of at most 4,000 characters"):
        asked.set(own=3)


def test_without_widgets_the_figure_of_the_initial_values_stands_there(figure: InteractiveFigure) -> None:
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"].splitlines() == [
        "What unfreezing costs",
        "Trained blocks: 2; Rate: 0.25 1/s; Labels: 200; Pooling: mean; Log scale: on.",
        "2 0.25 200 0 True <here>",
    ]
    assert "<img alt=" in bundle["text/html"]
    assert "2 0.25 200 0 True &lt;here&gt;" in bundle["text/html"]
    assert figure.widget is None


def test_in_a_notebook_the_widget_comes_with_the_same_page_and_text(
    figure: InteractiveFigure, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = figure._repr_mimebundle_()
    monkeypatch.setattr(show, "widgets_work", lambda: True)
    bundle = figure._repr_mimebundle_()
    view = bundle.pop("application/vnd.jupyter.widget-view+json")
    assert view == {"version_major": 2, "version_minor": 0, "model_id": figure.widget.model_id}
    assert bundle == static
    assert figure._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"] == view


def test_the_static_page_is_the_same_each_time() -> None:
    pages = [interactive_figure(drawn, CONTROLS, title="t")._repr_mimebundle_() for _ in range(2)]
    assert pages[0] == pages[1]


def test_only_core_widgets_of_both_versions_are_used(figure: InteractiveFigure) -> None:
    core = {"VBox", "HTML", "IntSlider", "FloatSlider", "SelectionSlider", "Dropdown", "Checkbox"}
    assert kinds(figure.panel()) == core
    assert "course-figure" in figure.widget._dom_classes


def test_sliders_report_when_they_are_let_go(figure: InteractiveFigure) -> None:
    figure.panel()
    assert not any(figure.controls[name].continuous_update for name in ("blocks", "rate", "labels"))


def test_every_control_has_its_label_and_starts_where_it_should(figure: InteractiveFigure) -> None:
    figure.panel()
    assert {name: control.value for name, control in figure.controls.items()} == figure.values
    assert [control.description for control in figure.controls.values()] == [c.label for c in CONTROLS.values()]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("blocks", 3, "Trained blocks: 3;"),
        ("rate", 0.125, "Rate: 0.125 1/s;"),
        ("labels", 1600, "Labels: 1,600;"),
        ("pooling", 1, "Pooling: first token;"),
        ("log", False, "Log scale: off."),
    ],
)
def test_moving_a_control_redraws_picture_and_text(name: str, value: Any, text: str, figure: InteractiveFigure) -> None:
    figure.panel()
    picture, before = figure._picture.value, figure._status.value
    figure.controls[name].value = value
    assert figure.values[name] == value
    assert text in figure._status.value
    assert 'role="status" aria-live="polite"' in figure._status.value
    assert figure._status.value != before
    assert figure._picture.value != picture
    assert "<img alt=" in figure._picture.value


def test_a_small_step_is_visible_in_the_readout_of_a_slider(figure: InteractiveFigure) -> None:
    figure.panel()
    assert figure.controls["rate"].readout_format == ".3f"


def test_values_can_be_set_by_name_with_and_without_widgets(figure: InteractiveFigure) -> None:
    assert figure.set(blocks=5).figure.summary.startswith("5 ")
    figure.panel()
    figure.set(blocks=1, labels=50)
    assert figure.controls["blocks"].value == 1
    assert figure.figure.summary.startswith("1 0.25 50")


def test_looking_at_other_values_moves_nothing(figure: InteractiveFigure) -> None:
    assert figure.at(blocks=6).summary.startswith("6 ")
    assert figure.values["blocks"] == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"blocks": 7}, "'Trained blocks' cannot be 7; it takes 0 to 6"),
        ({"blocks": "2"}, "cannot be '2'"),
        ({"blocks": True}, "cannot be True"),
        ({"labels": 51}, "it takes 50, 200, 1,600"),
        ({"pooling": "mean"}, "it takes mean, first token"),
        ({"width": 1}, "no control 'width'; there are blocks, rate"),
    ],
)
def test_a_value_that_a_control_cannot_take_gets_a_sentence(
    values: dict[str, Any], sentence: str, figure: InteractiveFigure
) -> None:
    with pytest.raises(CourseError, match=sentence):
        figure.set(**values)
    with pytest.raises(CourseError, match=sentence):
        figure.at(**values)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: widgets.slider("n", 3, 3), "no room"),
        (lambda: widgets.slider("n", 0, 3, value=9), "cannot be 9"),
        (lambda: widgets.steps("n", []), "no values"),
        (lambda: widgets.choice("n", [1, 2], value=3), "cannot be 3"),
        (lambda: interactive_figure(drawn, {}, title="t"), "at least one control"),
        (lambda: interactive_figure(drawn, {"n": 3}, title="t"), "'n' is not a control"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_control_gets_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        make()


def picky(n: int) -> str:
    if n == 2:
        raise CourseError("Two is too many.")
    return f"half is {1 / (n - 3):.2f}"


def test_an_error_while_drawing_becomes_a_sentence_and_goes_away_again() -> None:
    figure = interactive_figure(picky, {"n": widgets.slider("n", 0, 5, value=1)}, title="Halves")
    figure.panel()
    figure.controls["n"].value = 2
    assert "Not possible: Two is too many." in figure._status.value
    assert figure.message == "Not possible: Two is too many."
    assert figure._picture.value == ""
    figure.controls["n"].value = 3
    assert "could not be drawn for these values: ZeroDivisionError" in figure._status.value
    assert "n: 3." in figure._status.value
    figure.controls["n"].value = 4
    assert figure.message == ""
    assert "half is 1.00" in figure._status.value


def test_an_error_in_the_first_drawing_is_shown_too() -> None:
    figure = interactive_figure(picky, {"n": widgets.slider("n", 0, 5, value=3)}, title="Halves")
    bundle = figure._repr_mimebundle_()
    assert "ZeroDivisionError" in bundle["text/plain"]
    assert "ZeroDivisionError" in bundle["text/html"]


def test_a_table_or_a_text_can_be_drawn_as_well() -> None:
    def table(n: int) -> plots.Table:
        return plots.table([{"n": n}], {"n": "N"}, caption="One row")

    figure = interactive_figure(table, {"n": widgets.slider("n", 0, 5, value=1)}, title="Tables")
    figure.panel()
    figure.set(n=4)
    assert "<table>" in figure._picture.value
    assert "One row (1 rows: N)" in figure._status.value
    assert "<table>" in figure.html()


def test_the_examples_in_the_docstrings_are_right() -> None:
    assert doctest.testmod(widgets).failed == 0


def test_keys_pressed_on_a_control_are_kept_from_the_notebooks_own_shortcuts(figure: InteractiveFigure) -> None:
    head = figure.panel().children[0].value
    assert "closest('.course-figure')" in head
    assert "addEventListener('keydown'" in head
    assert "e.stopPropagation()" in head
