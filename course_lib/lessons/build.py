"""Building notebooks: the same source gives the same bytes, today, tomorrow and on another machine.

A cell's id is the hash of its text and of how often that text came before, so an edit changes one id and a moved cell
keeps its own. The metadata are constants. Outputs are cleaned (`outputs`), or carried over from the notebook that is
there when no code has changed since it was executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.lessons import catalog, kernel, outputs, source
from course_lib.lessons.catalog import Lesson
from course_lib.lessons.setup_cell import badge, setup_cell

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}

OnCell = Callable[[str, int, int], None]  # lesson, code cells done, code cells in all


def assemble(lesson: Lesson, *, instructor: bool = False) -> Any:
    """The notebook of a lesson without outputs (an nbformat node), in the learner's or the instructor's reading."""
    from nbformat import v4

    address = catalog.repository(lesson.root)
    seen: Counter[str] = Counter()
    cells: list[Any] = []
    for cell in source.read(lesson.source):
        if "instructor" in cell.tags and not instructor:
            continue
        text = cell.source
        if "setup" in cell.tags:
            text = setup_cell(address)
        elif "solution" in cell.tags:
            text = source.solution(cell, instructor=instructor)
        button = badge(address, lesson.notebook.name)
        if not cells and button and not instructor:
            text = f"{button}\n\n{text}"
        seen[text] += 1
        new = v4.new_code_cell if cell.kind == "code" else v4.new_markdown_cell
        metadata: dict[str, Any] = {"slideshow": {"slide_type": _slide_type(cell)}} if instructor else {}
        if tags := sorted(cell.tags.intersection(("solution", "instructor", "setup"))):
            metadata["tags"] = ["exercise" if tag == "solution" and not instructor else tag for tag in tags]
        cells.append(new(text, id=_id(cell.kind, text, seen[text]), metadata=metadata))
    return v4.new_notebook(cells=cells, metadata=METADATA)


def _id(kind: str, text: str, occurrence: int) -> str:
    return hashlib.sha256(f"{kind}\n{occurrence}\n{text}".encode()).hexdigest()[:12]


def _slide_type(cell: source.Cell) -> str:
    """Where the slides break: what the tags say, else at headings; an instructor's remarks are speaker notes."""
    chosen = cell.tags.intersection(source.SLIDES)
    if chosen:
        return min(chosen)
    if "instructor" in cell.tags:
        return "notes"
    if cell.kind == "markdown" and cell.source.startswith(("# ", "## ")):
        return "slide"
    return "subslide" if cell.kind == "markdown" and cell.source.startswith("### ") else ""


def build(
    names: Iterable[str] = (),
    *,
    execute: bool = True,
    instructor: bool = False,
    tier: str = "cpu",
    out: Path | None = None,
    root: Path | None = None,
    on_cell: OnCell | None = None,
) -> list[Path]:
    """Build notebooks from their sources, execute them, and write them where readers find them; returns their paths.

    The learner's go to `notebooks/`, the instructor's with slides to `out`, by default `build/instructor`. Nothing is
    written for a lesson that fails. Raises CourseError with the failing cell, or with what must not be committed.
    """
    written = []
    for lesson in catalog.find(names, root):
        notebook = assemble(lesson, instructor=instructor)
        target = (out or lesson.root / "build/instructor") / lesson.notebook.name if instructor else lesson.notebook
        if execute:
            _execute(lesson, notebook, tier, on_cell)
        elif target.exists():
            carry_over(read(target), notebook)
        if not instructor and (found := outputs.blemishes(notebook)):
            raise CourseError(f"{lesson.name} is not fit to be committed: {'; '.join(found)}.")
        write(notebook, target)
        written.append(target)
        if instructor:
            written.append(write_slides(notebook, target.with_suffix(".slides.html")))
    return written


def _execute(lesson: Lesson, notebook: Any, tier: str, on_cell: OnCell | None) -> None:
    def report(done: int, total: int) -> None:
        if on_cell:
            on_cell(lesson.name, done, total)

    failure = kernel.execute(notebook, {"COURSE_TIER": tier}, report).failure
    if failure:
        raise CourseError(f"{lesson.name}: cell {failure.cell} failed with {failure.error}\n\n{failure.source}")
    outputs.clean(notebook)


def carry_over(old: Any, new: Any) -> bool:
    """Keep the outputs of ``old`` in ``new`` when their code cells are the same; whether they were."""
    before, after = ([cell for cell in notebook.cells if cell.cell_type == "code"] for notebook in (old, new))
    if [cell.source for cell in before] != [cell.source for cell in after]:
        return False
    for kept, cell in zip(before, after, strict=True):
        cell.outputs = kept.outputs
    return True


def inputs(notebook: Any) -> Any:
    """A notebook without what execution adds: what a source determines."""
    bare = json.loads(json.dumps(notebook))
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return bare


def stale(lesson: Lesson) -> bool:
    """Whether the committed notebook is not what its source builds now."""
    return not lesson.notebook.exists() or inputs(read(lesson.notebook)) != inputs(assemble(lesson))


def read(path: Path) -> Any:
    """A notebook from disk. Raises CourseError when the file is none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise CourseError(f"There is no notebook {path}; build it with `course build {path.stem[:2]}`.") from None
    except (nbformat.reader.NotJSONError, UnicodeDecodeError):
        raise CourseError(f"{path} is not a notebook; restore it, or build it with `course build`.") from None


def write(notebook: Any, path: Path) -> None:
    """Write a valid notebook, completely or not at all; raises nbformat.ValidationError for an invalid one."""
    import nbformat

    nbformat.validate(notebook)
    replace(path, nbformat.writes(notebook) + "\n")


def write_slides(notebook: Any, path: Path) -> Path:
    """The notebook as reveal.js slides, one HTML file."""
    from nbconvert import SlidesExporter

    text, _ = SlidesExporter(reveal_scroll=True).from_notebook_node(notebook)
    replace(path, text)
    return path


def replace(path: Path, text: str) -> None:
    """Put a text file in the place of another, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
