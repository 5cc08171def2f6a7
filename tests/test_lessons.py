"""The notebooks' toolchain: sources, the deterministic build, cleaned outputs, kernels that leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

from course_lib.errors import CourseError
from course_lib.lessons import build, catalog, kernel, outputs, runner, source, style
from course_lib.lessons.setup_cell import setup_cell
from tests.small_course import FIRST, small_course

ADDRESS = "https://github.com/someone/a-course"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    return small_course(tmp_path / "course")


def notebook(*cells: str) -> nbformat.NotebookNode:
    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


def source_file(folder: Path, text: str) -> Path:
    path = folder / "04_lesson.py"
    path.write_text(text, encoding="utf-8")
    return path


def marked(marker: str) -> list[psutil.Process]:
    """The processes whose command line has the marker."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(marker in word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


# -- the catalog -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["01", "1", "01_small", "small", "notebooks/01_small.ipynb", "source/01_small.py"])
def test_a_lesson_is_found_by_any_of_its_names(course: Path, name: str) -> None:
    assert [lesson.name for lesson in catalog.find([name], course)] == ["01_small"]


def test_no_names_mean_all_lessons_in_order(course: Path) -> None:
    assert [lesson.number for lesson in catalog.find((), course)] == ["01", "02"]


def test_an_unknown_lesson_is_answered_with_the_choices(course: Path) -> None:
    with pytest.raises(CourseError, match=r"no lesson '07'; choose from 01_small, 02_another\."):
        catalog.find(["01", "07"], course)


def test_the_repository_address_comes_from_the_project_file(tmp_path: Path) -> None:
    assert catalog.repository(small_course(tmp_path / "with", repository=ADDRESS + ".git")) == ADDRESS
    assert catalog.repository(small_course(tmp_path / "without")) is None


# -- sources -----------------------------------------------------------------------------------------------------------


def test_an_unknown_tag_is_named_with_its_cell(tmp_path: Path) -> None:
    path = source_file(tmp_path, '# %%\n1\n\n# %% tags=["soluton"]\n2\n')
    with pytest.raises(CourseError, match=r"04_lesson.py, cell 2: unknown tag 'soluton'; the tags are .*solution"):
        source.read(path)


def test_a_solution_has_a_stub_for_the_learner_and_the_rest_for_the_instructor(tmp_path: Path) -> None:
    text = '# %% tags=["solution"]\n# stub: def f(x):\n# stub:     ...  # a hint\ndef f(x):\n    return 2 * x\n'
    (cell,) = source.read(source_file(tmp_path, text))
    assert source.solution(cell, instructor=False) == "def f(x):\n    ...  # a hint"
    assert source.solution(cell, instructor=True) == "def f(x):\n    return 2 * x"


def test_a_solution_can_name_an_exercise_and_takes_both_readings_from_it(tmp_path: Path) -> None:
    (cell,) = source.read(source_file(tmp_path, '# %% tags=["solution"]\n# exercise: 00-first\n'))
    assert source.solution(cell, instructor=False) == "tokens = ..."
    assert "1.33" in source.solution(cell, instructor=True)


def test_a_solution_without_a_stub_is_refused(tmp_path: Path) -> None:
    (cell,) = source.read(source_file(tmp_path, '# %% tags=["solution"]\nx = 1\n'))
    with pytest.raises(CourseError, match="cell 1: a solution needs its stub"):
        source.solution(cell, instructor=False)


# -- the build ---------------------------------------------------------------------------------------------------------


