"""Word problems: a small story, the operations one by one, the number at the end.

A small model cannot add, multiply and subtract in one go between the question mark and the answer, but it can do one
operation at a time when it may write the result down and read it again: that is what worked steps are for. So every
problem comes with steps of one operation each, and documents show either the steps or the bare answer.

A problem is a story with fixed steps (`problem_stories`) or a scene with events (`problem_scenes`); the numbers come
from `problem_sums`. Every answer is computed twice: forwards, as the steps say, and by a second route (a story's own
formula; a scene backwards, from the end to the number it opened with); then the printed steps are read back and
counted out.

About one document in sixteen has no words but sums, so that the arithmetic itself is learned. Left out: fractions,
negative numbers, numbers in words, and numbers that do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from course_lib.errors import CourseError
from course_lib.world.lexicon import Noun, lexicon
from course_lib.world.place import Person, Place
from course_lib.world.problem_scenes import JOINS, SCENES, Scene
from course_lib.world.problem_stories import STORIES, Story
from course_lib.world.problem_sums import HIGH, INVERSE, LOW, MOST, OPERATIONS, STEP, counted, draw, operands, run, sums

STEPS = (1,) * 5 + (2,) * 7 + (3,) * 6 + (4,) * 2  # 25, 35, 30, 10 percent

# The sorts of thing that stories are about, by word class; only nouns with a plural are counted.
THINGS = {
    "food": ("fruit", "vegetable", "nut", "sweet"),
    "ware": ("vessel", "tool", "toy", "container", "garment", "jewel", "paper", "furniture", "instrument"),
    "craft": ("vessel", "tool", "toy", "container", "furniture", "instrument"),
    "plant": ("flower", "vegetable"),
    "fish": ("fish",),
}
AMOUNTS = {"mass": ("grain", "spice", "material"), "sacks": ("grain", "nut"), "cloth": ("cloth",)}
HERDS = ("goat", "sheep", "cow", "ox", "horse", "donkey", "mule", "camel", "llama", "alpaca", "yak", "buffalo", "pig",
         "hen", "duck", "goose")  # fmt: skip
UNSOLD = ("bubble", "swing", "seesaw", "drawer", "pocket", "poem")  # countable, but nobody buys four of them
BOWLS = ("soup", "stew", "curry", "porridge", "pilaf", "salad", "jollof", "biryani", "congee", "ramen", "dal", "pasta",
         "hummus", "rice", "couscous", "pudding", "chowder", "yogurt")  # fmt: skip

# (weight, how a problem with its steps is written) and the same for bare answers: the first of each is the usual one.
WORKED = (
    (88, "Question: {question}\nSteps: {steps}\nAnswer: {answer}"),
    (4, "Problem: {question}\nWorking: {steps}\nResult: {answer}"),
    (4, "{question}\n{steps} So the answer is {answer}."),
    (2, "Q: {question}\nA: {steps} That makes {answer}."),
    (2, "{question} {steps} It is {answer}."),
)
BARE = (
    (88, "Question: {question}\nAnswer: {answer}"),
    (4, "Problem: {question}\nResult: {answer}"),
    (4, "{question} The answer is {answer}."),
    (2, "Q: {question}\nA: {answer}"),
    (2, "{question} It is {answer}."),
)
WORKED_SHARE, SUMS_SHARE = 0.61, 0.06
SHORTEST, LONGEST = 240, 1200  # characters, after which a document may or must end


@dataclass(frozen=True)
class Problem:
    """A checked problem; ``steps`` are equations such as "5 + 3 = 8", ``story`` is the name of its pattern."""

    question: str
    steps: tuple[str, ...]
    answer: str
    story: str

    @property
    def working(self) -> str:
        """The steps as they are printed: "5 + 3 = 8. 8 - 2 = 6."."""
        return " ".join(f"{step}." for step in self.steps)


def sample(place: Place, rng: Random, *, steps: int | None = None) -> Problem:
    """One checked problem of ``steps`` operations (1 to 4; drawn when None).

    Raises CourseError for another number of steps, and AssertionError when the two routes to its answer differ.
    """
    if steps is not None and steps not in STORIES:
        raise CourseError(f"There are no problems of {steps} steps; ask for 1 to {max(STORIES)}.")
    wanted = rng.choice(STEPS) if steps is None else steps
    if rng.random() < 0.5:
        return _from_scene(place, rng, rng.choice(SCENES), wanted)
    return _from_story(place, rng, rng.choice(STORIES[wanted]))


def document(place: Place, rng: Random) -> str:
    """One pretraining document: two to six problems in one layout, all with steps or all without, or a list of sums."""
    if rng.random() < SUMS_SHARE:
        return sums(rng)
    layouts = WORKED if rng.random() < WORKED_SHARE else BARE
    layout = rng.choices([text for _, text in layouts], [weight for weight, _ in layouts])[0]
    parts: list[str] = []
    wanted, length = rng.randint(2, 6), 0
    while length < SHORTEST or (len(parts) < wanted and length < LONGEST):
        parts.append(render(sample(place, rng), layout))
        length += len(parts[-1])
    return "\n\n".join(parts)


def render(problem: Problem, layout: str) -> str:
    """The problem in a layout with the names ``question``, ``steps`` and ``answer`` in braces."""
    return layout.format(question=problem.question, steps=problem.working, answer=problem.answer)


def items(place: Place, rng: Random, n: int, *, steps: int | None = None) -> list[dict[str, str]]:
    """``n`` distinct evaluation records: question, steps ("5 + 3 = 8. 8 - 2 = 6."), answer, n_steps, story."""
    found: dict[str, dict[str, str]] = {}
    while len(found) < n:
        problem = sample(place, rng, steps=steps)
        found.setdefault(problem.question, {
            "question": problem.question,
            "steps": problem.working,
            "answer": problem.answer,
            "n_steps": str(len(problem.steps)),
            "story": problem.story,
        })  # fmt: skip
    return list(found.values())


# --- stories with fixed steps ---------------------------------------------------------------------------------------


def _from_story(place: Place, rng: Random, story: Story) -> Problem:
    numbers, equations, answer = run(rng, story.programme)
    assert story.rule(**numbers) == answer, f"{story.name}: the rule and the steps differ for {numbers}"
    slots = _slots(place, rng, story.things)
    slots.update((name, str(number)) for name, number in numbers.items())
    return _checked(rng.choice(story.wordings).format_map(slots), equations, answer, story.name)


# --- scenes with events ---------------------------------------------------------------------------------------------


def _from_scene(place: Place, rng: Random, scene: Scene, n_steps: int) -> Problem:
    """Draw signs and numbers, tell them, and undo them again from the end to the opening."""
    start, events = _events(rng, scene, n_steps)
    slots = _slots(place, rng, scene.things)
    slots["N"] = str(start)
    told = [rng.choice(scene.opening).format_map(slots)]
    equations, value, question = [], start, rng.choice(scene.question)
    sentences = {"+": list(scene.plus), "-": list(scene.minus), "*": list(scene.times)}
    for (sign, number), join in zip(events, rng.sample(JOINS, n_steps), strict=True):
        if sign == "/":
            text, question = rng.choice(scene.share)
        else:  # no sentence comes twice in a story, as long as there are others
            left = sentences[sign]
            text = left.pop(rng.randrange(len(left))) if len(left) > 1 else left[0]
        slots["N"] = str(number)
        told.append(_capital((join * (sign != "*") + text).format_map(slots)) + ".")  # "times" opens with a time
        result = OPERATIONS[sign](value, number)
        equations.append(f"{value} {sign} {number} = {result}")
        value = result
    undone = value
    for sign, number in reversed(events):
        undone = OPERATIONS[INVERSE[sign]](undone, number)
    assert undone == start, f"{scene.name}: {events} undone from {value} is {undone}, not {start}"
    return _checked(" ".join((*told, question.format_map(slots))), tuple(equations), value, scene.name)


def _events(rng: Random, scene: Scene, n_steps: int) -> tuple[int, list[tuple[str, int]]]:
    """An opening number and the events after it, as (sign, number)."""
    while True:
        start = value = draw(rng, LOW + 1, HIGH)
        events: list[tuple[str, int]] = []
        for step in range(n_steps):
            once = scene.times and not any(sign == "*" for sign, _ in events)
            signs = "+++---" + ("*" if once else "") + ("//" if scene.share and step == n_steps - 1 else "")
            pair = operands(rng, sign := rng.choice(signs), value, None)
            if pair is None:
                break
            events.append((sign, pair[1]))
            value = OPERATIONS[sign](*pair)
        else:
            return start, events


# --- telling and checking -------------------------------------------------------------------------------------------


class _Slots(dict[str, str]):
    """The names of a wording; a name with a capital, ``{He}``, is the same word with a capital."""

    def __missing__(self, name: str) -> str:
        return _capital(self[name[0].lower() + name[1:]])


def _slots(place: Place, rng: Random, sort: str) -> _Slots:
    """People, things and a village for one story."""
    people = place.cast(rng, 3)
    first: Person = people[0]
    slots = _Slots(
        n=first.given, m=people[1].given, k=people[2].given, v=elsewhere(place, rng),
        he=first.pronoun.subject, him=first.pronoun.object, his=first.pronoun.possessive,
    )  # fmt: skip
    if sort in AMOUNTS or sort == "dish":
        noun = rng.choice(_nouns(sort))
        slots["X"] = noun.singular if sort == "dish" else noun.plural
        if sort == "sacks":
            slots["X"] = f"sacks of {noun.plural}"
        return slots
    one, other = rng.sample(_nouns(sort), 2)
    slots |= {"X": one.plural, "x": one.singular, "ax": one.a, "Y": other.plural, "y": other.singular, "ay": other.a}
    return slots


def elsewhere(place: Place, rng: Random) -> str:
    """A village that is none of the fixed ones: what a story makes up must not blur what the town's documents tell."""
    known = _fixed_villages(place.seed)
    while (name := place.village_name(rng)) in known:
        pass
    return name


