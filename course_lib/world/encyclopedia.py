"""The fixed town's encyclopedia: entries about its people, shops, villages, landmarks, feasts, goods and trades.

What many documents tell, a model can come to know by heart; then it answers without a passage. Each fact is told in
the wordings of `sentences` and asked for in the same layouts that passages use, minus the passage. Entities in front
of the list come up nine times as often as those at its end, so some facts are known well and others hardly.

A document is one of: entries; entries with questions; questions alone; cards with a line per fact. Left out: facts that
change, and everything about people outside the town.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.world.place import Good, Landmark, Person, Place, Shop, Village
from course_lib.world.scenes import STAND_INS
from course_lib.world.sentences import Asked, Fact, ask, read, relations, tell


@dataclass(frozen=True)
class Entry:
    """What is known about one entity of the town, and the words that may stand for it after it was named."""

    kind: str
    name: str
    stand_ins: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def askable(self) -> tuple[Fact, ...]:
        """The facts that are asked for."""
        return tuple(fact for fact in self.facts if relations()[fact.relation].questions)


@cache
def entries(seed: int = 0) -> tuple[Entry, ...]:
    """Every entry of the town of this seed, kinds mixed, in an order that does not change."""
    place = Place.build(seed=seed)
    found = [
        *(_person(person, place) for person in place.people),
        *map(_shop, place.shops),
        *map(_village, place.villages),
        *map(_landmark, place.landmarks),
        *(
            _entry("festival", f.name, ("it", "the feast"), month=f.month, food=f.dish.plural, custom=f.custom)
            for f in place.festivals
        ),
        *map(_good, place.goods),
        *(
            _entry("trade", t.name, (), place=t.place, tool=t.tool, work=t.does)
            for t in dict.fromkeys(person.trade for person in place.people)
        ),
    ]
    Random(seed).shuffle(found)
    return tuple(found)


def known(seed: int = 0) -> tuple[Fact, ...]:
    """Every fact that a question asks for, in the order of the entries."""
    return tuple(fact for entry in entries(seed) for fact in entry.askable)


def sample(place: Place, rng: Random) -> Entry:
    """One entry; those in front of the list more often."""
    every = entries(place.seed)
    return rng.choices(every, _weights(len(every)))[0]


def paragraph(entry: Entry, rng: Random, number: int | None = None) -> str:
    """The entry's facts, all or ``number`` of them, as checked sentences; the first one names the entity."""
    chosen = list(entry.facts)
    rng.shuffle(chosen)
    sentences: list[str] = []
    for fact in chosen[:number]:
        stand_in = rng.choice(entry.stand_ins) if entry.stand_ins else None
        plain = not sentences or rng.random() < 0.4
        sentences.append(tell(fact, rng, name=stand_in, possessive=_possessive(entry), plain=plain))
        said = read(" ".join(sentences), fact.relation, {entry.name: entry.stand_ins})
        meant = {slot: value.lower() for slot, value in fact.slots}
        assert meant in [{slot: value.lower() for slot, value in one.items()} for one in said], (sentences, fact, said)
    return " ".join(sentences)


def questions(entry: Entry, rng: Random, number: int) -> list[Asked]:
    """Up to ``number`` questions about the entry."""
    askable = entry.askable
    return [ask(fact, rng, reverse=False) for fact in rng.sample(askable, min(number, len(askable)))]


# ---- documents -------------------------------------------------------------------------------------------------------


def document(place: Place, rng: Random) -> str:
    """Entries, questions or cards in one layout, 50 to 250 words."""
    block = rng.choices((_told, _told_and_asked, _asked, _asked_aloud, _card), (25, 27, 28, 10, 10))[0]
    words = rng.randint(60, 180)
    blocks: list[str] = []
    while sum(len(text.split()) for text in blocks) < words:
        blocks.append(block(sample(place, rng), rng))
    return ("\n" if block in (_asked, _asked_aloud) else "\n\n").join(blocks)


