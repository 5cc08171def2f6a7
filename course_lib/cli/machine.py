"""`course doctor` and `course claims`: what this machine is, and what the course says about other people's claims."""

from __future__ import annotations

from typing import Annotated

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, command


@command("course doctor --json")
def doctor(as_json: AsJson = False) -> int:
    """Show what this machine is, and every known trap on it with the way out."""
    from course_lib import doctor as ward

    report = ward.report()
    if as_json:
        show.print_json(report)
    else:
        ward.render(report, show.console())
    return 0


@command("course claims --lesson 03 --check")
def claims(
    lesson: Annotated[
        str | None, typer.Option(help="Only the claims of this lesson, for example 03.", show_default=False)
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compute every figure anew; fails where a verdict does not hold.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Print the ledger of claims: what talks say about adapting models, and what was measured here."""
    from course_lib.teach import claims as books

    entries = books.rows(lesson)
    findings = {finding.id: finding for finding in books.check_all(lesson)} if check else {}
    stated = {entry["id"]: entry["verdict"] for entry in entries}
    broken = [name for name, found in findings.items() if found.supports not in (None, stated[name])]
    if as_json:
        measured = {name: {"measured": found.figure, "supports": found.supports} for name, found in findings.items()}
        show.print_json([entry | measured.get(entry["id"], {}) for entry in entries])
        return int(bool(broken))
    columns = ["id", "lesson", "claim", "claimed", *(["measured"] if check else []), "verdict"]
    rows = [
        [entry.get(name) or (findings[entry["id"]].figure if entry["id"] in findings else "-") for name in columns]
        for entry in entries
    ]
    show.show_table("The ledger of claims", columns, [[cell.replace("[", r"\[") for cell in row] for row in rows])
    for name in broken:
        show.console().print(f"{name}: the ledger says {stated[name]!r}, the figures say {findings[name].supports!r}")
    return int(bool(broken))
