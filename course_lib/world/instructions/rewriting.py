"""Tasks that say the same in another way: in the past, politely, in the old dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random

from course_lib.world import dialect
from course_lib.world.instructions.kind import Kind, Task, body, same
from course_lib.world.lexicon import Verb, lexicon
from course_lib.world.phrases import fill, material, some
from course_lib.world.place import Place

SENTENCE = {"form": "sentence"}
POLITE = "Could you please "
NAMED = 0.4  # the share of people who are called by their name; the others by their trade
LONGEST = 60  # characters of a sentence for the dialect


def _slots(place: Place, rng: Random) -> dict[str, str]:
    words = lexicon()
    good, friend = rng.choice(place.goods), place.cast(rng, 1)[0]
    thing = rng.choice([noun for kind in ("tool", "vessel", "toy", "garment") for noun in words.nouns[kind]])
    return {
        "place": rng.choice(words.places_in_town),
        "friend": friend.given if rng.random() < NAMED else f"the {friend.trade.name}",
        "amount": good.amount(rng.randint(2, 6)),
        "thing": thing.singular,
        "a_thing": thing.a,
        "things": some(thing),
        "dish": some(rng.choice(words.nouns["dish"])),
        "drink": some(rng.choice(words.nouns["drink"])),
        "box": rng.choice(("box", "door", "window", "gate", "basket", "bag")),
    }


# ---- the past --------------------------------------------------------------------------------------------------------


def _past(place: Place, rng: Random) -> Task:
    person, data, slots = place.cast(rng, 1)[0], material("instructions")["past-tense"]["phrases"], _slots(place, rng)
    subject = person.given if rng.random() < NAMED else f"The {person.trade.name}"
    phrase: str = rng.choice(data["all"])
    if rng.random() < 0.4:
        verb, rest = person.trade.work, f" {person.trade.object}"
    else:
        first = phrase.split("}")[0] + "}"
        verb, rest = lexicon().verb_of[first[1:-1]], fill(phrase.removeprefix(first), slots, {}, rng)
    time = f" {rng.choice(data['times'])}" if rng.random() < 0.5 else ""
    return Task(
        f"Sentence: {subject} {verb.third}{rest}{time}.", f"{subject} {verb.past}{rest}{time}.", fields=SENTENCE
    )


def _judge_past(record: Mapping[str, str], answer: str) -> bool | None:
    """Find the verb, which is the second, third or fourth word, and exchange it."""
    words = body(record).split(" ")
    for k, word in enumerate(words[1:4], start=1):
        if word.rstrip(".") in _by_third():
            dot = "." * word.endswith(".")
            return same(answer, " ".join([*words[:k], _by_third()[word.rstrip(".")].past + dot, *words[k + 1 :]]))
    return None


@cache
def _by_third() -> dict[str, Verb]:
    return {verb.third: verb for verb in lexicon().verbs}


def _unchanged(record: Mapping[str, str], rng: Random) -> str:
    return body(record)


# ---- polite ----------------------------------------------------------------------------------------------------------


def _polite(place: Place, rng: Random) -> Task:
    command = fill(rng.choice(material("instructions")["polite"]["commands"]["all"]), _slots(place, rng), {}, rng)
    return Task(f"Sentence: {command}", f"{POLITE}{command[0].lower()}{command[1:-1]}?", fields=SENTENCE)


def _judge_polite(record: Mapping[str, str], answer: str) -> bool | None:
    """The command comes back when the polite words are taken away."""
    command = body(record)
    if command.split()[0].lower() not in lexicon().verb_of:
        return None
    return answer.endswith("?") and same(answer.replace("you please ", "").removeprefix("Could "), command)


# ---- the old dialect -------------------------------------------------------------------------------------------------


def _dialect(place: Place, rng: Random) -> Task:
    while True:
        sentence = rng.choice(re.split(r"(?<=\.) ", dialect.sample(place, rng).english))
        if len(sentence) <= LONGEST:
            return Task(f"Sentence: {sentence}", dialect.translate(sentence), fields=SENTENCE)


def _judge_dialect(record: Mapping[str, str], answer: str) -> bool | None:
    """The dialect is what `dialect.translate` makes of a sentence; there is no second way to it."""
    return same(answer, dialect.translate(body(record)))


KINDS = (
    Kind("past-tense", "A sentence in the past tense.", "exact", _past, _judge_past, _unchanged),
    Kind("polite", "A command as a polite question.", "exact", _polite, _judge_polite, _unchanged),
    Kind("dialect", "A sentence in Old Saromi.", "rouge", _dialect, _judge_dialect),
)
