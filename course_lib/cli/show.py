"""What the commands put on the screen: tables, progress, JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from course_lib.classify import RungResult
    from course_lib.lessons.build import OnCell
    from course_lib.lessons.runner import LessonRun
    from course_lib.lessons.style import Report

MARKS = {"passed": "[green]passed[/green]", "failed": "[red]failed[/red]"}


def console(stderr: bool = False) -> Console:
    """Where people read: standard output, or standard error beside JSON."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def note(sentence: str) -> None:
    """A line for people, on standard error, so that standard output stays what was asked for."""
    console(stderr=True).print(sentence, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(40), duration(200), duration(9000)
    ('40 seconds', '3 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """A table on standard output; the columns named in ``numbers`` are aligned to the right, the first never breaks."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=place == 0)
    for row in rows:
        table.add_row(*row)
    console().print(table)


# -- lessons -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lesson_progress() -> Iterator[OnCell]:
    """A line per lesson on standard error: how many of its cells are done, and for how long it has been running."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("cell"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bars: dict[str, Any] = {}
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:

        def on_cell(lesson: str, done: int, total: int) -> None:
            if lesson not in bars:
                bars[lesson] = progress.add_task(lesson, total=total)
                if not screen.is_terminal:
                    screen.print(f"{lesson}: {total} cells")
            progress.update(bars[lesson], completed=done)

        yield on_cell


def lesson_table(runs: Sequence[LessonRun]) -> None:
    """Lesson, cells, minutes, status."""
    rows = [[run.lesson, str(run.cells), f"{run.minutes:.1f}", MARKS[run.status]] for run in runs]
    show_table("Lessons", ("lesson", "cells", "minutes", "status"), rows, numbers=("cells", "minutes"))


def lesson_failures(runs: Sequence[LessonRun]) -> None:
    """The cells that failed and what they said, on standard error."""
    screen = console(stderr=True)
    for run in runs:
        if run.failure:
            screen.print(
                f"\n{run.lesson}, cell {run.failure.cell}: {run.failure.error}", style="bold red", markup=False
            )
            screen.print("\n".join(f"    {line}" for line in run.failure.source.splitlines()), markup=False)
            screen.print(f"\nThe executed notebook with the whole error: {run.notebook}", markup=False)


def style_reports(reports: Sequence[Report]) -> None:
    """The figures of each lesson, then the remarks."""
    columns = ("figure", *(report.lesson for report in reports))
    names = list(reports[0].figures) if reports else []
    rows = [[name, *(f"{report.figures[name]:g}" for report in reports)] for name in names]
    show_table("Style", columns, rows, numbers=columns[1:])
    for report in reports:
        for remark in report.remarks:
            console().print(f"{report.lesson}: {remark}", markup=False)
        for error in report.errors:
            console().print(f"{report.lesson}: error: {error}", style="red", markup=False)


# -- the ladder --------------------------------------------------------------------------------------------------------


def rung_line(result: RungResult) -> str:
    """One finished rung in a line."""
    return f"{result.title:<38} {result.accuracy:6.1%} accuracy  {result.cpu_seconds:7.1f} s CPU"


def ladder_table(results: Sequence[RungResult], title: str) -> None:
    """The ladder with its intervals, the test against the rung below, and what each rung cost."""
    columns = ("rung", "accuracy [95%]", "macro-F1 [95%]", "p", "trained weights", "CPU s", "wall s", "peak MB")
    rows = [
        [
            result.rung,
            f"{result.accuracy:.1%} [{result.accuracy_low * 100:.1f}–{result.accuracy_high * 100:.1f}]",
            f"{result.macro_f1:.1%} [{result.f1_low * 100:.1f}–{result.f1_high * 100:.1f}]",
            "-" if result.p_value is None else f"{result.p_value:.3f}",
            f"{result.trainable_params:,}",
            f"{result.cpu_seconds:.1f}",
            f"{result.wall_seconds:.1f}",
            f"{result.peak_bytes / 1e6:,.0f}",
        ]
        for result in results
    ]
    escaped = [[cell.replace("[", r"\[") for cell in row] for row in rows]
    show_table(title, [name.replace("[", r"\[") for name in columns], escaped, numbers=columns[3:])
    console().print("p: a paired test against the rung below on the same test texts.", markup=False)
