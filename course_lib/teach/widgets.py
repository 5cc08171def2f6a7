"""Interactive figures: move a control, see the figure and read its numbers.

``interactive_figure(draw, controls, title=...)`` calls ``draw(**values)`` whenever a control has moved. The picture
and, as text in a live region, its summary follow. Only core widgets that ipywidgets 7.7 and 8 share are used; all of
them work from the keyboard. Sliders report when they are let go, so that a quick drag does not queue up drawings.

Where no widgets can be shown, and on a page that is only read, the figure for the initial values stands in for them:
a cell's output holds the widget, that figure as HTML, and its text.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError
from course_lib.teach import show
from course_lib.teach.judging import raised

Draw = Callable[..., Any]  # returns a Figure, a Table or a str

LOOK = show.style(
    "course-figure",
    """
.course-figure { max-width: 720px; overflow: visible }
.course-figure .widget-html-content { line-height: 1.45 }
.course-figure .widget-inline-hbox .widget-label { text-align: left }
""",
)


@dataclass(frozen=True)
class Control:
    """A control before it becomes a widget: its label, the values it can take in order, and where it begins.

    ``kind`` is ``"slider"``, ``"steps"``, ``"choice"``, ``"switch"`` or ``"text"``. The ``options`` of a slider are
    (low, high, step), those of a text (lines shown, most characters).
    """

    kind: str
    label: str
    options: tuple[Any, ...]
    value: Any
    unit: str = ""

    def text(self, value: Any) -> str:
        """A value as the reader sees it."""
        if self.kind == "switch":
            return "on" if value else "off"
        if self.kind == "text":
            return repr(textwrap.shorten(value, 60, placeholder=" ...")) if value.strip() else "empty"
        if self.kind in {"steps", "choice"}:
            return next((name for name, option in self.options if option is value or option == value), str(value))
        return f"{value:g}{' ' + self.unit if self.unit else ''}"

    def accept(self, value: Any) -> Any:
        """The value, if the control can take it."""
        if self.kind == "slider":
            low, high, _ = self.options
            known = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            wanted = f"{low:g} to {high:g}"
        elif self.kind == "text":
            known = isinstance(value, str) and len(value) <= self.options[1]
            wanted = f"a text of at most {self.options[1]:,} characters"
        else:
            values = [option for _, option in self.options]
            known, wanted = value in values, ", ".join(name for name, _ in self.options)
        if not known:
            raise CourseError(f"{self.label!r} cannot be {value!r}; it takes {wanted}.")
        return value


def slider(
    label: str, low: float, high: float, *, step: float | None = None, value: float | None = None, unit: str = ""
) -> Control:
    """Numbers from low to high; whole numbers if all that is given is whole."""
    whole = all(isinstance(number, int) for number in (low, high, step or 1, value or 0))
    if not low < high:
        raise CourseError(f"The slider {label!r} has no room between {low} and {high}.")
    step = step if step is not None else (1 if whole else (high - low) / 50)
    control = Control("slider", label, (low, high, step), low if value is None else value, unit)
    control.accept(control.value)
    return control


def steps(label: str, values: Sequence[Any] | Mapping[str, Any], *, value: Any = None) -> Control:
    """A slider over given values, such as 50, 200, 800."""
    return _listed("steps", label, values, value)


def choice(label: str, values: Sequence[Any] | Mapping[str, Any], *, value: Any = None) -> Control:
    """A drop-down list of given values; a mapping gives their names."""
    return _listed("choice", label, values, value)


def text(label: str, value: str = "", *, lines: int = 3, longest: int = 4000) -> Control:
    """A field to write in, of some lines; it reports when it is left."""
    control = Control("text", label, (lines, longest), value)
    control.accept(value)
    return control


def switch(label: str, value: bool = False) -> Control:
    """A check box."""
    return Control("switch", label, (("off", False), ("on", True)), bool(value))


class InteractiveFigure:
    """A drawing and its controls. In a notebook it shows itself as widgets, elsewhere as the figure it is at."""

    def __init__(self, draw: Draw, specs: Mapping[str, Control], title: str) -> None:
        self._draw, self.specs, self.title = draw, dict(specs), title
        self.values: dict[str, Any] = {name: spec.value for name, spec in specs.items()}
        self.message = ""  # what the last drawing could not do; empty when all went well
        self.figure: Any = None
        self.widget: Any = None
        self.controls: dict[str, Any] = {}
        self._redraw()

    def at(self, **values: Any) -> Any:
        """What is drawn for these values (the others as they are now); the controls stay where they are."""
        return self._draw(**{**self.values, **self._accepted(values)})

    def set(self, **values: Any) -> InteractiveFigure:
        """Move controls, as a reader would."""
        accepted = self._accepted(values)
        if not self.controls:
            self.values.update(accepted)
            self._redraw()
        for name, value in accepted.items():
            if self.controls:
                self.controls[name].value = value
        return self

    def panel(self) -> Any:
        """The figure as widgets, whether or not they can be shown here; made once."""
        import ipywidgets

        if self.widget is None:
            self.controls = {name: _widget(spec) for name, spec in self.specs.items()}
            self._picture, self._status = ipywidgets.HTML(), ipywidgets.HTML()
            for name, control in self.controls.items():
                control.observe(self._moved(name), names="value")
            head = ipywidgets.HTML(f"{LOOK}<b>{show.escape(self.title)}</b>")
            self.widget = ipywidgets.VBox([head, *self.controls.values(), self._picture, self._status])
            self.widget.add_class("course-figure")
            self._refresh()
        return self.widget

    def html(self) -> str:
        """The figure where the controls stand, for reading."""
        note = f"<small>{show.escape(self._setting())} Run this cell to move the controls.</small>"
        return f"<div><b>{show.escape(self.title)}</b><br>{note}{self._shown()}{self._said()}</div>"

    def __str__(self) -> str:
        text = "" if self.figure is None else str(self.figure)
        return "\n".join(part for part in (self.title, self._setting(), text, self.message) if part)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return show.bundle(str(self), self.html(), self.panel() if show.widgets_work() else None)

    def _moved(self, name: str) -> Callable[[Any], None]:
        def moved(change: Any) -> None:
            self.values[name] = change["new"]
            self._redraw()
            self._refresh()

        return moved

    def _redraw(self) -> None:
        """Draw for the present values. A failure becomes a sentence; the figure of other values does not stay."""
        self.figure = None
        try:
            self.figure, self.message = self._draw(**self.values), ""
        except CourseError as error:
            self.message = f"Not possible: {error}"
        except Exception as error:
            self.message = f"The figure could not be drawn for these values: {raised(error)}."

    def _refresh(self) -> None:
        self._picture.value = self._shown(with_text=False)
        text = show.escape(f"{self._setting()} {'' if self.figure is None else _summary(self.figure)}")
        said = self._said() if self.message else text
        self._status.value = f'<div role="status" aria-live="polite">{said}</div>'

    def _shown(self, with_text: bool = True) -> str:
        if self.figure is None:
            return ""
        if not with_text and hasattr(self.figure, "image"):
            return str(self.figure.image())
        return str(self.figure.html()) if hasattr(self.figure, "html") else show.block(show.rich(str(self.figure)))

    def _said(self) -> str:
        return show.block(show.rich(f"{self.message}\n{self._setting()}"), "wrong") if self.message else ""

    def _setting(self) -> str:
        told = [f"{spec.label}: {spec.text(self.values[name])}" for name, spec in self.specs.items()]
        return "; ".join(told) + "."

    def _accepted(self, values: Mapping[str, Any]) -> dict[str, Any]:
        for name in values:
            if name not in self.specs:
                raise CourseError(f"There is no control {name!r}; there are {', '.join(self.specs)}.")
        return {name: self.specs[name].accept(value) for name, value in values.items()}


def interactive_figure(draw: Draw, controls: Mapping[str, Control], *, title: str) -> InteractiveFigure:
    """A figure that follows its controls: ``draw`` is called with their values by name, and should be quick.

    >>> figure = interactive_figure(lambda n: f"{n} squared is {n * n}", {"n": slider("n", 0, 9)}, title="Squares")
    >>> print(figure.set(n=4))
    Squares
    n: 4.
    4 squared is 16
    """
    if not controls:
        raise CourseError("An interactive figure needs at least one control.")
    for name, control in controls.items():
        if not isinstance(control, Control):
            raise CourseError(f"{name!r} is not a control; make it with slider, steps, choice, switch or text.")
    return InteractiveFigure(draw, controls, title)


def _listed(kind: str, label: str, values: Sequence[Any] | Mapping[str, Any], value: Any) -> Control:
    options = tuple(values.items()) if isinstance(values, Mapping) else tuple((_name(v), v) for v in values)
    if not options:
        raise CourseError(f"The control {label!r} has no values to choose from.")
    control = Control(kind, label, options, options[0][1] if value is None else value)
    control.accept(control.value)
    return control


def _name(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _summary(figure: Any) -> str:
    return str(getattr(figure, "summary", figure))


def _widget(spec: Control) -> Any:
    """The core widget of a control."""
    import ipywidgets

    style = {"description_width": "150px"}
    layout = ipywidgets.Layout(width="96%", max_width="480px")
    common: dict[str, Any] = {"description": spec.label, "value": spec.value, "style": style, "layout": layout}
    if spec.kind == "slider":
        low, high, step = spec.options
        common |= {"min": low, "max": high, "step": step, "continuous_update": False}
        if all(isinstance(number, int) for number in spec.options):
            return ipywidgets.IntSlider(**common)
        return ipywidgets.FloatSlider(readout_format=f".{max(0, -math.floor(math.log10(step)))}f", **common)
    if spec.kind == "steps":
        return ipywidgets.SelectionSlider(options=list(spec.options), continuous_update=False, **common)
    if spec.kind == "text":
        common["layout"] = ipywidgets.Layout(width="96%", max_width="700px")
        return ipywidgets.Textarea(rows=spec.options[0], continuous_update=False, **common)
    if spec.kind == "choice":
        return ipywidgets.Dropdown(options=list(spec.options), **common)
    return ipywidgets.Checkbox(indent=True, **common)
