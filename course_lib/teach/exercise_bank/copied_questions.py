"""Lesson 04: training examples that are almost test examples. The slips are other similarities and other lists."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Texts = list[str]
SIZE, LIMIT = 3, 0.5


def shingles(text: str, size: int = SIZE) -> set[tuple[str, ...]]:
    """Every ``size`` words in a row."""
    words = text.split()
    return {tuple(words[k : k + size]) for k in range(len(words) - size + 1)}


def similarity(a: str, b: str) -> float:
    """The Jaccard similarity of the shingles."""
    one, other = shingles(a), shingles(b)
    return len(one & other) / len(one | other)


def copies(train: Texts, test: Texts) -> list[int]:
    """The places in ``train`` of texts at least half similar to a text of ``test``."""
    return [i for i, text in enumerate(train) if any(similarity(text, other) >= LIMIT for other in test)]


# Six words have four shingles. With the last word changed three of five are common (0.6), with the first and the last
# changed two of six (0.33); a text of five words within one of seven has three of five (0.6).
COPIED_CASES = (
    Case((
        ["name the odd word in this row", "how old is the bridge today", "write a headline for the text"],
        ["how old is the bridge now", "who keeps the mill at night"],
    )),
    Case((
        ["who is the baker of the town", "tell me who the baker was then", "where is the mill of old Vell"],
        ["where is the mill of old Tarn", "who is the baker of the village"],
    )),
    Case((["the price of one loaf", "what is the price of one loaf", "one loaf of the price"],
          ["what is the price of one loaf"]), "`the price of one loaf` has 3 shingles, all of them among the 5."),
    Case((["sum up the letter in one short sentence please now", "sum up the letter in one line"],
          ["please now sum up the letter in one line"])),
    Case((["a b c d e", "c d e f g h", "b c d e f"], ["a b c d e f", "x y z w"])),
    Case((["count the red boats here", "count the boats red here"], ["count the red boats here"]),
         "The second text has the same words in another order, and shares no three in a row."),
    Case((["add two and three", "name a tree"], ["who rings the bell", "where is the well"]),
         "Nothing is similar here: the list is empty."),
    Case((["k l m n o p q", "a b c a b c a b c a b"], ["a b c a b c x y"]),
         "Shingles that repeat count once: these are sets."),
    Case((["a b c d", "p q r s t"], ["a b c e", "p q r s"]),
         "`p q r s t` and `p q r s` share 2 of 3; `a b c d` and `a b c e` 1 of 3."),
    Case((["old mill wheel"], ["where is the old mill wheel now kept"]), "1 of 6 shingles is common."),
    Case((["where is the old mill wheel now kept"], ["old mill wheel"]), "1 of 6 shingles is common."),
    Case((["a b c a b c a"], ["b c a b c a b c"]), "Both have the same three shingles."),
    Case((["a b c a b c a"], ["a b c a b q w e r t"]), "Each shingle counts once, however often it occurs."),
    Case((["a b c d"], ["a b c d e f"]), "2 of 4 shingles are common: a similarity of exactly 0.5 is enough."),
)  # fmt: skip


def _where(test_pair: Any) -> Any:
    def drop(train: Texts, test: Texts) -> list[int]:
        return [i for i, text in enumerate(train) if any(test_pair(text, other) for other in test)]

    return drop


def _of(a: set[Any], b: set[Any], below: int) -> bool:
    return len(a & b) / below >= LIMIT


def _as_list(a: str, b: str) -> bool:
    """Jaccard with shingles counted as often as they occur."""
    one, other = ([tuple(t.split()[k : k + SIZE]) for k in range(len(t.split()) - 2)] for t in (a, b))
    return sum(x in other for x in one) / len(set(one) | set(other)) >= LIMIT


COPIED_SLIPS = (
    Slip("Those are the places of test texts. The test set stays as it is; the training texts are dropped, by their"
         " places in `train`.", lambda train, test: copies(test, train)),
    Slip("Those are the texts to keep; return the places of the copies.",
         lambda train, test: [i for i in range(len(train)) if i not in copies(train, test)]),
    Slip("Only texts that are equal word for word are found. A changed word hides a copy from that.",
         _where(lambda a, b: a == b)),
    Slip("You compare the words, not three in a row: texts about the same things look like copies, and so do the same"
         " words in another order.", _where(lambda a, b: _of(set(a.split()), set(b.split()),
                                                             len(set(a.split()) | set(b.split()))))),
    Slip("Your shingles have two words; three in a row are wanted.",
         _where(lambda a, b: _of(shingles(a, 2), shingles(b, 2), len(shingles(a, 2) | shingles(b, 2))))),
    Slip("You divide by the number of shingles of both together, and common ones are counted twice there. Jaccard"
         " divides by the union, `len(a | b)`.",
         _where(lambda a, b: _of(shingles(a), shingles(b), len(shingles(a)) + len(shingles(b))))),
    Slip("That is Dice's similarity, twice the common ones divided by both sizes. Jaccard is common / union.",
         _where(lambda a, b: 2 * len(shingles(a) & shingles(b)) / (len(shingles(a)) + len(shingles(b))) >= LIMIT)),
    Slip("You divide by the shingles of the training text alone (containment): a short text inside a long one is then a"
         " full copy. Jaccard divides by the union.", _where(lambda a, b: _of(shingles(a), shingles(b),
                                                                             len(shingles(a))))),
    Slip("You divide by the shingles of the test text alone: a long text that contains a short one is then a full copy."
         " Jaccard divides by the union.", _where(lambda a, b: _of(shingles(a), shingles(b), len(shingles(b))))),
    Slip("A similarity of exactly 0.5 is dropped as well: at least half, so `>=`.",
         _where(lambda a, b: similarity(a, b) > LIMIT)),
    Slip("One common shingle is enough in your version; at least half of all have to be common.",
         _where(lambda a, b: bool(shingles(a) & shingles(b)))),
    Slip("Each training text is compared with the test text at the same place only; compare it with all of them.",
         lambda train, test: [i for i, (a, b) in enumerate(zip(train, test, strict=False)) if similarity(a, b) >= .5]),
    Slip("A training text must resemble *every* test text in your version; one is enough.",
         lambda train, test: [i for i, a in enumerate(train) if all(similarity(a, b) >= LIMIT for b in test)]),
    Slip("Repeated shingles count each time; take sets.", _where(_as_list)),
    Slip("Places count from 0: `enumerate(train)`.", lambda train, test: [i + 1 for i in copies(train, test)]),
)  # fmt: skip


def _read_places(value: Any) -> tuple[int, ...]:
    if isinstance(value, str | dict) or not hasattr(value, "__iter__"):
        raise Wrong(f"{described(value)} where a list of places is wanted")
    places = list(value)
    if any(isinstance(place, str) for place in places):
        raise Wrong(f"{described(places)}; return the places of the texts in `train`, not the texts")
    return tuple(sorted(int(place) for place in places))


def copied_problems(answer: Any) -> list[str]:
    """What is wrong with a list of copies."""
    return judge(answer, "copies", COPIED_CASES, _expected, _SLIPS, _read_places, lambda a, b: a == b)


def _expected(train: Texts, test: Texts) -> tuple[int, ...]:
    return _read_places(copies(train, test))


_SLIPS = tuple(Slip(s.sentence, lambda a, b, made=s.compute: _read_places(made(a, b))) for s in COPIED_SLIPS)

EXERCISE = Exercise(
    id="04-duplicates",
    title="Which examples has the test seen?",
    prompt=(
        "`train` and `test` are lists of texts of at least three words, separated by spaces. The shingles of a text are"
        " the set of all three words in a row; the similarity of two texts is the number of common shingles divided by"
        " the number of all different ones (Jaccard). Write a function that returns the places in `train` of the texts"
        " to drop: those with a similarity of at least 0.5 to a text of `test`."
    ),
    stub="def copies(train, test):\n    ...",
    hints=(
        "Write a function for the shingles first: `words[k : k + 3]` for each k, as tuples, in a set.",
        "With sets `a` and `b`, the similarity is `len(a & b) / len(a | b)`.",
        "`[i for i, text in enumerate(train) if any(similarity(text, other) >= 0.5 for other in test)]`",
    ),
    code=(
        "def copies(train, test):\n"
        "    def shingles(text):\n"
        "        words = text.split()\n"
        "        return {tuple(words[k : k + 3]) for k in range(len(words) - 2)}\n\n"
        "    def similar(a, b):\n"
        "        return len(a & b) / len(a | b) >= 0.5\n\n"
        "    known = [shingles(text) for text in test]\n"
        "    return [i for i, text in enumerate(train) if any(similar(shingles(text), other) for other in known)]"
    ),
    why=(
        "Instruction data is copied, translated and mixed so often that a test question is likely to be somewhere in"
        " it, with a word changed. What is dropped is always the training text: a test set that gives way to the"
        " training data measures something else each time. For long lists the same similarity is estimated by MinHash,"
        " because comparing each text with each other one takes too long."
    ),
    problems=copied_problems,
)
