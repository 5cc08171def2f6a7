"""The figures of lesson 01: what they say in words is what the plan holds, and lines stay readable."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.memory.gpus import gpu
from course_lib.teach import memory_figures
from course_lib.teach.memory_figures import CARDS, PARTS, of_plan, sentence, stacked

BARS = {"load": {"weights": 13.5e9}, "step": {"weights": 13.5e9, "optimizer": 2.5e9}}
WORDS: dict[str, Any] = {"xlabel": "Phase", "title": "A test"}


def a_plan(**changes: Any) -> Any:
    """A plan as far as a figure looks at it: 20 GB at the peak, 21.5 held."""
    phases = {"load": {"weights": 12_000_000_000}, "backward": {"weights": 12_000_000_000, "logits": 8_000_000_000}}
    plan = SimpleNamespace(
        model="m",
        recipe=SimpleNamespace(method="lora"),
        phases=phases,
        parts=phases["backward"],
        peak_bytes=20_000_000_000,
        peak_phase="backward",
        reserved_bytes=21_500_000_000,
    )
    return SimpleNamespace(**{**vars(plan), **changes})


def drawn_lines(monkeypatch: pytest.MonkeyPatch, bars: Any, lines: dict[str, float]) -> list[str]:
    """The names of the lines that a figure shows."""
    shown: list[str] = []

    def spy(ax: Any, sizes: dict[str, float], top: float) -> None:
        real(ax, sizes, top)
        shown.extend(text.get_text().rsplit(" ", 1)[0] for text in ax.texts if " " in text.get_text())

    real = memory_figures._draw_lines
    monkeypatch.setattr(memory_figures, "_draw_lines", spy)
    stacked(bars, lines=lines, **WORDS)
    return shown


def test_a_stacked_figure_says_the_height_of_every_bar() -> None:
    figure = stacked(BARS, lines={"t4": 15.6e9}, **WORDS)
    assert figure.summary == "Load 13.5 GB; step 16 GB."
    assert figure.alt.startswith("Stacked bar chart: Memory (GB, 10⁹ bytes) against Phase.")
    assert figure.png.startswith(b"\x89PNG")


def test_the_same_bars_give_the_same_picture() -> None:
    assert stacked(BARS, lines={}, **WORDS).png == stacked(BARS, lines={}, **WORDS).png


def test_a_line_far_above_the_bars_is_left_out_and_the_next_one_above_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {"small": 10e9, "next": 24e9, "far": 85e9}
    assert drawn_lines(monkeypatch, BARS, lines) == ["small", "next"]


def test_of_two_lines_that_nobody_can_tell_apart_one_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn_lines(monkeypatch, BARS, {"a": 10e9, "b": 10.1e9, "c": 12e9}) == ["a", "c"]


@pytest.mark.parametrize(
    ("bars", "sentence"),
    [
        ({}, "nothing to draw"),
        ({"load": {}}, "every bar needs at least one part"),
        ({"load": {"weights": -1.0}}, "'weights' of 'load' must be a number of bytes"),
        ({"load": {"weights": float("nan")}}, "'weights' of 'load' must be a number of bytes"),
    ],
)
def test_bars_that_cannot_be_drawn_get_a_sentence(bars: Any, sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        stacked(bars, lines={}, **WORDS)


def test_a_part_that_nobody_knows_is_stacked_on_top() -> None:
    assert memory_figures._parts({"a": {"new": 1.0, "logits": 1.0, "weights": 1.0}}) == ["weights", "logits", "new"]


def test_a_plan_is_said_in_words_with_the_cards_that_have_room() -> None:
    said = sentence(a_plan())
    assert "Peak 20.00 GB in the phase backward (weights 12.00, logits 8.00)" in said
    assert "the process holds 21.50 GB: room on a10g, a100-40, l40s, a100-80, h200." in said
    assert "room on none of these cards" in sentence(a_plan(reserved_bytes=10**12))
    assert of_plan(a_plan()).summary == said


def test_room_is_decided_by_what_torch_can_use_and_not_by_what_is_printed_on_the_box() -> None:
    exactly = gpu("t4").usable
    assert "room on t4," in sentence(a_plan(reserved_bytes=exactly))
    assert "room on t4," not in sentence(a_plan(reserved_bytes=exactly + 1))
    smaller = dataclasses.replace(gpu("t4"), usable=exactly - 1)
    assert "room on none" in sentence(a_plan(reserved_bytes=exactly), [smaller])


def test_every_part_of_a_plan_has_a_look_of_its_own() -> None:
    from course_lib.memory.trace.log import PARTS as planned

    assert set(planned) <= set(PARTS)
    assert len(set(PARTS.values())) == len(PARTS)
    assert [gpu(name).usable for name in CARDS] == sorted(gpu(name).usable for name in CARDS)
