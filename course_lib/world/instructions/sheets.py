"""Tasks with numbers in them: word problems with their steps, a table as sentences, a question as SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from course_lib.metrics.sql import sql_match
from course_lib.world import problems, sql, tables
from course_lib.world.instructions.kind import Kind, Task, body, compiled, read_slots
from course_lib.world.instructions.questions import solve
from course_lib.world.lexicon import article
from course_lib.world.phrases import capital, material
from course_lib.world.place import Place
from course_lib.world.problem_sums import OPERATIONS, STEP, counted
from course_lib.world.table_topics import TOPICS, Topic

STEPS = (1, 1, 2, 2, 2, 3)
RESULT = " The answer is {answer}."
SLIPS = (
    (" DESC", ""),
    ("MAX(", "MIN("),
    ("SUM(", "COUNT("),
    ("COUNT(*)", "*"),
    (" > ", " = "),
    (" LIMIT 1", ""),
    (" GROUP BY ", " ORDER BY "),
)
LONGEST = 220  # characters of a word problem


# ---- word problems ---------------------------------------------------------------------------------------------------


def _problem(place: Place, rng: Random) -> Task:
    while True:
        problem = problems.sample(place, rng, steps=rng.choice(STEPS))
        if len(problem.question) <= LONGEST and solve(problem.question) == int(problem.answer):
            return Task(f"Question: {problem.question}", problem.working + RESULT.format(answer=problem.answer),
                        fields={"answer": problem.answer})  # fmt: skip


def _judge_problem(record: Mapping[str, str], answer: str) -> bool | None:
    """The story solved by reading it; the answer's last number must be that, and every step written must hold."""
    right, numbers = solve(body(record)), re.findall(r"\d+", answer)
    if right is None:
        return None
    steps = STEP.findall(answer)
    return numbers[-1:] == [str(right)] and all(counted(int(a), sign, int(b)) == int(c) for a, sign, b, c in steps)


def _near_problem(record: Mapping[str, str], rng: Random) -> str:
    """Another operation in the last step, or a slip in it."""
    left, sign, right, result = STEP.findall(record["output"])[-1]
    other = "-" if sign == "+" else "+"
    wrong = OPERATIONS[other](int(left), int(right)) if rng.random() < 0.5 else int(result) + rng.choice((-1, 1))
    if wrong < 0 or str(wrong) == result:
        wrong = int(result) + 1
    start = record["output"].rindex(f"{left} {sign} {right} = ")
    return f"{record['output'][:start]}{left} {sign} {right} = {wrong}.{RESULT.format(answer=wrong)}"


# ---- a table as sentences --------------------------------------------------------------------------------------------


def _table(place: Place, rng: Random) -> Task:
    """One or two rows of a table; no number is 1, which would need another form of the sentence."""
    table = tables.sample(place, rng, rows=4)
    told = [row for row in table.rows if row[2] > 1][: rng.choice((1, 1, 1, 2))]
    text = "\n".join(f"| {' | '.join(map(str, row))} |" for row in (table.columns, *told))
    return Task(text, " ".join(_sentence(table.topic, *map(str, row)) for row in told), fields={"form": "sentence"})


def _sentence(topic: Topic, key: str, word: str, number: str) -> str:
    word = article(word) if topic.word == "trade" else word
    return capital(_pattern(topic).format(key=key, word=word, number=number))


def _pattern(topic: Topic) -> str:
    pattern: str = material("instructions")["table-sentence"]["sentences"][topic.name]
    return pattern


def _judge_table(record: Mapping[str, str], answer: str) -> bool | None:
    """The answer's sentences read back into rows, which must be the table's."""
    header, *rows = [line.strip("| ").split(" | ") for line in body(record).split("\n")]
    topic = next((one for one in TOPICS if [one.key, one.word, one.number] == header), None)
    if topic is None or any(len(row) != 3 for row in rows):
        return None
    read = []
    for sentence in re.split(r"(?<=\.) ", answer.strip()):
        slots = read_slots(_pattern(topic), sentence.rstrip(".") + ".", {"number": r"\d+"})
        read.append([_bare(slots[name]) for name in ("key", "word", "number")] if slots else [])
    return read == [[cell.lower() for cell in row] for row in rows]