def items(place: Place, rng: Random, n: int, *, first: int | None = None) -> list[dict[str, str]]:
    """``n`` records about the fixed town: question, answer, relation, subject and a passage that tells the answer.

    With ``first`` only about the entries in front, those that documents speak of most often.
    """
    records = []
    for _ in range(n):
        entry = rng.choice(entries(place.seed)[:first])
        fact = rng.choice(entry.askable)
        asked = ask(fact, rng, reverse=False)
        records.append(
            {
                "question": asked.question,
                "answer": asked.answer,
                "relation": fact.relation,
                "subject": entry.name,
                "passage": paragraph(Entry(entry.kind, entry.name, entry.stand_ins, (fact,)), rng),
            }
        )
    return records


def _told(entry: Entry, rng: Random) -> str:
    return f"{_title(entry)}\n{paragraph(entry, rng)}"


def _told_and_asked(entry: Entry, rng: Random) -> str:
    lines = [f"Question: {asked.question}\nAnswer: {asked.answer}" for asked in questions(entry, rng, 3)]
    return "\n".join([paragraph(entry, rng), *lines])


def _asked(entry: Entry, rng: Random) -> str:
    return "\n".join(f"Question: {asked.question}\nAnswer: {asked.answer}" for asked in questions(entry, rng, 2))


def _asked_aloud(entry: Entry, rng: Random) -> str:
    return "\n".join(
        f"{asked.question} {asked.answer[0].upper()}{asked.answer[1:]}." for asked in questions(entry, rng, 2)
    )


def _card(entry: Entry, rng: Random) -> str:
    lines = [f"{fact.relation.partition('.')[2]}: {fact.values['v']}" for fact in entry.askable]
    return "\n".join([_title(entry), *lines])


def _title(entry: Entry) -> str:
    return entry.name[0].upper() + entry.name[1:]


# ---- entries ---------------------------------------------------------------------------------------------------------


def _person(person: Person, place: Place) -> Entry:
    entry = _entry(
        "person",
        person.name,
        (person.pronoun.subject,),
        trade=person.trade.name,
        born=person.village,
        year=str(person.born),
        district=person.district,
        likes=person.likes.singular if person.likes.mass else person.likes.plural,
        known=person.known_for,
    )
    skipped = "person.likes" if place.lexicon.class_of[person.likes.singular] not in EDIBLE else ""
    return Entry(entry.kind, entry.name, entry.stand_ins, tuple(f for f in entry.facts if f.relation != skipped))


EDIBLE = ("fruit", "dish", "sweet")


def _shop(shop: Shop) -> Entry:
    return _entry(
        "shop",
        "the" + shop.name.removeprefix("The"),
        ("it", *STAND_INS["shop"]),
        keeper=shop.owner.name,
        street=shop.street,
        founded=str(shop.founded),
        opens=shop.opens,
        closes=shop.closes,
        sells=shop.sells[0].noun.plural,
    )


def _village(village: Village) -> Entry:
    return _entry(
        "village",
        village.name,
        ("it", *STAND_INS["village"]),
        direction=village.direction,
        distance=f"{village.hours} hour{'s' if village.hours > 1 else ''}",
        known=village.known_for.noun.plural,
        landscape=village.landscape,
    )


def _landmark(landmark: Landmark) -> Entry:
    return _entry(
        "landmark",
        landmark.name,
        ("it", f"the {landmark.kind}"),
        year=str(landmark.built),
        builder=landmark.builder.name,
        material=landmark.material.singular,
        stands=landmark.where,
    )


def _good(good: Good) -> Entry:
    name = good.noun.plural
    price = Fact("good.price", (("s", name), ("u", good.one), ("v", f"{good.price} kori")))
    return Entry("good", name, (), (price, *_facts("good", name, village=good.village, seller=good.trade.plural)))


def _entry(kind: str, name: str, stand_ins: tuple[str, ...], **values: str) -> Entry:
    return Entry(kind, name, stand_ins, _facts(kind, name, **values))


def _facts(kind: str, name: str, **values: str) -> tuple[Fact, ...]:
    return tuple(Fact(f"{kind}.{relation}", (("s", name), ("v", value))) for relation, value in values.items())


def _possessive(entry: Entry) -> str | None:
    return {"she": "her", "he": "his", "it": "its"}[entry.stand_ins[0]] if entry.stand_ins else None


@cache
def _weights(number: int) -> Sequence[float]:
    """From 1 for the first entry down to a ninth for the last, most of the fall near the beginning."""
    return [1 / (1 + 8 * index / number) for index in range(number)]
