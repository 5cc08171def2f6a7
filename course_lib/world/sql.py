"""Questions over small tables and the SELECT statement that answers each: a task for a later lesson, never pretrained.

A question is asked in the words of `table_topics`; its statement has one of ten simple forms (a filter, a count, a sum,
the largest, an order with a limit, a group). The answer is computed twice: by sqlite3 on the statement and by Python
on the printed table.

Statements are run by `metrics.sql`, which also compares what a model writes with them. Left out: joins, averages,
dates, several statements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from course_lib.errors import CourseError
from course_lib.metrics.sql import Rows, execute
from course_lib.world.place import Place
from course_lib.world.tables import Table
from course_lib.world.tables import sample as sample_table

# The form of each kind of question; {key}, {word} and {number} are the columns.
FORMS: Mapping[str, str] = MappingProxyType({
    "value": "SELECT {number} FROM {table} WHERE {key} = {K}",
    "most": "SELECT {key} FROM {table} ORDER BY {number} DESC LIMIT 1",
    "least": "SELECT {key} FROM {table} ORDER BY {number} LIMIT 1",
    "highest": "SELECT MAX({number}) FROM {table}",
    "total": "SELECT SUM({number}) FROM {table}",
    "count": "SELECT COUNT(*) FROM {table} WHERE {word} = {T}",
    "above": "SELECT COUNT(*) FROM {table} WHERE {number} > {t}",
    "some": "SELECT SUM({number}) FROM {table} WHERE {word} = {T}",
    "which": "SELECT {key} FROM {table} WHERE {word} = {T} ORDER BY {key}",
    "groups": "SELECT {word}, COUNT(*) FROM {table} GROUP BY {word} ORDER BY {word}",
})  # fmt: skip
LAYOUTS = (
    (60, "{schema}", "Question: {question}\nSQL: {sql}"),
    (15, "Table: {schema}", "Q: {question}\nA: {sql}"),
    (15, "{text}", "Question: {question}\nSQL: {sql}"),
    (10, "{schema}", "{question}\n{sql};"),
)


@dataclass(frozen=True)
class Query:
    """A checked question over a table, with its statement and what sqlite answers."""

    table: Table
    kind: str
    question: str
    sql: str
    result: str

    @property
    def schema(self) -> str:
        """The table as one line: "prices (good, village, price)"."""
        return f"{self.table.topic.name} ({', '.join(self.table.columns)})"

    @property
    def create(self) -> str:
        """The statements that make and fill the table."""
        return create(self.table)


def sample(place: Place, rng: Random, *, kind: str | None = None) -> Query:
    """One checked query of that kind (see FORMS), or of any. Raises CourseError for a kind that does not exist."""
    if kind is not None and kind not in FORMS:
        raise CourseError(f"There are no queries of kind {kind!r}; ask for one of {list(FORMS)}.")
    while True:
        table = sample_table(place, rng)
        chosen = kind or rng.choice(list(FORMS))
        if chosen in table.topic.said:  # not every topic has a total
            return query(table, rng, chosen)


def query(table: Table, rng: Random, kind: str) -> Query:
    """A query of that kind over a given table; AssertionError when sqlite and Python do not agree on its answer."""
    topic, (row, other) = table.topic, rng.sample(table.rows, 2)
    threshold = other[2]
    question = rng.choice(topic.said[kind][1]).format(K=row[0], T=row[1], t=threshold)
    columns = {"table": topic.name, "key": topic.key, "word": topic.word, "number": topic.number}
    sql = FORMS[kind].format(**columns, K=quoted(row[0]), T=quoted(row[1]), t=threshold)
    rows = execute(create(table), sql)
    expected = _by_hand(table, kind, row[0], row[1], threshold)
    assert rows == expected, f"{sql} gives {rows}, by hand {expected}"
    return Query(table, kind, question, sql, written(rows))


def create(table: Table) -> str:
    """CREATE TABLE and INSERT statements for a table."""
    key, word, number = table.columns
    rows = ", ".join(f"({quoted(one)}, {quoted(two)}, {three})" for one, two, three in table.rows)
    name = table.topic.name
    return f"CREATE TABLE {name} ({key} TEXT, {word} TEXT, {number} INTEGER);\nINSERT INTO {name} VALUES {rows};"


def written(rows: Sequence[Sequence[object]]) -> str:
    """A result as one line: cells of a row with commas, rows with semicolons; "nothing" without rows."""
    return "; ".join(", ".join(map(str, row)) for row in rows) or "nothing"


def quoted(text: str) -> str:
    """A text as SQL writes it: 'mangoes', and a quotation mark inside doubled."""
    return "'" + text.replace("'", "''") + "'"


def document(place: Place, rng: Random) -> str:
    """A table and two to five questions with their statements, for fine-tuning; not part of the corpus."""
    _, head, layout = rng.choices(LAYOUTS, [weight for weight, _, _ in LAYOUTS])[0]
    first = sample(place, rng)
    kinds = [kind for kind in FORMS if kind in first.table.topic.said and kind != first.kind]
    made = [first, *(query(first.table, rng, kind) for kind in rng.sample(kinds, rng.randint(1, 4)))]
    top = head.format(schema=first.schema, text=f"{first.table.topic.name}\n{first.table.text()}")
    return "\n".join([top, *(layout.format(question=one.question, sql=one.sql) for one in made)])


def items(place: Place, rng: Random, n: int, *, kind: str | None = None) -> list[dict[str, str]]:
    """``n`` distinct records: schema, table (name and rows as text), create, question, sql, result, kind."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    while len(found) < n:
        one = sample(place, rng, kind=kind)
        found.setdefault((one.create, one.question), {
            "schema": one.schema,
            "table": f"{one.table.topic.name}\n{one.table.text()}",
            "create": one.create,
            "question": one.question,
            "sql": one.sql,
            "result": one.result,
            "kind": one.kind,
        })  # fmt: skip
    return list(found.values())


def _by_hand(table: Table, kind: str, key: str, word: str, threshold: int) -> Rows:
    """The answer without SQL, from the lines of the printed table."""
    printed = [line.split(" | ") for line in table.text().splitlines()[1:]]
    values = {cells[0]: int(cells[2]) for cells in printed}
    keys = sorted(cells[0] for cells in printed if cells[1] == word)
    order = sorted(values, key=values.__getitem__)
    if kind == "which":
        return [(one,) for one in keys]
    if kind == "groups":
        return sorted(Counter(cells[1] for cells in printed).items())
    answers: dict[str, object] = {
        "value": values[key],
        "most": order[-1],
        "least": order[0],
        "highest": values[order[-1]],
        "total": sum(values.values()),
        "count": len(keys),
        "above": len([number for number in values.values() if number > threshold]),
        "some": sum(values[one] for one in keys),
    }
    return [(answers[kind],)]
