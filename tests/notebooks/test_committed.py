"""The committed notebooks: what their sources build, valid, clean, and within the limits of style."""

from __future__ import annotations

import nbformat
import pytest

from course_lib import lessons
from course_lib.lessons import Lesson, build, outputs
from course_lib.lessons.style import report

LESSONS = lessons.lessons()
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


def test_every_lesson_has_a_source_and_a_notebook() -> None:
    assert [lesson.number for lesson in LESSONS] == ["00", "01", "02", "03", "04"]
    assert [lesson.name for lesson in LESSONS if not (lesson.source.exists() and lesson.notebook.exists())] == []


@each_lesson
def test_a_notebook_is_what_its_source_builds(lesson: Lesson) -> None:
    built, committed = build.inputs(build.assemble(lesson)), build.inputs(build.read(lesson.notebook))
    changed = [cell["source"] for cell in built["cells"] if cell not in committed["cells"]]
    assert changed == [], "these cells of the source are not in the notebook: run `make notebooks`"
    assert built == committed


@each_lesson
def test_a_notebook_is_valid_without_widget_state_and_was_executed(lesson: Lesson) -> None:
    notebook = nbformat.read(lesson.notebook, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert outputs.blemishes(notebook) == []
    # Each lesson shows something in most of its cells: a notebook without outputs was built and not executed.
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    assert {cell.execution_count for cell in code} == {None}


@each_lesson
def test_the_outputs_come_from_the_tier_that_everybody_has(lesson: Lesson) -> None:
    (setup,) = [cell for cell in build.read(lesson.notebook).cells if "setup" in cell.metadata.get("tags", ())]
    assert "".join(setup.outputs[0].text).startswith("tier cpu | cpu: ")


@each_lesson
def test_a_lesson_keeps_the_limits_of_style(lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    findings = report(lesson.name, build.read(lesson.notebook))
    with capsys.disabled():
        for remark in findings.remarks:
            print(f"\n{lesson.name}: {remark}", end="")
    assert findings.errors == ()


@each_lesson
def test_a_lesson_opens_and_closes_as_all_do(lesson: Lesson) -> None:
    cells = build.assemble(lesson).cells
    first = cells[0].source.lower()
    assert cells[0].cell_type == "markdown"
    assert "minutes" in first or "time" in first
    assert "memory" in first
    assert "you can" in first or "you will be able to" in first
    assert sum("setup" in cell.metadata.get("tags", ()) for cell in cells) == 1
    end = "\n".join(cell.source for cell in cells[-4:]).lower()
    assert "claims.show(" in end
    assert "on a t4" in end
    assert "further reading" in end
