"""The application: what every command has in common."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from course_lib.errors import CourseError

Command = Callable[..., Any]

app = typer.Typer(
    help="Adapting language models on the hardware you have: run the lessons, or use what they teach on your own data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
AUTHORS = "For authors of lessons"

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]
TierName = Annotated[
    str | None,
    typer.Option("--tier", help="smoke, cpu, t4 or gpu; without it, what suits this machine.", show_default=False),
]
Names = Annotated[
    list[str] | None, typer.Argument(help="Lessons, for example 03; without names all of them.", show_default=False)
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0, 1 (something failed), 2 (your turn) or 130 (interrupted)."""
    # Read when torch is loaded, so it is set before: threads that wait sleep instead of taking the cores from others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = app(args=arguments, prog_name="course", standalone_mode=False)
    except CourseError as error:
        return say(f"error: {error}", 2)
    except KeyboardInterrupt:
        return say("Interrupted.", 130)
    except Exception as error:
        # Typer carries its own copy of Click; how a usage error of it looks is all that is public.
        if not hasattr(error, "format_message"):
            raise
        sentence = " ".join(error.format_message().split())
        where = getattr(getattr(error, "ctx", None), "command_path", "course")
        end = "" if sentence.endswith((".", "?")) else "."
        return say(f"error: {sentence}{end} See {where} --help.", 2) if sentence else 2
    return code if isinstance(code, int) else 0


def command(example: str, panel: str | None = None, group: typer.Typer = app) -> Callable[[Command], Command]:
    """Register a function as a command whose help ends with an example; what it returns is the exit code.

    ``group`` is the application itself, or one of its groups of commands.
    A KeyboardInterrupt that carries a sentence, such as what was saved, ends with that sentence.
    """

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def guarded(*args: Any, **options: Any) -> int:
            try:
                return int(function(*args, **options) or 0)
            except KeyboardInterrupt as stop:  # which Typer would turn into a silent exit
                return say(str(stop) or "Interrupted; nothing was left behind.", 130)

        group.command(epilog=f"Example: [bold]{example}[/bold]", rich_help_panel=panel)(guarded)
        return function

    return register


def say(sentence: str, code: int) -> int:
    """Print a sentence on standard error and return the exit code that goes with it."""
    print(sentence, file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the course's version and stop.")] = False,
) -> None:
    """Adapting language models on the hardware you have: run the lessons, or use what they teach on your own data."""
    if version:
        from course_lib import __version__

        print(f"course {__version__}")
        raise typer.Exit
