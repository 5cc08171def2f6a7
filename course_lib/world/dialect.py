"""Old Saromi, the dialect of the fishing villages. No document of the pretraining corpus is written in it.

`translate` rewrites the world's English by rules, always in the same way:

    small and everyday words    have their own words: market, bozoru; and, uth
    every other word            changes its sounds (pot, fed) and its ending (pots, fedimo; walked, vholhkak)
    the, a, an                  become an ending of the last word they belong to: the old market, qari bozorulu
    in, of, from ...            follow what they stand before: in the market, bozorulu umbe
    the verb                    goes to the end of its clause: Ama sells pots, Ama fedimo furoth
    names and numbers           stay as they are

To a model that has read only English it is a foreign text about familiar people, which makes it a domain to adapt to.
Left out: exceptions (a real dialect has little else) and the way back, since different words may change into one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.world.lexicon import article, lexicon
from course_lib.world.phrases import capital, fill, material, some
from course_lib.world.place import Place

TOPICS = ("shop", "person", "village", "landmark", "festival")
ARTICLES = ("the", "a", "an")
PREPOSITIONS = (
    *(
        "with",
        "without",
        "of",
        "from",
        "to",
        "in",
        "on",
        "at",
        "by",
        "near",
        "behind",
        "under",
        "over",
        "between",
        "for",
    ),
    *("after", "before", "since", "until", "through", "around", "about", "into", "beside", "above"),
)
AUXILIARIES = ("is", "are", "was", "were", "has", "have", "had", "can", "must", "will", "do", "does", "did")
CLAUSE = re.compile(r"([.!?,;:()\"\n]+\s*|\s+(?=(?:and|but|or|when|if|because)\s))")
WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*(?:'s)?|\d+|\S")


@dataclass(frozen=True)
class Pair:
    """The same few sentences in English and in the dialect; ``topic`` is one of TOPICS."""

    english: str
    dialect: str
    topic: str


def translate(text: str) -> str:
    """English of the world in Old Saromi; line breaks and punctuation stay where they are."""
    pieces = CLAUSE.split(text)
    parts = []
    starts = True  # whether the next clause begins a sentence
    for k, piece in enumerate(pieces):
        if k % 2:
            parts.append(piece)
            starts = starts or bool(re.search(r"[.!?:\n\"]", piece))
        elif piece.strip():
            parts.append(_clause(piece.split(" "), starts) if piece != " " else piece)
            starts = False
    return "".join(parts)


def sample(place: Place, rng: Random, topic: str | None = None) -> Pair:
    """Two to four sentences about one thing, in both languages."""
    topic = topic or rng.choice(TOPICS)
    english = " ".join(_english(place, rng, topic, rng.randint(2, 4)))
    return Pair(english, translate(english), topic)


def document(place: Place, rng: Random) -> str:
    """A text of five to nine sentences in the dialect."""
    topic = rng.choice(TOPICS)
    return translate(" ".join(_english(place, rng, topic, rng.randint(5, 9))))


def items(place: Place, rng: Random, n: int) -> list[dict[str, str]]:
    """``n`` records: ``english``, ``dialect``, ``topic``; the topics in turn."""
    pairs = [sample(place, rng, TOPICS[k % len(TOPICS)]) for k in range(n)]
    return [{"english": pair.english, "dialect": pair.dialect, "topic": pair.topic} for pair in pairs]


def word(english: str) -> str:
    """One lower-case English word in the dialect, without regard to its place in the sentence."""
    data = material("dialect")
    for table in (data["small"], data["words"]):
        if english in table:
            return table[english]
    for ending, new in data["endings"].items():
        stem = english.removesuffix(ending)
        if stem != english and len(stem) > 2 and not stem.endswith("s"):
            return (data["words"].get(stem) or _sounds(stem)) + new
    return _sounds(english)


@cache
def _sounds(stem: str) -> str:
    laws = material("dialect")["sounds"]
    longest_first = sorted(laws, key=lambda sound: (-len(sound), sound))
    return re.sub("|".join(longest_first), lambda match: laws[match[0]], stem)


@cache
def _verbs() -> frozenset[str]:
    """The forms that can be the verb of a clause."""
    return frozenset(form for verb in lexicon().verbs for form in (verb.base, verb.third, verb.past))


@cache
def _common() -> frozenset[str]:
    """The words that are words even when a sentence begins with them; what else has a capital is a name."""
    data = material("dialect")
    return lexicon().words | frozenset(data["small"]) | frozenset(data["words"]) | frozenset(ARTICLES)


def _clause(words: list[str], starts: bool) -> str:
    """One clause: the verb to the end, every group with its article and preposition behind it."""
    words = [word for word in words if word]
    first = words[0]
    if starts and first[0].isupper() and first.lower() in _common() and not _name_follows(words):
        words = [first.lower(), *words[1:]]
    begin, end = _verb_span(words)
    rest = _groups(words[:begin]) + _groups(words[end:])
    text = " ".join(rest + [_change(word) for word in words[begin:end]])
    return capital(text) if starts else text


def _name_follows(words: list[str]) -> bool:
    """ "The Red Heron": the first word belongs to a name when a capital follows it."""
    return words[0] == "The" and len(words) > 1 and words[1][0].isupper() and words[1].lower() in _common()


def _verb_span(words: list[str]) -> tuple[int, int]:
    """Where the verb of the clause begins and ends; (n, n) for a clause without one."""
    for known in (AUXILIARIES, _verbs()):
        for k, word in enumerate(words):
            before = words[k - 1] if k else ""
            if k and word in known and before not in ARTICLES and before not in PREPOSITIONS and not before.isdigit():
                after = k + 1
                while (
                    known is AUXILIARIES and after < len(words) and (words[after] in _verbs() or words[after] == "not")
                ):
                    after += 1
                return k, after
    return len(words), len(words)


def _groups(words: list[str]) -> list[str]:
    """Articles and prepositions moved behind the words they belong to."""
    small = material("dialect")["small"]
    made: list[str] = []
    with_article, preposition = False, ""
    inside, former = False, ""  # whether a word of the present group has been written, and which

    def close() -> None:
        nonlocal with_article, preposition, inside
        if with_article and inside:
            made[-1] += material("dialect")["grammar"]["article"]
        if preposition:
            made.append(small[preposition])
        with_article, preposition, inside = False, "", False

    for word in words:
        if word in PREPOSITIONS or word in ARTICLES:
            if inside or word in PREPOSITIONS:
                close()
            with_article = with_article or word in ARTICLES
            preposition = word if word in PREPOSITIONS else preposition
        else:
            # "in the old market Ama ...": a name ends the group of plain words before it
            if inside and with_article and word[0].isupper() and not former[0].isupper():
                close()
            made.append(_change(word))
            inside, former = True, word
    close()
    return made


def _change(token: str) -> str:
    """One word as it stands: names and numbers unchanged, "'s" as an ending."""
    possessive = token.endswith("'s")
    stem = token.removesuffix("'s")
    new = word(stem) if stem.isalpha() and stem.islower() else "-".join(_part(part) for part in stem.split("-"))
    return new + material("dialect")["grammar"]["possessive"] * possessive


def _part(part: str) -> str:
    return word(part) if part.isalpha() and part.islower() else part


def _english(place: Place, rng: Random, topic: str, n: int) -> list[str]:
    """``n`` different sentences about one subject, half of the time of the fixed town, in their written order."""
    data = material("dialect")
    slots = _slots(place, rng)
    sentences = data[topic]["sentences"]
    chosen = sorted(rng.sample(range(1, len(sentences)), n - 1))
    patterns = [sentences[0], *(sentences[k] for k in chosen)]
    return [capital(fill(pattern, slots, data["pools"] | {"month": place.months}, rng)) for pattern in patterns]


def _slots(place: Place, rng: Random) -> Mapping[str, str]:
    words = lexicon()
    fixed = rng.random() < 0.5
    shop = rng.choice(place.shops) if fixed else place.shop(rng)
    person = rng.choice(place.people) if fixed else place.cast(rng, 1)[0]
    village = rng.choice(place.villages) if fixed else place.village(rng)
    landmark, feast = rng.choice(place.landmarks), rng.choice(place.festivals)
    good = rng.choice(shop.sells)
    friend = place.cast(rng, 1)[0]
    return {
        "shop": shop.name, "owner": shop.owner.name, "street": shop.street, "things": some(good.noun), "one": good.one,
        "price": str(good.price), "opens": shop.opens, "closes": shop.closes, "founded": str(shop.founded),
        "birth": person.village, "person": person.name, "given": person.given, "a_trade": person.trade.a,
        "district": person.district, "born": str(person.born), "does": person.trade.does, "likes": some(person.likes),
        "known_for": person.known_for, "she": capital(person.pronoun.subject), "she_low": person.pronoun.subject,
        "her": person.pronoun.possessive, "tool": person.trade.tool, "friend": friend.given,
        "age": str(rng.randint(5, 40)), "day": rng.choice(("morning", "evening", "day")),
        "village": village.name, "hours": str(village.hours), "direction": village.direction,
        "landscape": village.landscape, "landmark": landmark.name, "kind": landmark.kind,
        "a_kind": article(landmark.kind),
        "builder": landmark.builder.name, "built": str(landmark.built), "material": landmark.material.singular,
        "where": landmark.where, "festival": feast.name, "custom": feast.custom, "feast_dish": some(feast.dish),
        "place": rng.choice(words.places_in_town), "fruit": some(rng.choice(words.nouns["fruit"])),
        "dish": some(rng.choice(words.nouns["dish"])), "drink": some(rng.choice(words.nouns["drink"])),
        "colour": rng.choice(words.colours),
    }  # fmt: skip