def _near_table(record: Mapping[str, str], rng: Random) -> str:
    """One number is not the table's."""
    number = rng.choice(re.findall(r"\d+", record["output"]))
    return re.sub(rf"\b{number}\b", str(int(number) + rng.randint(1, 9)), record["output"], count=1)


def _bare(cell: str) -> str:
    return re.sub(r"^an? ", "", cell).lower()


# ---- a question as SQL -----------------------------------------------------------------------------------------------


def _sql(place: Place, rng: Random) -> Task:
    query = sql.sample(place, rng)
    return Task(
        f"Table: {query.schema}\nQuestion: {query.question}",
        query.sql,
        fields={"create": query.create, "result": query.result},
    )


def _judge_sql(record: Mapping[str, str], answer: str) -> bool | None:
    """The question read by its wording gives the statement again; both are run, on the record's table or on some.

    Without a table in the record the two are run on tables made up from the names in the question.
    """
    schema, _, question = body(record).partition("\nQuestion: ")
    topic = next((one for one in TOPICS if _schema(one) == schema), None)
    asked = {statement for statement, _ in _statements(topic, question)} if topic else set()
    if topic is None or len(asked) != 1:
        return None
    made = [record["create"]] if "create" in record else _made_up(topic, _statements(topic, question)[0][1])
    return all(sql_match(create, answer, next(iter(asked))) == 1 for create in made)


def _schema(topic: Topic) -> str:
    return f"{topic.name} ({topic.key}, {topic.word}, {topic.number})"


def _statements(topic: Topic, question: str) -> list[tuple[str, dict[str, str]]]:
    """The statements that the question may mean, with the names and the number in it.

    "in the foggy months" fits two wordings; the one that leaves less to the names is meant.
    """
    names = {"table": topic.name, "key": topic.key, "word": topic.word, "number": topic.number}
    found = []
    for kind, form in sql.FORMS.items():
        for wording in topic.said.get(kind, ((), ()))[1]:
            match = compiled(wording, (("t", r"\d+"),)).fullmatch(question)
            if match:
                slots = match.groupdict()
                quoted = {name: sql.quoted(value) for name, value in slots.items() if name != "t"}
                found.append((form.format(**names, **{"K": "", "T": "", "t": slots.get("t", "")} | quoted), slots))
    least = min((_left(slots) for _, slots in found), default=0)
    return [(statement, slots) for statement, slots in found if _left(slots) == least]


def _left(slots: Mapping[str, str]) -> int:
    return sum(map(len, slots.values()))


def _made_up(topic: Topic, slots: Mapping[str, str]) -> list[str]:
    """Two tables in which the names of the question occur, and others too."""
    key, word, limit = slots.get("K", "first"), slots.get("T", "this"), int(slots.get("t", "10"))
    made = []
    for shift in (1, 4):
        numbers = [limit + shift, limit, limit - shift, limit + 2 * shift, limit + 7]
        keys = [key, "second", "third", "fourth", "fifth"]
        words = [word, "that", word, "that", word] if shift == 1 else ["that", word, word, "other", word]
        rows = tuple(zip(keys, words, numbers, strict=True))
        made.append(sql.create(tables.Table(topic, "", rows)))
    return made


def _near_sql(record: Mapping[str, str], rng: Random) -> str:
    """The least for the most, the sum for the count."""
    found = [record["output"].replace(*slip) for slip in SLIPS if slip[0] in record["output"]]
    return rng.choice(found) if found else ""


KINDS = (
    Kind("word-problem", "A word problem with its steps.", "numeric", _problem, _judge_problem, _near_problem),
    Kind("table-sentence", "The rows of a table as sentences.", "rouge", _table, _judge_table, _near_table),
    Kind("table-sql", "A question on a table as SQL.", "sql", _sql, _judge_sql, _near_sql),
)
