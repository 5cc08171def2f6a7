"""Execution accuracy: two statements mean the same if they find the same rows.

The same question can be put in SQL in many ways, so that comparing the texts counts right answers as wrong. Both
statements are run instead, on a table made for it, and their rows are compared: in any order, unless the reference
orders them itself; the columns in the order they were asked for.

A statement from a model is a statement from a stranger. It is run by sqlite3 in memory, on a copy that is thrown away,
and may only read, with the functions named here: sqlite asks at every table and function whether that is allowed, so
that writing, ATTACH, PRAGMA, VACUUM INTO and extensions are refused before anything runs. `Limits` bound what is left:
instructions of sqlite's own machine (the same on every computer), seconds, rows, and the length of a value, which with
the instructions bounds the memory. A statement whose WITH names a table twice, and that one another twice, doubles at
every step while it is still being compiled, where nothing can stop it; so there may be two of these.

Rows that agree on one table need not agree on another, least of all on an empty one (Zhong et al. 2020 generate many
tables for that reason): let the reference find something. Left out: RECURSIVE, several statements, and ties in an
order, which sqlite may break in another way.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from course_lib.errors import CourseError

Rows = list[tuple[object, ...]]

READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})
MAKING = READING | {
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_TRANSACTION,
}
# Functions that may be called. Any other might reach outside, or take minutes at a single instruction: printf would
# write a text of a billion characters before it is refused.
_FUNCTIONS = """
    abs avg ceil ceiling char coalesce concat concat_ws count cume_dist date datetime dense_rank first_value floor
    glob group_concat ifnull iif instr julianday lag last_value lead length like lower ltrim max min mod nth_value
    ntile nullif percent_rank pow power rank replace round row_number rtrim sign sqrt strftime string_agg substr
    substring sum time total trim typeof unicode upper
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
STEP = 100  # instructions between two looks at the clock: one of them can take a millisecond
QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)""", re.DOTALL)
NAMED = re.compile(r"\bAS\s*(?:(?:NOT\s+)?MATERIALIZED\s*)?\(", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """How much a statement may take: at the default at most some 0.2 GB, and milliseconds where it is meant well.

    instructions: of sqlite's machine (a row that is looked at takes about five). seconds: whatever the instructions.
    rows: of the result. value: bytes of one text, blob or row. statement: characters. names: tables named by WITH.
    """

    instructions: int = 250_000
    seconds: float = 2.0
    rows: int = 1000
    value: int = 4000
    statement: int = 2000
    names: int = 2


LIMITS = Limits()
FOR_MAKING = Limits(instructions=10_000_000, seconds=10.0, value=100_000, statement=10_000_000)


def execute(create: str, statement: str, limits: Limits = LIMITS) -> Rows:
    """The rows that one reading statement finds in the tables made by ``create`` (CREATE TABLE, INSERT), in memory.

    Raises CourseError with sqlite's reason when the tables cannot be made, or when the statement is wrong, would change
    something, takes too long or finds too much.
    """
    connection = sqlite3.connect(":memory:")
    try:
        _make(connection, create)
        return _read(connection, statement, limits)
    finally:
        connection.close()


def sql_match(create: str, prediction: str, reference: str, limits: Limits = LIMITS) -> float:
    """1.0 if the predicted statement finds the rows of the reference, 0.0 if it finds others or cannot be run.

    A prediction may stand between the marks of a code block. Raises CourseError when the reference cannot be run.
    """
    expected = execute(create, reference, limits)
    try:
        found = execute(create, bare(prediction), limits)
    except CourseError:
        return 0.0
    return float(same(found, expected, ordered=orders(reference)))


def same(first: Rows, second: Rows, *, ordered: bool = False) -> bool:
    """Whether two results have the same rows: in the same order, or (as SQL means it without ORDER BY) in any.

    Fractions are compared to nine digits, since a sum depends on the order of its terms.
    """
    one, other = _rounded(first), _rounded(second)
    return one == other if ordered else Counter(one) == Counter(other)


def orders(statement: str) -> bool:
    """Whether a statement orders its result, and not only that of a query within it.

    >>> orders("SELECT a FROM t ORDER BY b"), orders("SELECT a FROM (SELECT a FROM t ORDER BY b LIMIT 3)")
    (True, False)
    """
    code = QUOTED.sub(" ", statement)
    depth = list(accumulate((character == "(") - (character == ")") for character in code))
    return any(depth[match.start()] == 0 for match in re.finditer(r"\bORDER\s+BY\b", code, re.IGNORECASE))


def bare(text: str) -> str:
    """A statement without the marks of a code block around it, where they are."""
    first, _, rest = text.strip().partition("\n")
    fenced = first.rstrip().lower() in ("```", "```sql") and rest.endswith("```")
    return rest.removesuffix("```").strip() if fenced else text


def parses(statement: str) -> bool:
    """Whether this is one complete reading statement in sqlite's grammar; its tables and columns need not exist."""
    code = "" if len(statement) > LIMITS.statement else QUOTED.sub(" ", statement).strip().removesuffix(";")
    if ";" in code or not re.match(r"(SELECT|VALUES|WITH)\b", code, re.IGNORECASE):
        return False
    try:
        execute("", statement)
    except CourseError as error:
        return isinstance(error.__cause__, sqlite3.OperationalError) and "no such" in str(error.__cause__)
    return True


def _make(connection: sqlite3.Connection, create: str) -> None:
    connection.execute("PRAGMA temp_store = memory")
    try:
        if re.search(r"\bWITH\b", QUOTED.sub(" ", create), re.IGNORECASE):
            raise sqlite3.ProgrammingError("it has a WITH")
        _restrict(connection, MAKING, FOR_MAKING)
        connection.executescript(create)
        connection.commit()
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        reason = _reason(error)
        raise CourseError(f"The table cannot be made ({reason}): give CREATE TABLE and INSERT statements.") from error


def _read(connection: sqlite3.Connection, statement: str, limits: Limits) -> Rows:
    try:
        if len(statement) > limits.statement or len(NAMED.findall(QUOTED.sub(" ", statement))) > limits.names:
            raise sqlite3.ProgrammingError("it is too long")
        _restrict(connection, READING, limits)
        cursor = connection.execute(statement)
        if cursor.description is None:
            raise sqlite3.ProgrammingError("it is empty")
        rows = cursor.fetchmany(limits.rows + 1)
        if len(rows) > limits.rows:
            raise sqlite3.ProgrammingError(f"it finds more than {limits.rows} rows")
        return rows
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        shown = statement if len(statement) <= 200 else f"{statement[:200]}…"
        reason = _reason(error)
        raise CourseError(
            f"The statement {shown!r} cannot be run ({reason}); write one SELECT over the table."
        ) from error


def _restrict(connection: sqlite3.Connection, allowed: frozenset[int], limits: Limits) -> None:
    """From here on the connection does only what is allowed, and within the limits."""

    def authorize(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
        refused = action not in allowed or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() not in FUNCTIONS)
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)
    connection.set_progress_handler(_clock(limits), STEP)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.value)


def _clock(limits: Limits) -> Callable[[], int]:
    """What sqlite asks every STEP instructions: whether to stop."""
    left, end = limits.instructions // STEP, time.monotonic() + limits.seconds

    def stop() -> int:
        nonlocal left
        left -= 1
        return int(left < 0 or time.monotonic() > end)

    return stop


def _reason(error: Exception) -> str:
    return "it takes too long" if str(error) == "interrupted" else str(error)


def _rounded(rows: Rows) -> Rows:
    return [tuple(float(f"{cell:.9g}") if isinstance(cell, float) else cell for cell in row) for row in rows]
