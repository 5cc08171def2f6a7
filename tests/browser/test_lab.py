"""A learner's hour in JupyterLab: run all, move a control, answer a question, solve an exercise, all by keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib import lessons
from course_lib.assets import PACKAGE
from course_lib.lessons import build
from course_lib.teach import exercises
from tests.browser.jupyter import CHROMIUM, Lab, open_in_lab

LESSONS = {"01": "01-static", "03": "03-macro-f1", "04": "04-pack"}  # and the exercise that is solved in each
PICTURES = PACKAGE.parent / "build" / "browser"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"
)


@pytest.fixture(scope="module", params=LESSONS)
def number(request: pytest.FixtureRequest) -> str:
    """Which lesson is open."""
    return str(request.param)


@pytest.fixture(scope="module")
def lab(number: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The learner's notebook in JupyterLab after "Run all", on the smallest tier."""
    (lesson,) = lessons.find([number])
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    path = folder / lesson.notebook.name
    build.write(build.assemble(lesson), path)
    env = {"COURSE_TIER": "smoke", "COURSE_HOME": str(home / "progress"), "OMP_WAIT_POLICY": "PASSIVE"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    with open_in_lab(path, home, env) as opened:
        opened.page.set_default_timeout(300_000)
        opened.finished = opened.command("notebook:run-all-cells")
        opened.page.set_default_timeout(30_000)
        yield opened


def test_run_all_reaches_the_end(lab: Lab) -> None:
    assert lab.failed_cells() == []
    assert lab.finished is True


def test_the_interactive_figure_answers_the_keyboard(lab: Lab) -> None:
    figure = lab.page.locator(".course-figure").first
    figure.scroll_into_view_if_needed()
    status, slider = figure.locator("[role=status]"), figure.locator(".noUi-handle")
    text, pictures = status.inner_text(), [one.get_attribute("src") for one in figure.locator("img").all()]
    if slider.count():
        slider.first.focus()
        lab.page.keyboard.press("ArrowRight")
    else:  # the list of a dropdown moves on with its arrow keys
        figure.locator("select").first.focus()
        lab.page.keyboard.press("ArrowDown")
    lab.page.wait_for_function(
        "([root, before]) => root.querySelector('[role=status]').innerText !== before",
        arg=[figure.element_handle(), text],
    )
    for one, before in zip(figure.locator("img").all(), pictures, strict=True):
        assert one.get_attribute("src") != before
        assert one.get_attribute("alt")


def test_a_quiz_question_is_answered_by_keyboard(lab: Lab) -> None:
    quiz = lab.page.locator(".course-quiz").first
    quiz.scroll_into_view_if_needed()
    quiz.locator("input[type=radio]").first.focus()
    lab.page.keyboard.press("Space")
    for _ in range(12):  # Tab leads from the choices to the button
        if lab.page.evaluate("document.activeElement.innerText") == "Check answer":
            break
        lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    feedback = quiz.locator("[role=status]")
    feedback.filter(has_text="answered").or_(feedback.filter(has_text="ight")).first.wait_for()
    assert len(feedback.first.inner_text().split()) > 8, "an answer is explained"


def test_an_exercise_is_checked_and_a_wrong_answer_is_explained(lab: Lab, number: str) -> None:
    task = exercises.exercise(LESSONS[number])
    name = task.stub.split("(")[0].removeprefix("def ").split()[0]
    check = lab.code_cell(f'exercises.check("{task.id}"')
    assert "Not attempted yet" in check.locator(".jp-OutputArea").inner_text()
    editor = lab.code_cell(task.stub.splitlines()[0]).locator(".cm-content")
    for answer, verdict in ((f"{name} = 'no idea'", "Not yet"), (task.code, "Right")):
        editor.click()
        lab.page.keyboard.press("Control+a")
        lab.page.keyboard.insert_text(answer)
        editor = lab.code_cell(answer.splitlines()[0]).locator(".cm-content")
        lab.page.keyboard.press("Shift+Enter")
        lab.page.keyboard.press("Shift+Enter")
        check.locator(".jp-OutputArea", has_text=verdict).wait_for()


def test_a_picture_of_the_lesson_is_worth_showing(lab: Lab, number: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    lab.page.locator(".course-figure").first.scroll_into_view_if_needed()
    path = PICTURES / f"lesson-{number}.png"
    lab.page.screenshot(path=str(path))
    assert path.stat().st_size > 50_000


def test_the_console_is_quiet_and_nothing_left_this_machine(lab: Lab) -> None:
    assert lab.errors == []
    assert lab.elsewhere == []
    log = Path(os.environ["COURSE_TESTS_NETWORK_LOG"])
    attempts = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    assert [line for line in attempts if "jupyter" in line or "ipykernel" in line] == []
