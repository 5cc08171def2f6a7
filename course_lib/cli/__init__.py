"""The door: the `course` command.

Each command is one small function that reads its options, calls the room that does the work, and shows the result:
tables for people, or with ``--json`` one JSON document on standard output and everything else on standard error. What a
person can mend ends with one sentence and exit code 2, an interruption with 130. Rooms are imported when their command
runs, so that ``course --help`` answers at once.
"""

# Each registers its commands.
from course_lib.cli import data, finetune, ladder, machine, notebooks, plan, pretrain  # noqa: F401
from course_lib.cli.app import app, main

__all__ = ["app", "main"]

ORDER = (
    "doctor",
    "plan",
    "run",
    "ladder",
    "predict",
    "finetune",
    "generate",
    "pretrain",
    "evaluate",
    "claims",
    "build",
    "style",
)  # as the help lists them
app.registered_commands.sort(key=lambda entry: ORDER.index(entry.callback.__name__ if entry.callback else ""))