@cache
def _fixed_villages(seed: int) -> frozenset[str]:
    return frozenset(village.name for village in Place.build(seed).villages)


@cache
def _nouns(sort: str) -> Sequence[Noun]:
    """The nouns of one sort: those that can be counted, or (for amounts) those that are weighed and measured."""
    words = lexicon()
    if sort in ("animal", "dish"):
        return tuple(words.noun_of[name] for name in (HERDS if sort == "animal" else BOWLS))
    if sort in AMOUNTS:
        return tuple(noun for name in AMOUNTS[sort] for noun in words.nouns[name] if noun.mass or sort == "sacks")
    single = (noun for name in THINGS[sort] for noun in words.nouns[name] if not noun.mass)
    return tuple(noun for noun in single if noun.singular not in UNSOLD)


def _checked(question: str, equations: tuple[str, ...], answer: int, name: str) -> Problem:
    """The problem, once its printed form has been read back: sums that hold, numbers that are all used, one answer."""
    problem = Problem(question, equations, str(answer), name)
    used = set()
    for left, sign, right, result in STEP.findall(problem.working):
        assert counted(int(left), sign, int(right)) == int(result), f"{name}: {problem.working}"
        used |= {left, right}
    assert problem.working.endswith(f"= {answer}.")
    assert 0 < answer <= MOST
    assert set(re.findall(r"\d+", question)) <= used, f"{name}: a number of {question!r} is in no step"
    return problem


def _capital(text: str) -> str:
    """First letter in upper case, the rest unchanged."""
    return text[:1].upper() + text[1:]
