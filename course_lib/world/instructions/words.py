"""Tasks on single words and numbers: the odd one out, what a thing is, yes or no, counting, sorting.

Which words belong together is the lexicon's word classes; words of related classes (a fruit and a flower) are never
set against each other, so that nobody need argue about the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from random import Random

from course_lib.world.instructions.kind import Kind, Task, body, same
from course_lib.world.lexicon import Noun, article, lexicon
from course_lib.world.place import Place

# Word classes by how far apart they are: two classes of different groups have nothing in common.
GROUPS: dict[str, tuple[str, ...]] = {
    "food": ("fruit", "vegetable", "spice", "herb", "dish", "drink", "sweet", "tree", "flower"),
    "beasts": ("bird", "animal", "insect"),
    "things": ("tool", "vessel", "furniture", "toy", "container"),
    "music": ("instrument",),
    "dress": ("garment", "jewel"),
    "travel": ("vehicle",),
    "body": ("body",),
}
ASKED = ("fruit", "vegetable", "spice", "drink", "tree", "flower", "bird", "insect", "tool", "toy", "instrument",
         "garment", "jewel", "vehicle")  # fmt: skip
"""The classes whose names are what people call such a thing: a heron is a bird."""
NAMED = (*ASKED, "animal", "fish", "dish", "furniture", "metal", "building", "herb", "sweet", "vessel", "stone",
         "cloth", "nut")  # fmt: skip
ODD = ("fruit", "animal", "tool", "instrument", "garment", "vehicle", "body")
"""One class of every group for the odd one out: comparing four words is hard enough."""
COUNTED = (2, 6)
SORTED = 3


def _words(rng: Random, name: str, n: int) -> list[str]:
    return [noun.singular for noun in rng.sample(lexicon().nouns[name], n)]


def _odd(place: Place, rng: Random) -> Task:
    usual, other = rng.sample(ODD, 2)
    odd = _words(rng, other, 1)
    words = _words(rng, usual, 3) + odd
    rng.shuffle(words)
    return Task("Words: " + ", ".join(words), odd[0], fields={"choices": ", ".join(words)})


def _judge_odd(record: Mapping[str, str], answer: str) -> bool | None:
    words = body(record).split(", ")
    classes = [lexicon().class_of.get(word) for word in words]
    shares = Counter(classes)
    single = [word for word, name in zip(words, classes, strict=True) if shares[name] == 1]
    if None in classes or len(shares) != 2 or len(single) != 1:
        return None
    return same(answer, single[0])


def _near_odd(record: Mapping[str, str], rng: Random) -> str:
    return rng.choice([word for word in body(record).split(", ") if word != record["output"]])


def _category(place: Place, rng: Random) -> Task:
    name = rng.choice(NAMED)
    return Task(f"Word: {_words(rng, name, 1)[0]}", name, fields={"choices": ", ".join(NAMED)})


def _judge_category(record: Mapping[str, str], answer: str) -> bool | None:
    noun = body(record).rstrip(".?")
    found = [name for name, nouns in lexicon().nouns.items() if any(noun == one.singular for one in nouns)]
    return same(answer.removeprefix("a ").removeprefix("an "), found[0]) if found else None


def _near_category(record: Mapping[str, str], rng: Random) -> str:
    return rng.choice([name for name in NAMED if name != record["output"]])


def _yes_no(place: Place, rng: Random) -> Task:
    name = rng.choice(ASKED)
    group = next(group for group, classes in GROUPS.items() if name in classes)
    true = rng.random() < 0.5
    other = rng.choice([one for key, classes in GROUPS.items() if key != group for one in classes])
    noun: Noun = rng.choice(lexicon().nouns[name if true else other])
    return Task(f"Question: Is {noun.a} {article(name)}?", "yes" if true else "no", fields={"choices": "yes, no"})


def _judge_yes_no(record: Mapping[str, str], answer: str) -> bool | None:
    words = [word for word in body(record).rstrip("?").split()[1:] if word not in ("a", "an")]
    known = lexicon().class_of
    if len(words) != 2 or words[0] not in known or words[1] not in lexicon().nouns:
        return None
    return same(answer, "yes" if words[0] in {noun.singular for noun in lexicon().nouns[words[1]]} else "no")


def _near_yes_no(record: Mapping[str, str], rng: Random) -> str:
    return "no" if record["output"] == "yes" else "yes"


def _count(place: Place, rng: Random) -> Task:
    number = rng.randint(*COUNTED)
    groups = [name for classes in GROUPS.values() for name in classes]
    words = [_words(rng, name, 1)[0] for name in rng.sample(groups, number)]
    return Task("Words: " + ", ".join(words), str(number))


def _judge_count(record: Mapping[str, str], answer: str) -> bool | None:
    return same(answer, str(body(record).count(",") + 1))


def near_number(record: Mapping[str, str], rng: Random) -> str:
    """One more, or (above 1) one less."""
    number = int(record["output"])
    return str(number + rng.choice((-1, 1)) if number > 1 else number + 1)


def _sort(place: Place, rng: Random) -> Task:
    numbers = rng.sample(range(1, 61), SORTED)
    return Task("Numbers: " + ", ".join(map(str, numbers)), ", ".join(map(str, sorted(numbers))))


def _judge_sort(record: Mapping[str, str], answer: str) -> bool | None:
    """Right when it is the same numbers and none is followed by a smaller one."""
    given, parts = body(record).split(", "), answer.strip(" .").split(", ")
    if not all(part.isascii() and part.isdigit() for part in given):
        return None
    if Counter(parts) != Counter(given):
        return False
    return not any(int(left) > int(right) for left, right in pairwise(parts))


def _near_sort(record: Mapping[str, str], rng: Random) -> str:
    """Two neighbours change places."""
    numbers = record["output"].split(", ")
    k = rng.randrange(len(numbers) - 1)
    numbers[k : k + 2] = numbers[k + 1], numbers[k]
    return ", ".join(numbers)


KINDS = (
    Kind("odd-one-out", "Which of four words is of another kind?", "exact", _odd, _judge_odd, _near_odd),
    Kind("category", "What kind of thing is a heron?", "exact", _category, _judge_category, _near_category),
    Kind("yes-no", "Is a heron a bird?", "exact", _yes_no, _judge_yes_no, _near_yes_no),
    Kind("counting", "How many words are in a list?", "numeric", _count, _judge_count, near_number),
    Kind("sorting", "Numbers in order.", "exact", _sort, _judge_sort, _near_sort),
)
