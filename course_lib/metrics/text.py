"""Is what a model wrote what the reference says? Five answers, from strict to lenient, each between 0 and 1.

    exact_match     the same text, but for case, spaces and a full stop at the end
    numeric_match   the same number at the end, however it is written
    contains        the reference stands in the prediction, word for word
    token_f1        how many words both share, in any order
    rouge_l         how many words both share, in this order

Every function takes the prediction first and gives 1.0 for equal texts. A score says little without knowing what it
forgives, so each says how it makes texts comparable. None knows what words mean: "not bad" and "bad" share half of
their words.

Left out: several right references (score each, take the best), stems, and languages that put no spaces between words.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

TOLERANCE = 1e-6
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
WORD = re.compile(r"[^\W_]+")
SIGN = r"(?:\$\s?[-−]?|[-−+]?(?:\$\s?)?)"  # $5, $-5, -5, -$5
# A stretch of digits with all that could belong to one number, and no point or comma that ends the sentence.
NUMERAL = re.compile(rf"(?<![\w.,/]){SIGN}(?:\d|\.\d)(?:[\d.,/]*\d)?(?:e[-+]?\d+)?", re.IGNORECASE)
NUMBER = re.compile(rf"({SIGN})((?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?|\.\d+)")
DIGITS = 100  # a longer number is none


def exact_match(prediction: str, reference: str) -> float:
    """1.0 for the same text: case, spaces, a full stop at the end, "$" and the commas of thousands do not count.

    >>> exact_match(" The  Red Heron. ", "the red heron"), exact_match("red heron", "the red heron")
    (1.0, 0.0)
    """
    return float(plain(prediction) == plain(reference))


def contains(prediction: str, reference: str) -> float:
    """1.0 if the words of the reference stand side by side in the prediction, made comparable as for `token_f1`.

    >>> contains("It was written by Ada Marsh.", "Ada Marsh"), contains("It was a marshland.", "Marsh")
    (1.0, 0.0)
    """
    return float(f" {' '.join(squad_words(reference))} " in f" {' '.join(squad_words(prediction))} ")


def token_f1(prediction: str, reference: str) -> float:
    """The harmonic mean of precision and recall over words, as SQuAD defines it (Rajpurkar et al. 2016).

    With c words in common (each as often as it is in both), p in the prediction and r in the reference:
    ``F1 = 2c / (p + r)``. Words are made comparable by SQuAD's rules: lower case, without punctuation (ASCII), without
    the articles a, an, the. Two texts without words agree (1.0); one without agrees with no other (0.0).
    """
    first, second = squad_words(prediction), squad_words(reference)
    return _f1(sum((Counter(first) & Counter(second)).values()), len(first), len(second))


def rouge_l(prediction: str, reference: str) -> float:
    """The F-measure of the longest common subsequence of words (Lin 2004), precision and recall weighing the same.

    With the LCS of l words, p in the prediction and r in the reference: ``P = l / p``, ``R = l / r`` and
    ``F = (1 + b^2) P R / (R + b^2 P)``, which for b = 1 is ``2l / (p + r)``. A word is a run of letters and digits in
    lower case; nothing is stemmed. A line break is a space: summaries of many sentences have a measure of their own.
    """
    first, second = WORD.findall(prediction.lower()), WORD.findall(reference.lower())
    return _f1(common_subsequence(first, second), len(first), len(second))


def numeric_match(prediction: str, reference: str, tolerance: float = TOLERANCE) -> float:
    """1.0 if the last number of both texts is the same, within ``tolerance`` times the larger (at least times 1).

    A text without a number (see `last_number`) matches none.
    """
    found, expected = last_number(prediction), last_number(reference)
    if found is None or expected is None:
        return 0.0
    largest = max(abs(found), abs(expected), Decimal(1))
    return float(abs(found - expected) <= Decimal(str(tolerance)) * largest)


def last_number(text: str) -> Decimal | None:
    """The last number in a text: with a sign, a point, thousands separated by commas, and "$" before it.

    None when there is none, and when the last is of another kind: a fraction (3/4), a power (1e5), a version (3.1.2).

    >>> [str(last_number(text)) for text in ("48 / 2 = 24 clips, so $1,072.50.", "-3 degrees", "5kg", "2 3/4", "two")]
    ['1072.50', '-3', '5', 'None', 'None']
    """
    found = NUMERAL.findall(text)
    return as_number(found[-1]) if found else None


def as_number(text: str) -> Decimal | None:
    """The number that this text is, and nothing else beside it but spaces and a full stop at the end; or None."""
    match = NUMBER.fullmatch(text.strip().removesuffix("."))
    if not match or len(match[2]) > DIGITS:
        return None
    value = Decimal(match[2].replace(",", ""))
    return -value if set("-−") & set(match[1]) else value


def plain(text: str) -> str:
    """A text in its plainest form: "$1,200." is "1200", and " The  Heron." is "the heron"."""
    text = unicodedata.normalize("NFC", text).strip().lower()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    return " ".join(text.removesuffix(".").lstrip("$").split())


def squad_words(text: str) -> list[str]:
    """The words that SQuAD compares: lower case, no punctuation, no articles.

    >>> squad_words("The ferryman's goat, a red one.")
    ['ferrymans', 'goat', 'red', 'one']
    """
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest sequence of words that is in both, in order, with any others between (LCS).

    The table of the textbook has a row per word of one text; here a row is the bits of one whole number, which a
    handful of operations turns into the next row (Crochemore et al. 2001): a thousand words against a thousand take
    a millisecond.
    """
    places: dict[str, int] = {}
    for k, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << k
    every = (1 << len(first)) - 1
    row = every  # a bit is 0 where the subsequence grows by this word of the first text
    for word in second:
        here = row & places.get(word, 0)
        row = ((row + here) | (row - here)) & every
    return len(first) - row.bit_count()


def _f1(common: int, first: int, second: int) -> float:
    return 2 * common / (first + second) if first + second else 1.0
