"""Short passages about people, shops and villages nobody has heard of, and questions whose answer stands in them.

Every name is fresh, so a model can answer only by finding the place in the passage and copying from it. The scenes
differ in how hard the finding is: one subject with several facts; two or three subjects of a kind with the same facts
("Which of the shops?"); a chain of events; subjects of different kinds. A passage never says two things that would
answer one question differently: the generator reads its own text back (`sentences.read`) and refuses it otherwise.

A document holds passages in one layout, the layouts having unequal weights. Left out: questions that the passage
does not answer, and answers that must be worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from course_lib.world.place import Place
from course_lib.world.scenes import STAND_INS, Subject, scene
from course_lib.world.sentences import Asked, Fact, ask, read, relations, tell
from course_lib.world.values import DAYS

OPENERS = (
    "It was {day} in Saromi.",
    "This is a story from Saromi.",
    "Many people in Saromi know this.",
    "So they say at the market.",
    "Here is some news from Lake Oru.",
    "This was in the town paper on {day}.",
)


@dataclass(frozen=True)
class Passage:
    """A text, the questions it answers, and the facts it tells (in the order of the questions)."""

    text: str
    asked: tuple[Asked, ...]
    facts: tuple[Fact, ...]
    subjects: tuple[Subject, ...]


def sample(
    place: Place, rng: Random, *, facts: tuple[int, int] = (3, 7), questions: int | None = None, named: bool = False
) -> Passage:
    """One checked passage of ``facts`` sentences (at least, at most) and ``questions`` questions (default: 2 to 5).

    With ``named`` every question names its subject; without, a passage about one shop may ask about "the shop".
    """
    while True:
        subjects, told = scene(place, rng, facts)
        text = write(subjects, told, rng)
        number = min(len(told), questions or rng.randint(2, 5))
        chosen = rng.sample(told, number)
        alias = subjects[0].stand_ins[-1] if len(subjects) == 1 and subjects[0].kind in STAND_INS else None
        asked = []
        for fact in chosen:
            asked.append(ask(fact, rng, subject=alias if not named and alias and rng.random() < 0.3 else None))
        passage = Passage(text, tuple(asked), tuple(chosen), tuple(subjects))
        if (checked := check(passage, told)) is not None:
            return checked


def check(passage: Passage, told: Sequence[Fact]) -> Passage | None:
    """The passage with its answers spelt as in the text, or None when a question has two answers.

    Raises AssertionError when what the text says, read back, is not what was meant, or an answer is not in the text.
    """
    stand_ins = {subject.name: subject.stand_ins for subject in passage.subjects}
    asked = []
    for fact, question in zip(passage.facts, passage.asked, strict=True):
        statements = read(passage.text, fact.relation, stand_ins)
        meant = {slot: value.lower() for slot, value in fact.slots}
        same = [{slot: value.lower() for slot, value in found.items()} for found in statements]
        assert meant in same, (passage.text, fact, same)
        if _ambiguous(fact, question, same, told):
            return None
        answer = question.answer
        spelt = answer if answer in passage.text else answer[0].upper() + answer[1:]
        assert spelt in passage.text, (passage.text, answer)
        asked.append(Asked(question.question, spelt))
    return Passage(passage.text, tuple(asked), passage.facts, passage.subjects)


def write(subjects: Sequence[Subject], told: Sequence[Fact], rng: Random) -> str:
    """The facts as sentences in their order; a subject that was named in the sentence before may become "she"."""
    by_name = {subject.name: subject for subject in subjects}
    text = []
    if rng.random() < 0.12:
        text.append(rng.choice(OPENERS).format(day=rng.choice(DAYS)))
    before = ""
    for fact in told:
        subject = by_name[fact.subject]
        plain = before != subject.name or not subject.stand_ins or rng.random() < 0.45
        name = rng.choice(subject.stand_ins) if subject.stand_ins else None
        possessive = subject.possessive or None
        text.append(tell(fact, rng, name=name, possessive=possessive, plain=plain))
        before = subject.name
    return " ".join(text)


def _ambiguous(fact: Fact, asked: Asked, statements: Sequence[dict[str, str]], told: Sequence[Fact]) -> bool:
    """Whether another statement of the passage also answers the question, with something else."""
    slot = next(
        question.slot for question in relations()[fact.relation].questions if fact.values[question.slot] == asked.answer
    )
    known = {name for name in fact.values if name != slot and fact.values[name].lower() in asked.question.lower()}
    rivals = {
        statement[slot]
        for statement in statements
        if all(statement[name] == fact.values[name].lower() for name in known) and slot in statement
    }
    twice = sum(other.relation == fact.relation and other.subject == fact.subject for other in told) > 1
    return len(rivals) > 1 or twice


# ---- layouts ---------------------------------------------------------------------------------------------------------


def plain(passage: Passage) -> str:
    """Passage, Question, Answer: the frequent one, and the one that `items` are asked in."""
    return "\n".join(
        [f"Passage: {passage.text}", *(f"Question: {a.question}\nAnswer: {a.answer}" for a in passage.asked)]
    )


def short(passage: Passage) -> str:
    """The passage without a heading, then Q and A."""
    return "\n".join([passage.text, *(f"Q: {a.question}\nA: {a.answer}" for a in passage.asked)])


def spoken(passage: Passage) -> str:
    """Question and answer on one line, the answer with a capital and a full stop."""
    lines = [f"{a.question} {a.answer[0].upper()}{a.answer[1:]}." for a in passage.asked]
    return "\n".join([passage.text, "", *lines])


def questions_first(passage: Passage) -> str:
    """All questions, the text, all answers."""
    numbered = list(enumerate(passage.asked, start=1))
    return "\n".join(
        ["Questions:", *(f"{n}. {a.question}" for n, a in numbered), f"Text: {passage.text}", "Answers:"]
        + [f"{n}. {a.answer}" for n, a in numbered]
    )


def question_first(passage: Passage) -> str:
    """Question, passage, answer: one question each."""
    return f"Question: {passage.asked[0].question}\nPassage: {passage.text}\nAnswer: {passage.asked[0].answer}"


def listed(passage: Passage) -> str:
    """A text and dashes."""
    return "\n".join([f"Text: {passage.text}", *(f"- {a.question} {a.answer}" for a in passage.asked)])


LAYOUTS: tuple[tuple[Callable[[Passage], str], int], ...] = (
    (plain, 50),
    (short, 14),
    (spoken, 12),
    (listed, 8),
    (question_first, 8),
    (questions_first, 8),
)


def document(place: Place, rng: Random) -> str:
    """Passages with their questions in one layout, 60 to 300 words."""
    layout = rng.choices([layout for layout, _ in LAYOUTS], [weight for _, weight in LAYOUTS])[0]
    words = rng.randint(60, 220)
    blocks: list[str] = []
    while sum(len(block.split()) for block in blocks) < words:
        blocks.append(layout(sample(place, rng, facts=rng.choice(((2, 4), (3, 7), (5, 9))))))
    return "\n\n".join(blocks)


def items(place: Place, rng: Random, n: int, *, facts: tuple[int, int] = (3, 7)) -> list[dict[str, str]]:
    """``n`` records for examination: passage, question, answer (a span of the passage), relation.

    Every question names its subject. Make them with ``Place.build(split="test")``.
    """
    records = []
    for _ in range(n):
        passage = sample(place, rng, facts=facts, questions=1, named=True)
        asked = passage.asked[0]
        records.append(
            {
                "passage": passage.text,
                "question": asked.question,
                "answer": asked.answer,
                "relation": passage.facts[0].relation,
            }
        )
    return records
