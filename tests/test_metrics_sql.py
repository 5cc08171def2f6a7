"""A stranger's statement does no harm and comes to an end; rows are compared as SQL means them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from course_lib.errors import CourseError
from course_lib.metrics.sql import Limits, bare, execute, orders, parses, same, sql_match

ROWS = ", ".join(f"('good {k}', 'village {k % 3}', {k})" for k in range(40))
PRICES = f"CREATE TABLE prices (good TEXT, village TEXT, price INTEGER);\nINSERT INTO prices VALUES {ROWS};"
CROSS = "prices AS p, prices AS q, prices AS r, prices AS s"
BIG = f"REPLACE('{'x' * 600}', 'x', 'yyyyyy')"  # 3600 characters
NUMBERED = f"p.price || q.price || r.price || s.price || {BIG}"  # another for every row
DOUBLED = ", ".join(f"a{k + 1} AS (SELECT p.x FROM a{k} AS p, a{k} AS q)" for k in range(40))

WRONG = {
    "nothing": "",
    "a comment": "-- nothing",
    "no SQL": "The red heron is 4.",
    "a misspelt word": "SELEC good FROM prices",
    "a column that is not there": "SELECT colour FROM prices",
    "two statements": "SELECT 1; SELECT 2",
    "a zero byte": "SELECT '\0'",
    "half a character": "SELECT '\ud800'",
    "bytes that are no text": "SELECT CAST(x'ff' AS TEXT)",
}
CHANGING = {
    "delete": "DELETE FROM prices",
    "update": "UPDATE prices SET price = 0",
    "insert": "INSERT INTO prices SELECT * FROM prices",
    "drop": "DROP TABLE prices",
    "create": "CREATE TABLE other AS SELECT * FROM prices",
    "with and delete": "WITH a AS (SELECT 1) DELETE FROM prices",
    "transaction": "BEGIN",
    "pragma": "PRAGMA table_info(prices)",
    "pragma as a table": "SELECT * FROM pragma_table_info('prices')",
    "attach": "ATTACH 'elsewhere.db' AS other",
    "vacuum": "VACUUM INTO 'elsewhere.db'",
    "extension": "SELECT load_extension('anything')",
    "reading a file": "SELECT readfile('secret.txt')",
    "writing a file": "SELECT writefile('elsewhere.db', 'x')",
    "what is compiled in": "SELECT sqlite_compileoption_get(1)",
}
ENDLESS = {
    "endless recursion": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
    "recursion without the word": "WITH n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
    "a table with itself, 20 times": "SELECT COUNT(*) FROM " + ", ".join(f"prices AS p{k}" for k in range(20)),
    "compiling that doubles 40 times": f"WITH a0 AS (SELECT 1 AS x), {DOUBLED} SELECT * FROM a40",
    "doubling as materialized": f"WITH a0 AS (SELECT 1 AS x), {DOUBLED} SELECT * FROM a40".replace(
        "AS (", "AS/* */not materialized("
    ),
    "a search for nothing": f"SELECT SUM(INSTR({BIG} || p.price, SUBSTR({BIG}, 1, 1800) || q.price)) FROM {CROSS}",
    "a pattern of many wildcards": f"SELECT SUM({BIG} || p.price LIKE '{'%y' * 40}%z') FROM {CROSS}",
}
LARGE = {
    "a giant blob": "SELECT LENGTH(RANDOMBLOB(1000000000))",
    "a giant zero": "SELECT LENGTH(ZEROBLOB(1000000000))",
    "a giant text": "SELECT printf('%.*c', 1000000000, 'x')",
    "a giant number": "SELECT format('%1000000000d', 1)",
    "a text that grows": f"SELECT GROUP_CONCAT(p.good) FROM {CROSS}",
    "many large rows, sorted": f"SELECT {NUMBERED} FROM {CROSS} ORDER BY 1",
    "many large rows, distinct": f"SELECT COUNT(DISTINCT {NUMBERED}) FROM {CROSS}",
    "too many rows": f"SELECT p.good FROM {CROSS}",
    "a long statement": "SELECT " + " + ".join(["1"] * 1000),
    "a deep statement": "SELECT " + "(" * 900 + "1" + ")" * 900,
}


@pytest.mark.parametrize("statement", [*WRONG.values(), *CHANGING.values()], ids=[*WRONG, *CHANGING])
def test_what_is_no_reading_statement_is_refused_in_one_sentence(statement, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(CourseError, match="cannot be run") as caught:
        execute(PRICES, statement)
    assert len(str(caught.value)) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]
    assert sql_match(PRICES, statement, "SELECT good FROM prices") == 0.0


@pytest.mark.parametrize("statement", [*ENDLESS.values(), *LARGE.values()], ids=[*ENDLESS, *LARGE])
def test_what_would_take_for_ever_or_fill_the_memory_is_stopped(statement):
    began = time.process_time()
    with pytest.raises(CourseError, match="cannot be run"):
        execute(PRICES, statement)
    assert time.process_time() - began < 20  # of this process: hours or gigabytes without limits


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_worst_that_is_allowed_stays_within_a_quarter_of_a_gigabyte():
    code = (
        "import sys; from course_lib.metrics.sql import execute\n"
        "from course_lib.errors import CourseError\n"
        "for statement in sys.argv[2:]:\n"
        "    try: execute(sys.argv[1], statement)\n"
        "    except CourseError: pass\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    worst = [
        *LARGE.values(),
        f"SELECT * FROM (SELECT {NUMBERED} FROM {CROSS} UNION SELECT 1)",
    ]
    done = subprocess.run([sys.executable, "-c", code, PRICES, *worst], capture_output=True, text=True, check=True)
    assert int(done.stdout) < (256 + 64) * 1024  # kilobytes; Python and numpy take 64 MB themselves


def test_the_compiler_is_quick_with_the_worst_statement_of_two_names():
    begun = time.process_time()
    terms = " UNION ALL SELECT x FROM {0}" * 30
    statement = (
        f"WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a{terms.format('a')}) SELECT COUNT(*) FROM (SELECT x FROM b"
    )
    assert execute("", f"{statement}{terms.format('b')})") == [(31 * 31,)]
    assert time.process_time() - begun < 5


def test_the_limits_are_the_callers_to_set():
    statement = "SELECT COUNT(*) FROM prices AS p, prices AS q"
    assert execute(PRICES, statement) == [(1600,)]
    with pytest.raises(CourseError, match="it takes too long"):
        execute(PRICES, statement, Limits(instructions=1000))
    with pytest.raises(CourseError, match="it takes too long"):
        execute(PRICES, statement, Limits(seconds=-1.0))
    assert len(execute(PRICES, "SELECT good FROM prices", Limits(rows=40))) == 40
    with pytest.raises(CourseError, match="more than 39 rows"):
        execute(PRICES, "SELECT good FROM prices", Limits(rows=39))
    assert execute("", "WITH a AS (SELECT 1), b AS (SELECT 2) SELECT * FROM a, b") == [(1, 2)]


@pytest.mark.parametrize(
    "create",
    [
        "ATTACH 'elsewhere.db' AS other; CREATE TABLE other.t (a)",
        "CREATE TABLE t (a); VACUUM INTO 'elsewhere.db'",
        "PRAGMA writable_schema = 1",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE TABLE t (a); INSERT INTO t SELECT load_extension('anything')",
        "CREATE TABLE t (a); INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n",
        f"CREATE TABLE t (a); INSERT INTO t WITH a0 AS (SELECT 1 AS x), {DOUBLED} SELECT x FROM a40",
        "CREATE TABLE t (a",
        "CREATE TABLE t (a); CREATE TABLE t (a)",
        "\0",
    ],
)
def test_statements_that_make_tables_make_nothing_else(create, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError, match="The table cannot be made"):
        execute(create, "SELECT 1")
    assert not list(tmp_path.iterdir())


def test_a_usual_dump_of_a_table_is_taken():
    create = (
        "BEGIN; DROP TABLE IF EXISTS t; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'with') WITHOUT ROWID;"
        "CREATE UNIQUE INDEX i ON t (b); INSERT INTO t VALUES (1, 'with ; love'), (2, 'x');"
        "DELETE FROM t WHERE a = 2; COMMIT;"
    )
    assert execute(create, "SELECT b FROM t WHERE a = 1;") == [("with ; love",)]


def test_every_run_has_tables_of_its_own_and_leaves_nothing_open():
    before = threading.active_count()
    for _ in range(50):
        assert execute(PRICES, "SELECT COUNT(*) FROM prices") == [(40,)]
    assert threading.active_count() == before


def test_another_statement_that_finds_the_same_rows_is_right():
    reference = "SELECT good FROM prices WHERE price > 37"
    assert sql_match(PRICES, "SELECT good FROM prices WHERE NOT price <= 37 ORDER BY good DESC", reference) == 1.0
    assert sql_match(PRICES, "```sql\nSELECT good FROM prices WHERE price >= 38\n```", reference) == 1.0
    assert sql_match(PRICES, "SELECT good FROM prices WHERE price > 36", reference) == 0.0
    assert sql_match(PRICES, "SELECT good, price FROM prices WHERE price > 37", reference) == 0.0
    assert sql_match(PRICES, "", reference) == 0.0
    assert sql_match(PRICES, "SELECT AVG(price) * 1.0 FROM prices", "SELECT SUM(price) / 40.0 FROM prices") == 1.0


def test_the_order_counts_where_the_reference_asks_for_one():
    falling, rising = (f"SELECT good FROM prices WHERE price < 5 ORDER BY price {way}" for way in ("DESC", "ASC"))
    assert sql_match(PRICES, rising, falling) == 0.0
    assert sql_match(PRICES, rising, "SELECT good FROM prices WHERE price < 5") == 1.0


def test_a_reference_that_cannot_be_run_is_a_mistake_in_the_data():
    with pytest.raises(CourseError, match="no such column"):
        sql_match(PRICES, "SELECT good FROM prices", "SELECT goods FROM prices")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t order  by b", True),
        ("SELECT a FROM t WHERE b = 'order by'", False),
        ('SELECT "order by" FROM t -- order by', False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY b LIMIT 3)", False),
        ("SELECT RANK() OVER (ORDER BY b) FROM t", False),
        ("SELECT ')' FROM t ORDER BY (b)", True),
    ],
)
def test_an_order_within_is_not_the_order_of_the_result(statement, expected):
    assert orders(statement) is expected


def test_results_are_compared_as_sets_unless_order_was_asked_for():
    one, other = [("a", 1), ("b", 2)], [("b", 2), ("a", 1)]
    assert same(one, other)
    assert same(other, one)
    assert not same(one, other, ordered=True)
    assert not same(one, [*other, ("b", 2)])
    assert same([(0.1 + 0.2, None)], [(0.3, None)])
    assert same([(4,)], [(4.0,)])
    assert not same([(4,)], [("4",)])
    assert not same([(0.3001,)], [(0.3,)])


def test_a_statement_parses_whatever_its_tables_are():
    good = ["SELECT a FROM t", "select count(*) from t where b = ';';", "WITH x AS (SELECT 1) SELECT * FROM x"]
    bad = ["", "SELECT", "SELECT a FROM", "SELECT a FROM t; SELECT b FROM t", "DELETE FROM t", "It is 4.", "SELECT 'a"]
    assert [parses(one) for one in good] == [True] * 3
    assert [parses(one) for one in bad] == [False] * 7


def test_a_code_block_is_taken_off_and_nothing_else():
    assert bare("```sql\nSELECT 1\n```\n") == bare("```\nSELECT 1\n```") == "SELECT 1"
    assert bare("Here: ```sql\nSELECT 1\n```") == "Here: ```sql\nSELECT 1\n```"
    assert bare("SELECT 1") == "SELECT 1"
