"""Small tables and true sentences about them: who is the oldest, what all of it costs, how many come from one village.

A table has a key column, a column of words, a column of numbers, and three to six rows; `table_topics` has the topics
and how one speaks about them. The numbers of a table differ from each other, so that "the most" and "the least" are one
row each. Every claim is computed twice, once over the rows and once over the sorted or counted column, and then found
in (or added up from) the text of the table itself.

A document is one table with three to six claims, as sentences or as questions with answers, in one of five layouts.
Left out: tables that do not fit into a few lines, empty cells, and joins of two tables.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from course_lib.errors import CourseError
from course_lib.world.place import Place
from course_lib.world.problems import UNSOLD, elsewhere
from course_lib.world.table_topics import TOPICS, Topic

KINDS = ("value", "most", "least", "total", "more", "count", "above")
WEATHER = ("sunny", "rainy", "windy", "cloudy", "dry", "foggy", "cool", "hot")
CROPS = ("fruit", "vegetable", "nut")
SOLD = ("fruit", "vegetable", "nut", "fish", "vessel", "tool", "garment", "toy", "container", "jewel")
KEPT = ("goat", "cow", "horse", "donkey", "camel", "llama", "alpaca", "yak", "hen", "duck")

Row = tuple[str, str, int]


@dataclass(frozen=True)
class Table:
    """Rows of (key, word, number) with a title."""

    topic: Topic
    title: str
    rows: tuple[Row, ...]

    @property
    def columns(self) -> tuple[str, str, str]:
        """The names of the three columns."""
        return self.topic.key, self.topic.word, self.topic.number

    def text(self, start: str = "", between: str = " | ", end: str = "") -> str:
        """Header and rows, one a line, cells with ``between`` between them."""
        return "\n".join(start + between.join(map(str, row)) + end for row in (self.columns, *self.rows))


@dataclass(frozen=True)
class Claim:
    """Something true about a table, as a sentence and as a question with its answer; ``subject`` tells claims apart."""

    kind: str
    subject: str
    sentence: str
    question: str
    answer: str


def sample(place: Place, rng: Random, *, topic: str | None = None, rows: int | None = None) -> Table:
    """A table of that topic (or any) with that number of rows (or 3 to 6). Raises CourseError for an unknown topic."""
    chosen = [one for one in TOPICS if topic in (None, one.name)]
    if not chosen:
        raise CourseError(f"There are no tables about {topic!r}; ask for one of {[one.name for one in TOPICS]}.")
    about = rng.choice(chosen)
    n = rng.randint(3, 6) if rows is None else rows
    keys, words = _keys(place, rng, about, n), _words(place, rng, about)
    numbers = rng.sample(range(about.low, about.high + 1), n)
    title = rng.choice(about.titles)
    if "{shop}" in title:
        title = title.replace("{shop}", place.shop_name(rng))
    title = title.format(owner=place.cast(rng, 1)[0].given, village=place.village_name(rng))
    cells = zip(keys, numbers, strict=True)
    return Table(about, title, tuple((key, rng.choice(words), number) for key, number in cells))


def claim(table: Table, rng: Random, kind: str) -> Claim | None:
    """One checked claim of that kind, None where it cannot be made (a count of one, a topic without totals)."""
    topic = table.topic
    if kind not in topic.said:
        return None
    row, other = rng.sample(table.rows, 2)
    if kind in ("most", "least"):
        row = (max if kind == "most" else min)(table.rows, key=lambda row: row[2])
    elif kind == "more" and row[2] < other[2]:
        row, other = other, row
    threshold = other[2]
    number = {
        "value": row[2],
        "total": sum(one[2] for one in table.rows),
        "more": row[2] - other[2],
        "count": sum(one[1] == row[1] for one in table.rows),
        "above": sum(one[2] > threshold for one in table.rows),
    }.get(kind)
    if number is not None and number < 2:
        return None
    _check(table, kind, row, other, number)
    slots = {"K": row[0], "L": other[0], "T": row[1], "v": str(number), "t": str(threshold)}
    sentences, questions = topic.said[kind]
    sentence, question = rng.choice(sentences).format_map(slots), rng.choice(questions).format_map(slots)
    subject = {"value": row[0], "more": row[0] + other[0], "count": row[1], "above": str(threshold)}.get(kind, "")
    answer = row[0] if number is None else str(number)
    return Claim(kind, subject, sentence[:1].upper() + sentence[1:], question, answer)


def claims(table: Table, rng: Random, n: int) -> list[Claim]:
    """Up to ``n`` claims, no two that say the same."""
    found: dict[tuple[str, str], Claim] = {}
    for _ in range(4 * n):
        made = claim(table, rng, rng.choice(KINDS))
        if made is not None:
            found.setdefault((made.kind, made.subject), made)
        if len(found) == n:
            break
    return list(found.values())


def document(place: Place, rng: Random) -> str:
    """One pretraining document: a table and what can be said about it (two short ones where there is room)."""
    layout = rng.choices(("plain", "lines", "asked", "commas", "first"), (45, 20, 20, 10, 5))[0]
    table = sample(place, rng)
    text = _laid_out(table, claims(table, rng, rng.randint(3, 6)), layout)
    if len(text) < 500 and rng.random() < 0.5:
        table = sample(place, rng)
        text += "\n\n" + _laid_out(table, claims(table, rng, rng.randint(3, 5)), layout)
    return text


def items(place: Place, rng: Random, n: int, *, kind: str | None = None) -> list[dict[str, str]]:
    """``n`` distinct evaluation records: table (title and rows as text), question, answer, kind."""
    if kind is not None and kind not in KINDS:
        raise CourseError(f"There are no claims of kind {kind!r}; ask for one of {list(KINDS)}.")
    found: dict[tuple[str, str], dict[str, str]] = {}
    while len(found) < n:
        table = sample(place, rng)
        made = claim(table, rng, kind or rng.choice(KINDS))
        if made is not None:
            text = f"{table.title}\n{table.text()}"
            record = {"table": text, "question": made.question, "answer": made.answer, "kind": made.kind}
            found.setdefault((text, made.question), record)
    return list(found.values())


def _laid_out(table: Table, made: list[Claim], layout: str) -> str:
    said = [one.sentence for one in made]
    if layout == "plain":
        return f"{table.title}\n{table.text()}\n{' '.join(said)}"
    if layout == "lines":
        lines = "\n".join(said)
        return f"Table: {table.title}\n{table.text('| ', ' | ', ' |')}\n\n{lines}"
    if layout == "asked":
        asked = "\n".join(f"Question: {one.question}\nAnswer: {one.answer}" for one in made)
        return f"{table.title}\n{table.text()}\n{asked}"
    if layout == "commas":
        return f"{table.title}:\n{table.text(between=', ')}\n{' '.join(said)}"
    return f"{' '.join(said)}\n\n{table.title}\n{table.text()}"


def _keys(place: Place, rng: Random, topic: Topic, n: int) -> list[str]:
    """``n`` different names for the key column."""
    if topic.key == "good":
        nouns = place.lexicon.nouns
        sold = [one for kind in SOLD for one in nouns[kind] if not one.mass and one.singular not in UNSOLD]
        return [noun.plural for noun in rng.sample(sold, n)]
    if topic.key == "month":
        months = place.months
        first = rng.randrange(len(months))
        return [months[(first + step) % len(months)] for step in range(n)]
    if topic.key == "village":
        names: list[str] = []
        while len(names) < n:
            if (name := elsewhere(place, rng)) not in names:
                names.append(name)
        return names
    return [person.given for person in place.cast(rng, n)]


def _words(place: Place, rng: Random, topic: Topic) -> list[str]:
    """Two or three words for the word column, few enough to come back."""
    words, n = place.lexicon, rng.randint(2, 3)
    if topic.word == "village":
        return [place.village_name(rng) for _ in range(n)]
    if topic.word == "trade":
        return [trade.name for trade in rng.sample(words.trades, n)]
    if topic.word == "direction":
        return rng.sample(("north", "south", "east", "west"), n)
    if topic.word == "crop":
        return [noun.plural for noun in rng.sample([one for kind in CROPS for one in words.nouns[kind]], n)]
    if topic.word == "animal":
        return [words.noun_of[name].plural for name in rng.sample(KEPT, n)]
    return rng.sample(WEATHER, n)


def _check(table: Table, kind: str, row: Row, other: Row, number: int | None) -> None:
    """The same claim by another route: read from the printed table, sorted and counted instead of compared."""
    printed = [line.split(" | ") for line in table.text().splitlines()[1:]]
    values = {cells[0]: int(cells[2]) for cells in printed}
    order = sorted(values, key=values.__getitem__)
    expected: object = {
        "value": values[row[0]],
        "most": order[-1],
        "least": order[0],
        "total": sum(values.values()),
        "more": len(range(values[other[0]], values[row[0]])),
        "count": Counter(cells[1] for cells in printed)[row[1]],
        "above": len(order) - 1 - order.index(other[0]),
    }[kind]
    assert expected == (row[0] if number is None else number), f"{kind} of {table.title}: {expected}, not {number}"
