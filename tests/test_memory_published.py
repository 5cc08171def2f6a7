"""The planner against what others measured: the bounds of its promise, and that the rows are read as they were run.

Bounds are on every complete training row of assets/published_peak_memory.csv; nothing in the engines knows a row.
"""

from __future__ import annotations

import csv
import dataclasses

import pytest

from course_lib.assets import asset
from course_lib.memory import published
from course_lib.memory.gpus import gpus
from course_lib.memory.models import presets
from course_lib.memory.plan import plan
from course_lib.memory.published import Measured, Missed, Summary

ROWS = published.rows()
COMPLETE = published.complete()


@pytest.fixture(scope="module")
def traced() -> tuple[Missed, ...]:
    return published.errors("trace")


@pytest.fixture(scope="module")
def calculated() -> tuple[Missed, ...]:
    return published.errors("formulas")


def named(title: str, gigabytes: float) -> Measured:
    """The row of this title that measured so much."""
    return next(row for row in ROWS if row.title == title and row.bytes == round(gigabytes * 1e9))


def test_the_trace_is_within_its_bounds_on_every_complete_row(traced: tuple[Missed, ...]) -> None:
    summary = Summary.of(traced)
    assert summary.rows == len(COMPLETE)
    assert summary.median <= 0.04
    assert summary.worst <= 0.12, summary.worst_row


def test_the_formulas_are_within_their_bounds_on_every_complete_row(calculated: tuple[Missed, ...]) -> None:
    summary = Summary.of(calculated)
    assert summary.rows == len(COMPLETE)
    assert summary.median <= 0.08
    assert summary.worst <= 0.25, summary.worst_row


def test_what_the_lesson_and_the_readme_say_of_the_trace_still_holds(traced: tuple[Missed, ...]) -> None:
    groups = published.by_group(traced)
    assert groups["all"].median <= 0.005
    assert groups["litgpt-2023"].worst <= 0.01
    assert groups["litgpt-2024"].worst <= 0.01
    assert groups["peft"].worst <= 0.05  # reserved memory, which depends on history


@pytest.mark.parametrize("row", [row for row in ROWS if row.bytes is None and row.recipe], ids=lambda row: row.title)
def test_a_run_that_ran_out_of_memory_is_said_not_to_fit(row: Measured) -> None:
    assert not plan(row.model, row.recipe, row.gpu, advise=False).fits


def test_every_complete_row_that_ran_is_said_to_fit(traced: tuple[Missed, ...]) -> None:
    for missed in traced:
        assert missed.predicted < gpus()[missed.row.gpu].usable, missed.row.title


def test_rows_name_models_and_gpus_that_the_planner_has() -> None:
    for row in ROWS:
        assert row.model in presets(), row.model
        assert row.gpu in gpus(), row.gpu


def test_complete_rows_have_a_recipe_and_the_others_say_what_is_missing() -> None:
    assert len(COMPLETE) == 51
    for row in ROWS:
        assert row.note, row.title
        assert not row.complete or (row.recipe is not None and row.bytes is not None), row.title


def test_a_row_is_read_as_it_was_run() -> None:
    recipe = named("llama-2-7b qlora-nf4-dq r8 1x1304", 13.84).recipe
    assert recipe is not None
    assert (recipe.method, recipe.precision, recipe.optimizer) == ("qlora", "bf16", "paged-adamw")
    assert (recipe.rank, recipe.targets, recipe.lora_dropout, recipe.adapter_precision) == (8, "qv", 0.05, "same")
    assert recipe.double_quantization
    assert recipe.quantize_head
    assert not recipe.autocasts
    assert (recipe.micro_batch, recipe.seq_len, recipe.accumulate) == (1, 1304, 128)
    assert recipe.program == "litgpt-2023"


def test_mixed_precision_keeps_weights_in_32_bits() -> None:
    row = named("stablelm-base-alpha-3b lora r8 mixed 1x1034", 26.92)
    assert row.recipe is not None
    assert (row.recipe.held, row.recipe.compute, row.recipe.autocasts) == ("fp32", "bf16", True)


def test_reserved_measurements_are_compared_with_reserved_predictions() -> None:
    row = named("llama-3.2-3b lora r32 4x768", 22.29)
    answer = plan(row.model, row.recipe, row.gpu, advise=False)
    assert row.reserved
    assert row.predict() == answer.segments_bytes > answer.peak_bytes


def test_the_error_is_signed_and_relative_to_the_measurement() -> None:
    row = dataclasses.replace(COMPLETE[0], bytes=10 * 10**9)
    errors = published.errors(lambda _: 9 * 10**9, [row])
    assert errors[0].error == pytest.approx(-0.1)
    # Of 10%, 30% and 20% off, the median is 20% and the worst 30%, whichever way.
    errors = tuple(Missed(row, round(share * 10**10)) for share in (0.9, 1.3, 0.8))
    summary = Summary.of(errors)
    assert (summary.median, summary.worst) == (pytest.approx(0.2), pytest.approx(0.3))


def test_the_file_has_one_line_to_a_run_and_no_column_without_a_name() -> None:
    with asset(published.FILE).open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 101
    assert all(lines[0])
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len({tuple(line) for line in lines}) == len(lines)
