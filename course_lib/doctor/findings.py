"""What `course doctor` says: this machine, its tier, and the traps that were found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from course_lib import hardware, tiers
from course_lib.doctor.surroundings import Surroundings
from course_lib.doctor.traps import Trap, look
from course_lib.hardware import Hardware
from course_lib.tiers import Tier

if TYPE_CHECKING:
    from rich.console import Console


def examine(machine: Hardware, tier: Tier | None = None) -> list[Trap]:
    """Every known trap, found or not. The hub is asked only if the tier lacks something that it has to download."""
    return look(here(machine, tier))


def here(machine: Hardware, tier: Tier | None = None) -> Surroundings:
    """What surrounds this process."""
    return Surroundings(machine, tier or tiers.current(machine))


def report(at: Surroundings | None = None) -> dict[str, Any]:
    """A machine (by default this one), its tier and the traps, as JSON would have them.

    Keys: ``healthy`` (no serious trap), ``hardware``, ``summary`` (rows of name and value for people), ``tier``,
    ``tier_chosen_by`` ("COURSE_TIER" or "hardware") and ``traps``.
    """
    at = at or here(hardware.detect())
    traps = look(at)
    machine, tier = at.hardware, at.tier
    return {
        "healthy": not any(trap.found and trap.serious for trap in traps),
        "hardware": dataclasses.asdict(machine)
        | {
            "dtype": machine.dtype,
            "cpu_flags": sorted(machine.cpu_flags),
            "capability": list(machine.capability) if machine.capability else None,
        },
        "summary": [list(row) for row in hardware.describe(machine)],
        "tier": {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(tier).items()},
        "tier_chosen_by": "COURSE_TIER" if at.environment.get("COURSE_TIER", "").strip() else "hardware",
        "traps": [dataclasses.asdict(trap) for trap in traps],
    }


def render(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for people: the machine, the tier, each trap that was found with its fix."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    tier = f"{report['tier']['name']}, chosen by {report['tier_chosen_by']}: {report['tier']['title']}"
    for name, value in (*report["summary"], ("Tier", tier)):
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    found = [trap for trap in report["traps"] if trap["found"]]
    for trap in sorted(found, key=lambda trap: not trap["serious"]):
        console.print()
        word, style = ("Trap", "bold red") if trap["serious"] else ("Note", "bold yellow")
        console.print(Text.assemble((f"{word}: {trap['name']}. ", style), trap["what"]))
        console.print(Text.assemble(("Fix: ", "bold"), trap["fix"]), soft_wrap=True)  # a command must copy as one line
    fine = ", ".join(trap["name"] for trap in report["traps"] if not trap["found"])
    console.print()
    console.print(Text(f"Known traps that are not here: {fine}."))
