"""Every lesson runs from beginning to end: as the learner and as the instructor, twice in a row, alone, offline.

`conftest` cuts the kernels off from every other machine, and fails a test whose kernel tried to reach one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from course_lib import lessons
from course_lib.lessons import Lesson, build, kernel, outputs
from course_lib.teach import exercises
from tests.loopback_hub import LoopbackHub

LESSONS = lessons.lessons()
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
SMOKE = {"COURSE_TIER": "smoke"}


# The models and data of a tier with few questions and steps: what takes a GPU minutes would take this test hours.
FEW = """from dataclasses import replace
from course_lib import tiers
tiers.TIERS["t4"] = replace(tiers.TIERS["t4"], items=8, samples=3, pretrain_steps=4, example_budgets=(8, 16, 24))"""


def executed(lesson: Lesson, env: dict[str, str], *, instructor: bool = False, before: str = "") -> Any:
    """A lesson's notebook after "Run all", with a cell ``before`` it; the test fails with the cell that failed."""
    notebook = build.assemble(lesson, instructor=instructor)
    if before:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    result = kernel.execute(notebook, env, timeout=240)
    assert result.failure is None, f"cell {result.failure.cell}:\n{result.failure.source}\n\n{result.failure.traceback}"
    outputs.clean(notebook)
    return notebook


def shown(notebook: Any) -> str:
    """All text that the outputs of a notebook show."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            texts.append("".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", "")))
    return "\n".join(texts)


@each_lesson
def test_the_learners_notebook_runs_twice_in_a_row(lesson: Lesson, tmp_path: Path) -> None:
    env = SMOKE | {"COURSE_HOME": str(tmp_path / "progress")}  # the second run finds what the first one kept
    for _ in range(2):
        notebook = executed(lesson, env)
        assert shown(notebook).count("Not attempted yet: ") == len(exercises.ids(lesson.number))
        assert outputs.blemishes(notebook) == []
        assert "tier smoke | " in shown(notebook)


@each_lesson
def test_the_instructors_notebook_solves_every_exercise(lesson: Lesson) -> None:
    text = shown(executed(lesson, SMOKE, instructor=True))
    wanted = [exercises.exercise(name).title for name in exercises.ids(lesson.number)]
    assert sorted(re.findall(r"Right: (.*)", text)) == sorted(wanted)
    assert "Not attempted yet" not in text


@each_lesson
def test_the_same_cells_run_on_the_t4_tier(lesson: Lesson) -> None:
    with LoopbackHub(train=80, test=40) as hub:
        text = shown(executed(lesson, hub.env | {"COURSE_TIER": "t4"}, before=FEW))
        asked = {request.path for request in hub.log}
    assert "tier t4 | " in text
    assert any(path.endswith("model.safetensors") for path in asked)
