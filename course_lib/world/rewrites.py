"""Rewrites: worksheets in which every row follows one rule of words or numbers (``drum : drums``, ``17 : 18``).

Each rule is a table of rows or a function that draws one, and a check that goes the other way round: from the right
side back to the left, or by counting. A worksheet keeps to one rule; `course_lib.world.worksheets` writes it out.

Left out: rules on letters inside a word, which a tokenizer of whole words hides from the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.world.lexicon import Noun, Verb, lexicon

Row = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """``make(rng)`` draws a row; ``holds(a, b)`` finds by another route whether b follows from a."""

    name: str
    weight: int
    make: Callable[[Random], Row]
    holds: Callable[[str, str], bool]


def rewrite(rng: Random, n: int, rule: str | None = None) -> tuple[str, list[Row]]:
    """The name of a rule and ``n`` checked rows that follow it; for one worksheet in four from a pool of a few rows."""
    chosen = rules()[rule] if rule else rng.choices(list(rules().values()), _weights())[0]
    rows = [chosen.make(rng) for _ in range(n)]
    if rng.random() < 0.25:
        few = rows[: rng.randint(4, 8)]
        rows = [rng.choice(few) for _ in range(n)]
    for a, b in rows:
        if not chosen.holds(a, b):
            raise AssertionError(f"{b!r} does not follow from {a!r} by the rule {chosen.name!r}")
    return chosen.name, rows


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its name."""
    made = (
        _table("plural", 14, ((noun.singular, noun.plural) for noun in _things())),
        _table("singular", 5, ((noun.plural, noun.singular) for noun in _things())),
        _table("past", 12, ((verb.base, verb.past) for verb in _verbs())),
        _table("base", 4, ((verb.past, verb.base) for verb in _verbs())),
        _table("ing", 8, ((verb.base, verb.ing) for verb in _verbs())),
        _table("third", 4, ((verb.base, verb.third) for verb in _verbs())),
        _table("opposite", 12, _opposites()),
        _table("class", 16, ((noun.singular, name) for name, group in _nouns() for noun in group)),
        _table("article", 3, ((noun.singular, noun.a) for noun in _things())),
        Rule("swap", 7, _swap, lambda a, b: a.split()[::-1] == b.split()),
        Rule("double", 5, _double, lambda a, b: b.count(a) == 2 and len(b) == 2 * len(a) + 1),
        Rule("first", 6, _of_three(0), lambda a, b: a.startswith(b + " ") and " " not in b),
        Rule("second", 3, _of_three(1), lambda a, b: f" {b} " in a and " " not in b),
        Rule("last", 6, _of_three(2), lambda a, b: a.endswith(" " + b) and " " not in b),
        Rule("reversed", 3, _reversed, lambda a, b: a.split()[::-1] == b.split()),
        Rule("and", 3, _and, lambda a, b: b.split(" and ") == a.split()),
        Rule("count", 5, _count, lambda a, b: len(a.split()) == int(b) and len(set(a.split())) == 1),
        Rule("upper", 4, lambda rng: _cased(rng, str.upper), lambda a, b: b.lower() == a and b.isupper()),
        Rule(
            "capital", 4, lambda rng: _cased(rng, str.capitalize), lambda a, b: b[1:] == a[1:] and b[0] == a[0].upper()
        ),
        Rule("letter", 3, lambda rng: _cased(rng, lambda word: word[0]), lambda a, b: a.startswith(b) and len(b) == 1),
        _shift("next", 9, 1, 98),
        _shift("previous", 5, -1, 98),
        _shift("ten more", 3, 10, 89),
        _shift("two more", 4, 2, 97),
        Rule("twice", 4, _twice, lambda a, b: int(b) - int(a) == int(a)),
        Rule("larger", 4, _larger, lambda a, b: sorted(a.split(), key=int)[-1] == b),
        Rule("smaller", 4, _smaller, lambda a, b: sorted(a.split(), key=int)[0] == b),
    )
    return {rule.name: rule for rule in made}


@cache
def _weights() -> tuple[int, ...]:
    return tuple(rule.weight for rule in rules().values())


def _table(name: str, weight: int, pairs: Iterable[Row]) -> Rule:
    """A rule that is a table. Words with two partners in it ("lay" as base and as past) are left out."""
    rows = tuple(dict.fromkeys(pairs))
    left = [a for a, _ in rows]
    rows = tuple(row for row in rows if left.count(row[0]) == 1 and row[0] != row[1])
    back: dict[str, set[str]] = {}
    for a, b in rows:
        back.setdefault(b, set()).add(a)
    return Rule(name, weight, lambda rng: rng.choice(rows), lambda a, b: a in back.get(b, ()))


def _shift(name: str, weight: int, by: int, top: int) -> Rule:
    def make(rng: Random) -> Row:
        number = rng.randint(1, top)
        return str(number), str(number + by)

    return Rule(name, weight, make, lambda a, b: int(b) - int(a) == by)


def _nouns() -> list[tuple[str, tuple[Noun, ...]]]:
    return sorted(lexicon().nouns.items())


@cache
def _things() -> tuple[Noun, ...]:
    return tuple(noun for _, group in _nouns() for noun in group if not noun.mass)


def _verbs() -> tuple[Verb, ...]:
    return lexicon().verbs


def _opposites() -> list[Row]:
    """Both directions. A word that has two opposites keeps its first: its second pair is left out."""
    taken: set[str] = set()
    pairs: list[Row] = []
    for a, b in lexicon().opposites:
        if a not in taken and b not in taken:
            pairs += [(a, b), (b, a)]
            taken |= {a, b}
    return pairs


def _word(rng: Random) -> str:
    return rng.choice(_things()).singular


def _three(rng: Random) -> list[str]:
    return [noun.singular for noun in rng.sample(_things(), 3)]


def _swap(rng: Random) -> Row:
    colour, word = rng.choice(lexicon().colours), _word(rng)
    return f"{colour} {word}", f"{word} {colour}"


def _double(rng: Random) -> Row:
    word = _word(rng)
    return word, f"{word} {word}"


def _of_three(position: int) -> Callable[[Random], Row]:
    def make(rng: Random) -> Row:
        words = _three(rng)
        return " ".join(words), words[position]

    return make


def _reversed(rng: Random) -> Row:
    words = _three(rng)
    return " ".join(words), " ".join(reversed(words))


def _and(rng: Random) -> Row:
    first, second, _ = _three(rng)
    return f"{first} {second}", f"{first} and {second}"


def _count(rng: Random) -> Row:
    number = rng.randint(1, 6)
    return " ".join([_word(rng)] * number), str(number)


def _cased(rng: Random, change: Callable[[str], str]) -> Row:
    word = _word(rng)
    return word, change(word)


def _twice(rng: Random) -> Row:
    number = rng.randint(1, 40)
    return str(number), str(2 * number)


def _two_numbers(rng: Random) -> tuple[int, int]:
    first, second = rng.sample(range(1, 60), 2)
    return first, second


def _larger(rng: Random) -> Row:
    first, second = _two_numbers(rng)
    return f"{first} {second}", str(max(first, second))


def _smaller(rng: Random) -> Row:
    first, second = _two_numbers(rng)
    return f"{first} {second}", str(min(first, second))
