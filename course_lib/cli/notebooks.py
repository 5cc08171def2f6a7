"""`course run` for readers, `course build` and `course style` for authors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from course_lib.cli import show
from course_lib.cli.app import AUTHORS, AsJson, Names, TierName, command


@command("course run 03 --tier smoke")
def run(
    names: Names = None,
    tier: TierName = None,
    out: Annotated[Path, typer.Option(help="Where the executed notebooks and run.json go.")] = Path("build"),
    as_json: AsJson = False,
) -> int:
    """Execute lessons in fresh kernels, as "Run all" does, and print how it went."""
    from course_lib.lessons import runner

    try:
        with show.lesson_progress() as on_cell:
            runs = runner.run(names or (), tier, out, on_cell=on_cell)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted; the lessons that were complete are in {out}.") from None
    if as_json:
        print((out / "run.json").read_text(encoding="utf-8"), end="")
    else:
        show.lesson_table(runs)
    show.lesson_failures(runs)
    return int(any(entry.failure for entry in runs))


@command("course build 03 --no-execute", AUTHORS)
def build(
    names: Names = None,
    instructor: Annotated[bool, typer.Option("--instructor", help="With solutions, remarks and slides.")] = False,
    execute: Annotated[
        bool, typer.Option(help="Execute the cells; without, outputs stay where the code is the same.")
    ] = True,
    tier: Annotated[str, typer.Option(help="The tier whose outputs are kept.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Where the instructor's notebooks go.")] = Path("build/instructor"),
) -> int:
    """Build notebooks from notebooks/source, execute them and write them to notebooks/."""
    from course_lib.lessons import build as works
    from course_lib.lessons.runner import choose_tier

    try:
        with show.lesson_progress() as on_cell:
            written = works.build(
                names or (),
                execute=execute,
                instructor=instructor,
                tier=choose_tier(tier),
                out=out,
                on_cell=on_cell,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the lesson in progress was not written.") from None
    for path in written:
        print(path)
    return 0


@command("course style 03", AUTHORS)
def style(names: Names = None, as_json: AsJson = False) -> int:
    """Report how lessons read (lengths of cells, prose per line of code, plots); fail on what is forbidden."""
    from course_lib import lessons
    from course_lib.lessons import build as works
    from course_lib.lessons.style import report

    reports = [report(lesson.name, works.read(lesson.notebook)) for lesson in lessons.find(names or ())]
    if as_json:
        show.print_json([asdict(entry) for entry in reports])
    else:
        show.style_reports(reports)
    return int(any(entry.errors for entry in reports))
