"""The prompt workbench: change wording, examples and temperature, and see what a model makes of them.

Under each prompt stand the likeliest next tokens, with the probability that the model gives them and the one that is
left after the temperature T: proportional to p^(1/T), so a low T sharpens and a high one levels. T = 0 takes the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from course_lib.errors import CourseError
from course_lib.generate import Decoding
from course_lib.prompting.answer import Examples, Record, settle, shots
from course_lib.prompts import Template, few_shot
from course_lib.teach import plots, show, widgets
from course_lib.teach.figure import Figure

if TYPE_CHECKING:
    from course_lib.generate import Writer

AMONG = 200  # tokens that share the probability after a temperature; the rest has next to nothing of it
SHOWN = 8
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.5)
MOST_EXAMPLES = 8


@dataclass(frozen=True)
class Start:
    """A task to begin with: its wording, the questions, and the examples that may stand before them."""

    template: Template
    records: Sequence[Record]
    examples: Examples = ()


@dataclass(frozen=True)
class Tried:
    """A prompt, what the model wrote after it, what would be right, and the picture of the next tokens."""

    prompt: str
    written: str
    right: str
    figure: Figure

    @property
    def summary(self) -> str:
        """What the model made of it, in one line."""
        return f"The model writes {self.written!r}; right would be {self.right!r}. {self.figure.summary}"

    def image(self) -> str:
        """The prompt, the model's words in bold behind it, and the picture."""
        look = "white-space:pre-wrap;max-width:700px;padding:.4em;border:1px solid #8a8a8a"
        prompt, written = show.escape(self.prompt), show.escape(self.written)
        return f'<div style="{look}">{prompt}<b>{written}</b></div>{self.figure.image()}'

    def html(self) -> str:
        """The same with its summary."""
        return f"{self.image()}<p><small>{show.escape(self.summary)}</small></p>"

    def __str__(self) -> str:
        return f"{self.prompt}[{self.written}]\n{self.summary}"


class Workbench:
    """Draws what a model does with a prompt: `widgets.interactive_figure(bench, bench.controls, title=...)`.

    Raises CourseError when there is nothing to begin with.
    """

    def __init__(self, writer: Writer, starts: Mapping[str, Start]) -> None:
        if not starts or not all(start.records for start in starts.values()):
            raise CourseError("A workbench needs at least one task with at least one record: give it some.")
        self.writer, self.starts = writer, dict(starts)

    @property
    def controls(self) -> dict[str, widgets.Control]:
        """The controls that belong to `__call__`."""
        fewest = min(len(start.records) for start in self.starts.values())
        return {
            "task": widgets.choice("Task and wording", list(self.starts)),
            "own": widgets.text("Or your own wording"),
            "k": widgets.slider("Examples", 0, MOST_EXAMPLES, value=min(4, MOST_EXAMPLES)),
            "temperature": widgets.steps("Temperature", TEMPERATURES, value=0.0),
            "question": widgets.slider("Question", 1, max(2, fewest), value=1),
        }

    def __call__(self, task: str, own: str, k: int, temperature: float, question: int) -> Tried:
        """One try. ``own`` is a template with the mark |||; left empty, the task's wording is taken.

        Raises CourseError for a template that does not fit the record and for a prompt that is too long.
        """
        start = self.starts[task]
        template = replace(start.template, name="your own", text=own) if own.strip() else start.template
        record = start.records[(question - 1) % len(start.records)]
        prompt = few_shot(template, list(shots(start.examples, record))[:k], record)
        decoding = settle(template, Decoding(max_new=template.max_new, temperature=temperature))
        written = self.writer.generate([prompt], decoding)[0][0].text
        return Tried(prompt, written, start.template.target(record).strip(), self._next(prompt, temperature))

    def _next(self, prompt: str, temperature: float) -> Figure:
        found = self.writer.next_tokens(prompt, AMONG)
        own = [p for _, p in found]
        drawn = sharpened(own, temperature)
        series = {"the model's": own[:SHOWN]}
        if temperature != 1:
            series[f"at temperature {temperature:g}"] = drawn[:SHOWN]
        names = [visible(token) for token, _ in found[:SHOWN]]
        told = ", ".join(f"{name} with {p:.0%}" for name, p in list(zip(names, own, strict=False))[:3])
        return plots.bars(
            names, series, xlabel="Probability (%)", ylabel="Next token", title="What could come next", percent=True,
            horizontal=True, height=3.8,
            summary=f"Likeliest next: {told}; at temperature {temperature:g} the first has {drawn[0]:.0%}.",
        )  # fmt: skip


def sharpened(probabilities: Sequence[float], temperature: float) -> list[float]:
    """Probabilities, the largest first, after a temperature: p^(1/T) over their sum; all on the first one at T = 0.

    >>> sharpened([0.8, 0.2], 0.5)  # 0.64 and 0.04, of 0.68
    [0.9411764705882353, 0.058823529411764705]
    """
    if temperature == 0:
        return [1.0] + [0.0] * (len(probabilities) - 1)
    # Divided by the largest first, so that a small T does not make all of them 0.
    powers = [(p / probabilities[0]) ** (1 / temperature) for p in probabilities]
    return [power / sum(powers) for power in powers]


def visible(token: str) -> str:
    """A token with its spaces and line ends to be seen."""
    return token.replace(" ", "\u2423").replace("\n", "\u21b5") or "(nothing)"
