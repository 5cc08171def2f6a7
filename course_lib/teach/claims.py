"""The ledger: what talks and posts say about adapting models, and what the numbers of this course say about that.

Every claim stands in ``assets/claims.toml`` with the figure claimed and a verdict:

    holds                    the course found what is claimed
    holds with conditions    it is so under conditions that the entry names
    corrected                it is not so; the entry says what is
    rumour                   nobody outside can verify it

A verdict is not an opinion. Where the claim's lesson exists, a check computes the claimed figure from evidence and
says which verdict the numbers support; a test fails where the ledger says something else. The rules stand beside the
checks in `claim_checks`. Claims of lessons to come have no verdict: "not tested yet".
"""

from __future__ import annotations

import difflib
import importlib.util
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.teach.claim_checks.evidence import Evidence, Finding
from course_lib.teach.tables import Table
from course_lib.teach.tables import table as lay_out

__all__ = [
    "VERDICTS", "Claim", "Evidence", "Finding", "check", "check_all", "claim", "ledger", "measured", "rows", "show",
    "summary", "table",
]  # fmt: skip

VERDICTS = ("holds", "holds with conditions", "corrected", "rumour")
UNTESTED = "not tested yet"


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger. ``also``: further lessons that take it up; ``verdict`` None: not tested yet."""

    id: str
    lesson: str
    talk: str
    claim: str
    figure: str
    test: str
    verdict: str | None = None
    why: str = ""
    also: tuple[str, ...] = ()


@cache
def ledger() -> tuple[Claim, ...]:
    """All claims, by lesson. ValueError for an entry that is not well formed: that is a defect of the course."""
    entries = tomllib.loads(asset("claims.toml").read_text(encoding="utf-8"))["claim"]
    claims = tuple(_entry(entry) for entry in entries)
    repeated = [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]
    if repeated:
        raise ValueError(f"claims.toml has more than one entry for {', '.join(repeated)}")
    return tuple(sorted(claims, key=lambda claim: claim.lesson))


def _entry(entry: dict[str, Any]) -> Claim:
    name = entry.get("id", "an entry without id")
    if unknown := entry.keys() - {field.name for field in fields(Claim)}:
        raise ValueError(f"claims.toml: {name} has unknown fields: {', '.join(sorted(unknown))}")
    for field in ("id", "lesson", "talk", "claim", "figure", "test"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise ValueError(f"claims.toml: {name} lacks {field!r}")
    if "verdict" in entry and entry["verdict"] not in VERDICTS:
        raise ValueError(f"claims.toml: {name} has the verdict {entry['verdict']!r}; there are {', '.join(VERDICTS)}")
    if ("verdict" in entry) != bool(entry.get("why")):
        raise ValueError(f"claims.toml: {name} needs a verdict and its 'why' together, or neither")
    return Claim(**{**entry, "also": tuple(entry.get("also", ()))})


def claim(id: str) -> Claim:
    """The claim with this id; CourseError with a suggestion where there is none."""
    found = {entry.id: entry for entry in ledger()}
    if id not in found:
        near = difflib.get_close_matches(id, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`course claims` lists them all."
        raise CourseError(f"The ledger has no claim {id!r}; {hint}")
    return found[id]


def check(id: str, evidence: Any = None) -> Finding:
    """Compute a claim's figure and the verdict that it supports.

    ``evidence`` is what the claim's lesson measured (lesson 03: an `Evidence`; lesson 00: a dict of `decide.Prices`);
    without it, the recording or the example that comes with the course. CourseError where no check exists yet.
    """
    entry = claim(id)
    checks = _checks(entry.lesson)
    if id not in checks:
        raise CourseError(f"The claim {id!r} has no check yet: lesson {entry.lesson} is still to come.")
    return checks[id](_default_evidence(entry.lesson) if evidence is None else evidence)


def check_all(lesson: str | None = None, evidence: Any = None) -> list[Finding]:
    """The findings of all claims that have a check, of one lesson or of all; evidence belongs to one lesson."""
    if evidence is not None and lesson is None:
        raise CourseError("Evidence belongs to one lesson; name it, for example check_all('03', evidence).")
    return [
        check(entry.id, evidence if entry.lesson == lesson else None)
        for entry in _of(lesson)
        if entry.id in _checks(entry.lesson)
    ]


def summary() -> dict[str, dict[str, int]]:
    """How many claims of each lesson have which verdict ("not tested yet" where there is none)."""
    counts: dict[str, Counter[str]] = {}
    for entry in ledger():
        counts.setdefault(entry.lesson, Counter())[entry.verdict or UNTESTED] += 1
    return {lesson: {v: count[v] for v in (*VERDICTS, UNTESTED) if count[v]} for lesson, count in counts.items()}


def rows(lesson: str | None = None) -> list[dict[str, str]]:
    """The ledger as it is written, nothing computed: id, lesson, claim, claimed, verdict, why."""
    return [
        {
            "id": entry.id,
            "lesson": ", ".join((entry.lesson, *entry.also)),
            "claim": entry.claim,
            "claimed": entry.figure,
            "verdict": entry.verdict or UNTESTED,
            "why": entry.why,
        }
        for entry in _of(lesson)
    ]


def measured(lesson: str, evidence: Any = None) -> list[dict[str, str]]:
    """The claims of one lesson next to what the evidence says: claim, claimed, measured here, verdict, why.

    Where the evidence supports another verdict than the ledger's, both are named.
    """
    findings = {finding.id: finding for finding in check_all(lesson, evidence)}
    return [
        {
            "claim": entry.claim,
            "claimed": entry.figure,
            "measured here": findings[entry.id].figure if entry.id in findings else "-",
            "verdict": _both(entry, findings.get(entry.id)),
            "why": entry.why or (findings[entry.id].sentence if entry.id in findings else ""),
        }
        for entry in _of(lesson)
    ]


def _both(entry: Claim, finding: Finding | None) -> str:
    stated = entry.verdict or UNTESTED
    if finding is None or finding.supports == entry.verdict:
        return stated
    return f"{stated}; this evidence: {finding.supports or 'cannot tell'}"


def table(lesson: str | None = None) -> Table:
    """The ledger, whole or of one lesson, to be shown."""
    headings = {name: name.capitalize() for name in ("id", "lesson", "claim", "claimed", "verdict", "why")}
    return lay_out(rows(lesson), headings, caption=f"Claims of lesson {lesson}" if lesson else "The ledger of claims")


def show(lesson: str, evidence: Any = None) -> Table:
    """The claims of one lesson next to what was measured, to be shown."""
    headings = {name: name.capitalize() for name in ("claim", "claimed", "measured here", "verdict", "why")}
    return lay_out(measured(lesson, evidence), headings, caption=f"Claims tested in lesson {lesson}")


def _of(lesson: str | None) -> list[Claim]:
    found = [entry for entry in ledger() if lesson in (None, entry.lesson, *entry.also)]
    if not found:
        known = sorted({entry.lesson for entry in ledger()})
        raise CourseError(f"The ledger has no claims of lesson {lesson!r}; there are {', '.join(known)}.")
    return found


def _checks(lesson: str) -> dict[str, Callable[[Any], Finding]]:
    module = _module(lesson)
    return module.CHECKS if module else {}


def _default_evidence(lesson: str) -> Any:
    return _module(lesson).default_evidence()


def _module(lesson: str) -> Any:
    """The lesson's checks, or None while the lesson is not written."""
    name = f"course_lib.teach.claim_checks.lesson{lesson}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