def test_two_builds_of_a_source_are_the_same_bytes(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    texts = []
    for _ in range(2):
        (path,) = build.build(["01"], execute=False, root=course)
        texts.append(path.read_bytes())
        path.unlink()
    assert texts[0] == texts[1]
    nbformat.validate(nbformat.read(build.build(["01"], execute=False, root=course)[0], as_version=4))
    assert json.loads(texts[0])["nbformat_minor"] >= 5
    assert not build.stale(lesson)


def test_an_edit_changes_the_id_of_the_edited_cell_only(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    before = [cell.id for cell in build.assemble(lesson).cells]
    lesson.source.write_text(FIRST.replace("six times", "6 times"), encoding="utf-8")
    after = [cell.id for cell in build.assemble(lesson).cells]
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert len(set(before)) == len(before), "cells with the same text need ids of their own"


def test_the_learner_gets_stubs_and_the_instructor_solutions_and_remarks(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    learner = [cell.source for cell in build.assemble(lesson).cells]
    instructor = [cell.source for cell in build.assemble(lesson, instructor=True).cells]
    assert "answer = ...  # your turn: count on your fingers" in learner
    assert "answer = 6 * 7" in instructor
    assert [text for text in instructor if "Ask the room" in text]
    assert not [text for text in learner if "Ask the room" in text or "6 * 7" in text]


def test_slides_break_at_headings_and_remarks_become_speaker_notes(course: Path) -> None:
    cells = build.assemble(catalog.find(["01"], course)[0], instructor=True).cells
    kinds = {cell.source.splitlines()[0]: cell.metadata.slideshow.slide_type for cell in cells}
    assert kinds["# One small lesson"] == kinds["## A question"] == "slide"
    assert kinds["Ask the room what six times seven is."] == "notes"
    assert kinds["answer = 6 * 7"] == ""


def test_the_instructors_build_has_slides(course: Path, tmp_path: Path) -> None:
    paths = build.build(["01"], execute=False, instructor=True, out=tmp_path / "out", root=course)
    assert [path.name for path in paths] == ["01_small.ipynb", "01_small.slides.html"]
    slides = paths[1].read_text(encoding="utf-8")
    assert "A question" in slides
    assert 'class="notes"' in slides
    assert not list((course / "notebooks").glob("*.ipynb")), "the learner's notebooks stay as they are"


def test_a_notebook_is_stale_when_its_source_or_itself_was_edited(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    assert build.stale(lesson)
    (path,) = build.build(["01"], root=course)
    assert not build.stale(lesson)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("six times", "seven times"), encoding="utf-8")
    assert build.stale(lesson)
    path.write_text(text, encoding="utf-8")
    lesson.source.write_text(FIRST + "\n# %%\n1\n", encoding="utf-8")
    assert build.stale(lesson)


def test_an_executed_build_holds_outputs_that_two_runs_agree_on(course: Path) -> None:
    twice = [json.loads(build.build(["01"], root=course)[0].read_text(encoding="utf-8")) for _ in range(2)]
    for built in twice:
        (memory,) = built["cells"][1].pop("outputs")  # free memory is what it is
        assert memory["text"][0].startswith("tier cpu | ")
    assert twice[0] == twice[1]
    cells = twice[0]["cells"]
    assert [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"] == [None] * 6
    assert cells[2]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["six times seven\n"]}]
    assert cells[5]["outputs"][0]["text"] == ["not attempted\n"]


def test_outputs_stay_when_only_prose_was_edited_and_go_when_code_was(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    build.build(["01"], root=course)
    lesson.source.write_text(FIRST.replace("# ## A question", "# ## The question"), encoding="utf-8")
    (path,) = build.build(["01"], execute=False, root=course)
    assert "six times seven" in path.read_text(encoding="utf-8")
    lesson.source.write_text(FIRST.replace("six times", "6 times"), encoding="utf-8")
    (path,) = build.build(["01"], execute=False, root=course)
    assert '"outputs": []' in path.read_text(encoding="utf-8")
    assert "six times seven" not in path.read_text(encoding="utf-8")


def test_a_build_that_fails_leaves_the_old_notebook(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    before = build.build(["01"], execute=False, root=course)[0].read_bytes()
    lesson.source.write_text(FIRST + "\n# %%\n1 / 0\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"01_small: cell 9 failed with ZeroDivisionError(.|\n)*1 / 0"):
        build.build(["01"], root=course)
    assert lesson.notebook.read_bytes() == before
    assert [path.name for path in (course / "notebooks").iterdir() if path.is_file()] == ["01_small.ipynb"]


def test_a_path_of_this_machine_is_not_committed(course: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    lesson.source.write_text(FIRST + "\n# %%\nfrom pathlib import Path\nprint(Path.home())\n", encoding="utf-8")
    with pytest.raises(CourseError, match="not fit to be committed: cell 9 shows a path of this machine"):
        build.build(["01"], root=course)


# -- badge and setup cell ----------------------------------------------------------------------------------------------


def test_the_repository_is_stamped_into_badge_and_setup_cell(tmp_path: Path) -> None:
    lesson = catalog.find(["01"], small_course(tmp_path, repository=ADDRESS))[0]
    cells = build.assemble(lesson).cells
    assert "colab.research.google.com/github/someone/a-course/blob/main/notebooks/01_small.ipynb" in cells[0].source
    assert f'"git+{ADDRESS}"' in cells[1].source
    assert "Open in Colab" not in build.assemble(lesson, instructor=True).cells[0].source


@pytest.mark.parametrize("address", ["", "https://codeberg.org/someone/a-course"])
def test_without_a_repository_on_github_there_is_no_badge(tmp_path: Path, address: str) -> None:
    lesson = catalog.find(["01"], small_course(tmp_path, repository=address))[0]
    assert build.assemble(lesson).cells[0].source == "# One small lesson"


@pytest.mark.parametrize("address", [None, ADDRESS])
def test_the_setup_cell_is_short_and_plain_python(address: str | None) -> None:
    text = setup_cell(address)
    assert len(text.splitlines()) <= style.LONGEST_CELL
    compile(text, "setup", "exec")


# -- outputs -----------------------------------------------------------------------------------------------------------


def display(**data: str) -> nbformat.NotebookNode:
    return v4.new_output("display_data", data={name.replace("__", "/"): value for name, value in data.items()})


def cleaned(*produced: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    book = notebook("1")
    book.cells[0].outputs, book.cells[0].execution_count = list(produced), 7
    book.cells[0].metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00"}
    outputs.clean(book)
    assert book.cells[0].execution_count is None
    assert "execution" not in book.cells[0].metadata
    return book.cells[0].outputs


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return v4.new_output("stream", name=name, text=text)


def test_a_progress_bar_leaves_nothing_and_what_was_printed_around_it_stays() -> None:
    bar = "\rtraining:   0%|          | 0/3 [00:00<?, ?step/s]\rtraining: 100%|###| 3/3 [00:01<00:00, 2step/s]"
    (output,) = cleaned(stream("before\n" + bar), stream("\r" + " " * 60 + "\r"), stream("after\n"))
    assert output.text == "before\nafter\n"


def test_a_line_that_was_written_over_keeps_its_last_version() -> None:
    assert outputs.as_printed("rung 1\rrung 2\ndone\n") == "rung 2\ndone\n"
    assert outputs.as_printed("\x1b[1mbold\x1b[0m\n") == "bold\n"


def test_standard_error_is_left_out_and_text_around_it_is_joined() -> None:
    (output,) = cleaned(stream("a"), stream("a warning", "stderr"), stream("b"))
    assert output.text == "ab"


def test_a_widget_is_replaced_by_its_text_and_html() -> None:
    widget = display(text__plain="Accuracy 90%", text__html="<b>90%</b>")
    widget.data[outputs.WIDGET] = {"model_id": "abc"}
    (output,) = cleaned(widget)
    assert output.data == {"text/plain": "Accuracy 90%", "text/html": "<b>90%</b>"}
    bare = display(text__plain="VBox(children=(IntSlider(value=0),))")
    bare.data[outputs.WIDGET] = {"model_id": "abc"}
    assert cleaned(bare) == []


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), "cell 1 ends in ValueError: no"),
        (stream("<object at 0x7f3a5c2b1d90>"), "cell 1 shows an address in memory: 0x7f3a5c2b1d90"),
        (stream(f"saved to {Path.home()}/model"), "cell 1 shows a path of this machine"),
        (display(**{outputs.WIDGET: "{}"}), "cell 1 holds a widget"),
    ],
)
def test_what_must_not_be_committed_is_named(output: nbformat.NotebookNode, complaint: str) -> None:
    book = notebook("1")
    book.cells[0].outputs = [output]
    (found,) = outputs.blemishes(book)
    assert complaint in found


def test_an_embedded_picture_may_hold_any_letters() -> None:
    book = notebook("1")
    book.cells[0].outputs = [display(text__html='<img alt="x" src="data:image/png;base64,0xdeadbeef/tmp/AAAA==">')]
    assert outputs.blemishes(book) == []


# -- style -------------------------------------------------------------------------------------------------------------


def test_a_long_cell_a_bare_picture_and_widget_state_are_errors_and_the_rest_are_remarks() -> None:
    book = notebook("\n".join(f"x{k} = {k}" for k in range(21)), "show()", "exercises.check('05-a', a)")
    book.cells[1].outputs = [display(text__html="<img src='data:image/png;base64,AA=='>")]
    book.metadata["widgets"] = {}
    report = style.report("05_lesson", book)
    assert report.figures["exercises"] == 1
    assert report.figures["plots"] == 1
    assert any("cell 1 has 21 lines" in error for error in report.errors)
    assert any("cell 2 shows a picture without alternative text" in error for error in report.errors)
    assert any("widget state" in error for error in report.errors)
    assert any(remark.startswith("cells: 3, wanted 40 to 80") for remark in report.remarks)


# -- kernels -----------------------------------------------------------------------------------------------------------


def test_the_kernel_is_this_interpreter_whatever_the_notebook_says() -> None:
    book = notebook("import sys, os, course_lib\nprint(sys.executable, course_lib.__file__, os.environ['COURSE_TIER'])")
    book.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "", "language": "python"}
    assert kernel.execute(book, {"COURSE_TIER": "nowhere"}).failure is None
    executable, package, tier = book.cells[0].outputs[0].text.split()
    assert executable == sys.executable
    assert Path(package).parent == catalog.PACKAGE
    assert tier == "nowhere"


def test_an_error_stops_the_notebook_and_is_told_with_its_cell() -> None:
    seen: list[tuple[int, int]] = []
    book = notebook("1", "raise ValueError('no good')", "3")
    result = kernel.execute(book, on_cell=lambda done, total: seen.append((done, total)))
    assert result.failure is not None
    assert (result.failure.cell, result.failure.error) == (2, "ValueError: no good")
    assert result.failure.source == "raise ValueError('no good')"
    assert (result.cells, seen) == (2, [(0, 3), (1, 3)])


@pytest.mark.parametrize(
    ("code", "timeout", "error"),
    [("import os; os._exit(1)", None, "DeadKernelError"), ("import time; time.sleep(60)", 1, "TimeoutError")],
)
def test_a_kernel_that_dies_or_hangs_is_a_failure_of_its_cell(code: str, timeout: float | None, error: str) -> None:
    result = kernel.execute(notebook(code, "2"), timeout=timeout)
    assert result.failure is not None
    assert error in result.failure.error
    assert result.cells == 1


def test_a_run_touches_no_progress_and_no_files_of_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "mine"))
    code = "import os, pathlib\npathlib.Path('left.txt').write_text('x')\nprint(os.environ['COURSE_HOME'])"
    book = notebook(code)
    assert kernel.execute(book).failure is None
    assert book.cells[0].outputs[0].text.strip() != str(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_processes_that_a_cell_started_end_with_its_kernel() -> None:
    marker = f"sleeper-{os.getpid()}"
    code = f"import subprocess, sys\nargs = [sys.executable, '-c', 'import time; time.sleep(600)', {marker!r}]\n"
    code += "subprocess.Popen(args, start_new_session=True)"
    assert kernel.execute(notebook(code)).failure is None
    _, alive = psutil.wait_procs(marked(marker), timeout=10)
    assert alive == []


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_keeps_executed_notebooks_and_a_record(course: Path, tmp_path: Path) -> None:
    build.build(execute=False, root=course)
    runs = runner.run((), "smoke", tmp_path / "out", root=course)
    assert [(run.lesson, run.status, run.cells) for run in runs] == [
        ("01_small", "passed", 6),
        ("02_another", "passed", 1),
    ]
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["tier"] == "smoke"
    assert [lesson["status"] for lesson in record["lessons"]] == ["passed", "passed"]
    executed = (tmp_path / "out" / "lessons" / "02_another.ipynb").read_text(encoding="utf-8")
    assert '"42"' in executed
    assert '"outputs": []' in (course / "notebooks" / "02_another.ipynb").read_text(encoding="utf-8")


def test_a_failing_lesson_does_not_keep_the_next_from_running(course: Path, tmp_path: Path) -> None:
    lesson = catalog.find(["01"], course)[0]
    lesson.source.write_text(FIRST + "\n# %%\nundefined\n", encoding="utf-8")
    build.build(execute=False, root=course)
    first, second = runner.run((), "smoke", tmp_path / "out", root=course)
    assert (first.status, second.status) == ("failed", "passed")
    assert first.failure is not None
    assert first.failure.source == "undefined"
    assert "NameError" in Path(first.notebook).read_text(encoding="utf-8")


def test_an_unknown_tier_and_a_folder_that_cannot_be_written_are_told_before_the_run(course: Path) -> None:
    build.build(execute=False, root=course)
    with pytest.raises(CourseError, match=r"no tier 'huge'.* smoke, cpu, t4, gpu"):
        runner.run((), "huge", root=course)
    with pytest.raises(CourseError, match="cannot be written to /proc/course"):
        runner.run((), "smoke", Path("/proc/course"), root=course)


INTERRUPTED = """\
import sys
from pathlib import Path
from course_lib.cli import main
from course_lib.lessons import catalog
catalog.home = lambda: Path(sys.argv[1])
sys.exit(main(["run", "--tier", "smoke", "--out", sys.argv[2]]))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interruption_leaves_no_process_and_no_file_behind(tmp_path: Path, stop: signal.Signals) -> None:
    marker, temporary = f"napper-{os.getpid()}-{stop}", tmp_path / "tmp"
    temporary.mkdir()
    second = "# %%\nimport subprocess, sys\n\nnap = 'import time; time.sleep(600)'\n"
    second += f"subprocess.run([sys.executable, '-c', nap, {marker!r}])\n"
    course = small_course(tmp_path / "course", second=second)
    build.build(execute=False, root=course)
    command = [sys.executable, "-c", INTERRUPTED, str(course), str(tmp_path / "out")]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)})
    deadline = time.monotonic() + 60
    while not marked(marker) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.1)
    kernels = [child for child in psutil.Process(run.pid).children(recursive=True) if child.pid != run.pid]
    assert kernels, "the second lesson never began"
    run.send_signal(stop)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Interrupted; the lessons that were complete are in" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(kernels, timeout=10)[1] == []
    assert list(temporary.iterdir()) == []
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert [lesson["lesson"] for lesson in record["lessons"]] == ["01_small"]
