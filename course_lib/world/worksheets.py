"""Worksheets: one pattern, repeated for 8 to 24 rows, so that a model can learn to learn from its context.

A row is two texts with a sign between them, ``mango : zomek``. What joins the two sides differs from document to
document and is never said; it can only be found in the rows above. Three sorts of worksheet ask for three skills:

* a *label mapping* gives each of two to four word classes a label invented for this document. A document draws its
  words from a small pool, 2 to 10 per class, so most words come back: a row can be copied from an earlier one before
  the model knows that the mapping goes by class, which is the easier half to begin with;
* a *dictionary* gives 4 to 8 words a partner each and repeats them: pure copying;
* a *transformation* rewrites every word by one rule: plural, past tense, next number, last of three words.

The label never follows from the word, so without examples it cannot be known; with 8 examples it can. `items` makes
such questions, with labels that do not occur in training when its place is ``Place.build(split="test")``.

Left out: noisy rows, rules made of two rules, and rows of several documents mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TypeVar

from course_lib.world.lexicon import Noun, lexicon
from course_lib.world.place import Place
from course_lib.world.rewrites import rewrite

T = TypeVar("T")
Row = tuple[str, str]

ROWS = (8, 24)
POOL = (2, 10)
LARGE = 20  # words in the smallest class that `items` asks for
LONGEST = 1050  # characters: about 330 tokens


@dataclass(frozen=True)
class Layout:
    """How a row is written: a pattern with ``{a}`` and, at its end, ``{b}``; and what stands between two rows."""

    pattern: str
    between: str = "\n"

    def row(self, a: str, b: str) -> str:
        """One complete row."""
        return self.pattern.replace("{a}", a).replace("{b}", b)

    def query(self, a: str) -> str:
        """A row up to its answer, without the space before it: ``mango :``."""
        return self.pattern.replace("{a}", a).split("{b}", maxsplit=1)[0].rstrip(" ")

    def join(self, rows: tuple[Row, ...] | list[Row]) -> str:
        """All rows of a worksheet."""
        return self.between.join(self.row(a, b) for a, b in rows)


LAYOUTS = {
    "main": Layout("{a} : {b}"),
    "arrow": Layout("{a} -> {b}"),
    "equals": Layout("{a} = {b}"),
    "named": Layout("word: {a} label: {b}"),
    "is": Layout("{a} is {b}"),
    "input": Layout("Input: {a}\nOutput: {b}"),
    "question": Layout("Q: {a}\nA: {b}"),
    "dash": Layout("- {a}: {b}"),
    "comma": Layout("{a}, {b}"),
    "line": Layout("{a} : {b}", between="; "),
    "means": Layout("{a} means {b}"),
    "calls": Layout("we call {a} {b}"),
    "becomes": Layout("{a} becomes {b}"),
}
"""Every way to write a row, by name. `items` takes one; ``main`` is half of all label mappings."""

_MAPPING = {"main": 50, "arrow": 10, "equals": 9, "named": 6, "is": 6, "input": 5, "question": 5, "dash": 4, "comma": 3}
_WEIGHTS = {
    "mapping": {**_MAPPING, "line": 2},
    "dictionary": {
        "main": 20,
        "means": 30,
        "calls": 10,
        "equals": 15,
        "arrow": 10,
        "question": 5,
        "comma": 5,
        "dash": 5,
    },
    "rewrite": {"main": 40, "arrow": 20, "becomes": 12, "equals": 6, "input": 8, "question": 6, "dash": 4, "line": 4},
}
_KINDS = {"words": 52, "phrases": 5, "sentences": 6, "moods": 3, "dictionary": 11, "rewrite": 23}
MAPPINGS = ("words", "phrases", "sentences", "moods")

_GOOD = ("fresh", "fine", "lovely", "excellent", "wonderful", "perfect", "pleasant", "delicious", "great", "good")
_BAD = ("awful", "terrible", "stale", "spoiled", "horrible", "dreadful", "bad", "unpleasant", "nasty", "poor")
_MOODS = (
    "the {0} was {1}", "{1} {0}", "this {0} is {1}", "{1}, like the {0} of last week", "what {1} {0}",
    "we found the {0} {1}", "everyone said the {0} was {1}",
)  # fmt: skip
_SENTENCES = (
    "{1} bought {0}", "{1} has {0}", "there is {0} here", "{1} lost {0}", "{1} dreams of {0}", "we found {0}",
    "{1} draws {0}", "where is there {0}", "{1} asked for {0}", "{0} is what {1} wants", "nobody wants {0}",
)  # fmt: skip
_PLAIN_LABELS = (
    ("A", "B", "C", "D"), ("1", "2", "3", "4"), ("x", "y", "z", "w"), ("yes", "no", "maybe", "never"),
    ("left", "right", "up", "down"), ("north", "south", "east", "west"), ("one", "two", "three", "four"),
)  # fmt: skip


@dataclass(frozen=True)
class Worksheet:
    """The content of one worksheet. ``labels`` belong to ``classes`` one by one; both are empty but for mappings."""

    kind: str
    rows: tuple[Row, ...]
    classes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def sample(place: Place, rng: Random, kind: str | None = None, classes: int | None = None) -> Worksheet:
    """One checked worksheet; ``kind`` is one of words, phrases, sentences, moods, dictionary, rewrite."""
    kind = kind or _weighted(rng, _KINDS)
    n = max(rng.randint(*ROWS), rng.randint(*ROWS))  # of two draws the larger: the late rows teach the most
    if kind == "dictionary":
        return _dictionary(place, rng, n)
    if kind == "rewrite":
        name, rows = rewrite(rng, n)
        return Worksheet(name, tuple(rows))
    return _mapping(place, rng, n, kind, classes or rng.choices((2, 3, 4), (55, 30, 15))[0])


def document(place: Place, rng: Random) -> str:
    """One worksheet as a document for pretraining, in one layout from its first row to its last."""
    sheet = sample(place, rng)
    sort = "mapping" if sheet.kind in MAPPINGS else sheet.kind if sheet.kind == "dictionary" else "rewrite"
    layout = LAYOUTS[_weighted(rng, _WEIGHTS[sort])]
    rows = list(sheet.rows)
    while len(text := layout.join(rows)) > LONGEST:
        rows.pop()
    return text


def items(
    place: Place, rng: Random, n: int, k: int = 8, classes: int = 2, layout: str = "main"
) -> list[dict[str, str]]:
    """``n`` label mappings with ``k`` examples and a query each, for evaluation.

    Keys: ``prompt`` (examples and query, to be continued; exactly the beginning of a worksheet), ``examples`` (the rows
    alone), ``question`` (the query's word), ``answer`` (its label; the continuation is a space and the label),
    ``labels`` (all labels, with commas), ``seen`` (yes when the word stands among the examples; at most half do) and
    ``k``. The classes of the queries are balanced. With the same ``rng`` seed, other ``k`` give the same words, labels
    and queries, and examples that differ as little as they can.
    """
    return [_item(place, Random(rng.getrandbits(64)), index, k, classes, LAYOUTS[layout]) for index in range(n)]


def _item(place: Place, rng: Random, index: int, k: int, count: int, layout: Layout) -> dict[str, str]:
    names = rng.sample([name for name in sorted(_nouns()) if len(_nouns()[name]) >= LARGE], count)
    labels = place.labels(rng, count)
    target = index // 2 % count
    pools = [rng.sample([noun.singular for noun in _nouns()[name]], 9) for name in names]
    query, place_of_query = pools[target].pop(), rng.random()
    # Every class once, in any order, then at random: a prefix of k rows covers the classes as soon as it can.
    order = rng.sample(range(count), count) + [rng.randrange(count) for _ in range(64)]
    rows = [(rng.choice(pools[number]), number) for number in order][:k]
    spots = [spot for spot, (_, number) in enumerate(rows) if number == target]
    seen = bool(index % 2 and spots)
    if seen:
        rows[spots[int(place_of_query * len(spots))]] = (query, target)
    examples = tuple((word, labels[number]) for word, number in rows)
    _check_labels(examples, tuple(names), labels)
    written = layout.join(examples)
    return {
        "prompt": written + (layout.between if k else "") + layout.query(query),
        "examples": written,
        "question": query,
        "answer": labels[target],
        "labels": ", ".join(labels),
        "seen": "yes" if seen else "no",
        "k": str(k),
    }


def _labels(place: Place, rng: Random, count: int) -> tuple[str, ...]:
    """Mostly invented words; for one worksheet in six letters, numbers or plain words without their meaning."""
    draw = rng.random()
    if draw < 0.84:
        return place.labels(rng, count)
    if draw < 0.93:
        return tuple(rng.sample(rng.choice(_PLAIN_LABELS)[: max(2, count)], count))
    return tuple(rng.sample(lexicon().adjectives if draw < 0.97 else lexicon().colours, count))


def _mapping(place: Place, rng: Random, n: int, kind: str, count: int) -> Worksheet:
    classes, pools = _pools(place, rng, kind, count)
    labels = _labels(place, rng, len(classes))
    order: list[int] = []
    while len(set(order)) < len(classes):
        order = [rng.randrange(len(classes)) for _ in range(n)]
    rows = tuple((rng.choice(pools[number]), labels[number]) for number in order)
    _check_labels(rows, classes, labels)
    return Worksheet(kind, rows, classes, labels)


def _pools(place: Place, rng: Random, kind: str, count: int) -> tuple[tuple[str, ...], list[list[str]]]:
    """The classes of a mapping, and for each the few texts that stand for it in this document."""
    size = rng.randint(*POOL) if rng.random() < 0.85 else 2 * POOL[1]
    if kind == "moods":
        good, bad = _some(rng, _GOOD, size), _some(rng, _BAD, size)
        stalls = _some(rng, [noun.singular for noun in _nouns()["dish"] + _nouns()["drink"]], 6)
        return ("good", "bad"), [[rng.choice(_MOODS).format(rng.choice(stalls), w) for w in ws] for ws in (good, bad)]
    if kind == "phrases" and rng.random() < 0.5:  # by colour, whatever the thing is
        things = [noun.singular for noun in _some(rng, _countable(), size)]
        colours = tuple(rng.sample(_colours(), count))
        return colours, [[f"{colour} {thing}" for thing in _some(rng, things, size)] for colour in colours]
    names = tuple(rng.sample(sorted(_nouns() if kind != "words" or rng.random() < 0.85 else _word_classes()), count))
    if kind == "words":
        plural = rng.random() < 0.12
        return names, [_some(rng, _class_words(name, plural), size) for name in names]
    nouns = [_some(rng, _nouns()[name], size) for name in names]
    if kind == "phrases":
        colours = tuple(_some(rng, _colours(), 5))
        return names, [[f"{rng.choice(colours)} {noun.singular}" for noun in group] for group in nouns]
    people = [person.given for person in place.cast(rng, 4)]
    shapes = _some(rng, _SENTENCES, rng.randint(1, 5))
    return names, [[rng.choice(shapes).format(_phrase(noun), rng.choice(people)) for noun in g] for g in nouns]


def _phrase(noun: Noun) -> str:
    return f"some {noun.singular}" if noun.mass else noun.a


def _dictionary(place: Place, rng: Random, n: int) -> Worksheet:
    size = rng.randint(4, 8)
    words = [noun.singular for noun in rng.sample(_countable(), size)]
    partners = place.labels(rng, size) if rng.random() < 0.85 else tuple(rng.sample(lexicon().adjectives, size))
    pairs = list(zip(words, partners, strict=True))
    rows = tuple(rng.choice(pairs) for _ in range(n))
    if any(partners[words.index(a)] != b for a, b in rows) or len(set(partners)) != size:
        raise AssertionError(f"a word of this dictionary has two partners: {rows}")
    return Worksheet("dictionary", rows)


def _check_labels(rows: tuple[Row, ...], classes: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """The second route: read each row's text, find the one class it speaks of, and compare the label."""
    for text, label in rows:
        found = {name for name in classes for word in text.replace(",", "").split() if name in _classes_of(word)}
        if len(found) != 1 or labels[classes.index(found.pop())] != label:
            raise AssertionError(f"{text!r} has not the label of its class, {label!r}, in {classes} -> {labels}")


@cache
def _index() -> dict[str, frozenset[str]]:
    """For each word the classes it can stand for: its own, and for colours themselves."""
    found: dict[str, set[str]] = {}
    for name, nouns in _nouns().items():
        for noun in nouns:
            found.setdefault(noun.singular, set()).add(name)
            found.setdefault(noun.plural, set()).add(name)
    for name in _word_classes().keys() - _nouns().keys():
        for word in _word_classes()[name]:
            found.setdefault(word, set()).add(name)
    for word in lexicon().colours:
        found.setdefault(word, set()).add(word)
    for word in (*_GOOD, *_BAD):
        found.setdefault(word, set()).add("good" if word in _GOOD else "bad")
    return {word: frozenset(names) for word, names in found.items()}


def _classes_of(word: str) -> frozenset[str]:
    return _index().get(word, frozenset())


def _nouns() -> Mapping[str, tuple[Noun, ...]]:
    return lexicon().nouns


@cache
def _countable() -> tuple[Noun, ...]:
    return tuple(noun for name in sorted(_nouns()) for noun in _nouns()[name] if not noun.mass)


@cache
def _colours() -> tuple[str, ...]:
    """The colours that are nothing else: an orange is a fruit."""
    return _word_classes()["colour"]


@cache
def _word_classes() -> dict[str, tuple[str, ...]]:
    """All classes of single words: the nouns', and some that are none. Words of two classes are left out."""
    words = lexicon()
    nouns = {name: tuple(noun.singular for noun in group) for name, group in words.nouns.items()}
    others = {
        "number": tuple(str(number) for number in range(2, 60)),
        "colour": words.colours,
        "verb": tuple(verb.base for verb in words.verbs),
        "feeling": words.feelings,
        "trade": tuple(trade.name for trade in words.trades),
    }
    taken = {noun.plural for group in words.nouns.values() for noun in group}
    taken.update(word for group in nouns.values() for word in group)
    for name, group in others.items():
        others[name] = tuple(dict.fromkeys(word for word in group if word not in taken and " " not in word))
        taken.update(others[name])
    return nouns | others


def _class_words(name: str, plural: bool) -> tuple[str, ...]:
    if plural and name in _nouns():
        return _plurals(name)
    return _word_classes()[name]


@cache
def _plurals(name: str) -> tuple[str, ...]:
    return tuple(noun.singular if noun.mass else noun.plural for noun in _nouns()[name])


def _some(rng: Random, values: list[T] | tuple[T, ...], size: int) -> list[T]:
    """``size`` of the values, or all of them if there are fewer."""
    return rng.sample(values, min(size, len(values)))


def _weighted(rng: Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
