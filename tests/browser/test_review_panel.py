"""A review in JupyterLab without a mouse: letters decide, an answer is rewritten, and no key reaches the notebook."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from course_lib.assets import PACKAGE
from tests.browser.jupyter import CHROMIUM, Lab, open_in_lab

PAUSE = 300  # milliseconds: two decisions within 250 count as one
CELL = """from course_lib.teach.review import review
review([{"prompt": f"{n} + {n} =", "completion": str(2 * n)} for n in range(4)], "mine.jsonl")"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def lab(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A notebook whose only cell is a review, after "Run all"."""
    home, notebook = tmp_path_factory.mktemp("home"), nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_markdown_cell("The end.")]
    nbformat.write(notebook, folder / "review.ipynb")
    env = {"COURSE_HOME": str(home / "progress")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    with open_in_lab(folder / "review.ipynb", home, env) as opened:
        opened.command("notebook:run-all-cells")
        opened.page.set_default_timeout(30_000)
        yield opened


def test_a_review_is_done_by_keyboard(lab: Lab, folder: Path) -> None:
    panel = lab.page.locator(".course-review")
    status, keyboard = panel.locator("[role=status]"), lab.page.keyboard
    panel.get_by_text("Example 1 of 4").wait_for()
    panel.focus()
    keyboard.press("a")
    status.filter(has_text="Example 1 accepted. 1 of 4 seen").wait_for()
    lab.page.wait_for_timeout(PAUSE)
    keyboard.press("r")
    status.filter(has_text="Example 2 rejected. 2 of 4 seen: 1 kept, 0 changed, 1 rejected").wait_for()
    lab.page.wait_for_timeout(PAUSE)
    keyboard.press("u")
    status.filter(has_text="Taken back: example 2 is open again").wait_for()
    keyboard.press("ArrowRight")
    panel.get_by_text("Example 3 of 4").wait_for()
    keyboard.press("e")
    lab.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
    keyboard.press("Control+a")
    keyboard.type("a rare arrangement")  # letters that are keys elsewhere
    keyboard.press("Control+Enter")
    status.filter(has_text="Example 3 changed").wait_for()
    keyboard.press("e")
    lab.page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
    keyboard.type("not this")
    keyboard.press("Escape")
    status.filter(has_text="stays as it was").wait_for()
    decided = [json.loads(line) for line in (folder / "mine.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["decision"] for line in decided][:3] == ["accept", "reject", "open"]
    assert (decided[-1]["decision"], decided[-1]["text"]) == ("edit", "a rare arrangement")


def test_a_key_that_is_held_down_decides_once(lab: Lab) -> None:
    panel = lab.page.locator(".course-review")
    panel.focus()
    lab.page.wait_for_timeout(PAUSE)
    for _ in range(5):
        lab.page.keyboard.down("r")  # the second and later ones are repeats
    lab.page.keyboard.up("r")
    panel.locator("[role=status]").filter(has_text="Example 4 rejected. 3 of 4 seen").wait_for()
    lab.page.keyboard.press("ArrowLeft")
    panel.get_by_text("Example 1 of 4").wait_for()
    assert panel.get_by_text("3 of 4 seen", exact=False).count() >= 1


def test_no_key_reached_the_notebook(lab: Lab) -> None:
    assert lab.page.locator(".jp-Cell").count() == 2
    assert lab.failed_cells() == []
    assert lab.errors == []
    assert lab.elsewhere == []
