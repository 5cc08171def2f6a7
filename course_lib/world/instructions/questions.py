"""Answers read from the text alone: a question on a passage, a word problem. The second route to both.

A question is recognised by the wordings of `world.sentences`, a story by those of `world.problem_stories` and
`world.problem_scenes`, all of them taken as patterns. What no pattern fits, or two fit with different answers, has no
answer here (None): this reader says only what it is sure of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

from course_lib.world.instructions.kind import compiled
from course_lib.world.lexicon import lexicon
from course_lib.world.problem_scenes import JOINS, SCENES, Scene
from course_lib.world.problem_stories import STORIES, Story
from course_lib.world.problem_sums import counted
from course_lib.world.scenes import STAND_INS
from course_lib.world.sentences import SLOT, read, relations

NAMED = re.compile(r"(?:\bthe )?\b[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
NUMBER = dict.fromkeys(("N", "a", "b", "c", "d", "e"), r"\d+")
PRONOUNS = {"he": "he|she", "him": "him|her", "his": "his|her", "He": "He|She"}


# ---- questions on a passage ------------------------------------------------------------------------------------------


def answer_in(passage: str, question: str) -> str | None:
    """What the passage answers, None when the question is none of the world's or the passage has not one answer."""
    answers = {
        answer for relation, slot, given in _asked(question) for answer in _found(passage, relation, slot, given)
    }
    return answers.pop() if len(answers) == 1 else None


def _asked(question: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The relations that a question may be about, each with the slot that it asks for and those that it gives."""
    for name, slot, pattern, with_article in _patterns():
        if found := pattern.fullmatch(question):
            given = found.groupdict()
            yield name, slot, given | {one: re.sub(r"^an? ", "", given[one]) for one in with_article}


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str], tuple[str, ...]], ...]:
    """Every question of every relation: relation, slot asked for, pattern, slots that have an article."""
    return tuple(
        (
            relation.name,
            one.slot,
            compiled(SLOT.sub(r"{\1}", one.wording), flags=re.IGNORECASE),
            tuple(match[1] for match in SLOT.finditer(one.wording) if match[2]),
        )
        for relation in relations().values()
        for one in relation.questions
    )


def _found(passage: str, relation: str, slot: str, given: dict[str, str]) -> set[str]:
    kind = relation.partition(".")[0]
    stand_ins = STAND_INS.get(kind, ())
    names = [given["s"]] if "s" in given else []
    for name in NAMED.findall(passage):
        name = name.removesuffix("'s")
        if name.lower() not in lexicon().words and not any(name in known or known in name for known in names):
            names.append(name)
    subjects = {name: ("he", "she", "it", *stand_ins) for name in names}
    wanted = {key: value.lower() for key, value in given.items()}
    statements = read(passage, relation, subjects)
    return {
        one[slot]
        for one in statements
        if slot in one and all(one.get(key, "").lower() == value for key, value in wanted.items())
    }


# ---- word problems ---------------------------------------------------------------------------------------------------


def solve(question: str) -> int | None:
    """The answer of a word problem, None when it is none of the world's or can be read in two ways."""
    answers = {answer for answer in (*_as_story(question), *_as_scene(question)) if answer is not None}
    if len(answers) != 1:
        return None
    answer = answers.pop()
    return int(answer) if answer.denominator == 1 else None


def _as_story(question: str) -> Iterator[Fraction | None]:
    for story, wording in _wordings():
        found = _sentence(wording).fullmatch(question)
        if found:
            numbers = {name: Fraction(value) for name, value in found.groupdict().items() if name in NUMBER}
            yield Fraction(story.rule(**numbers))


@cache
def _wordings() -> tuple[tuple[Story, str], ...]:
    return tuple((story, wording) for group in STORIES.values() for story in group for wording in story.wordings)


def _as_scene(question: str) -> Iterator[Fraction | None]:
    """Follow the events of every scene that begins like the question."""
    told = re.split(r"(?<=[.?]) ", question)
    for scene in SCENES:
        opening = next((m for text in scene.opening if (m := _sentence(text).fullmatch(told[0]))), None)
        if opening and len(told) > 2:
            yield _followed(scene, int(opening["N"]), told[1:-1], told[-1])


def _followed(scene: Scene, value: int, events: list[str], asked: str) -> Fraction | None:
    shares = [text for text, end in scene.share if _sentence(end).fullmatch(asked)]
    signs = {"+": scene.plus, "-": scene.minus, "*": scene.times, "/": tuple(shares)}
    for k, event in enumerate(events):
        plain = _without_join(event)
        found = [(sign, m) for sign, texts in signs.items() for text in texts if (m := _event(text).fullmatch(plain))]
        if len({sign for sign, _ in found}) != 1 or (found[0][0] == "/" and k < len(events) - 1):
            return None
        value = counted(value, found[0][0], int(found[0][1]["N"]))
    ended = shares or any(_sentence(text).fullmatch(asked) for text in scene.question)
    return Fraction(value) if ended and value >= 0 else None


def _without_join(event: str) -> str:
    for join in sorted(set(JOINS), key=len, reverse=True):
        if join and event.startswith(join):
            return event.removeprefix(join)
    return event


@cache
def _sentence(pattern: str) -> re.Pattern[str]:
    return compiled(pattern, (*NUMBER.items(), *PRONOUNS.items()), re.IGNORECASE)


def _event(pattern: str) -> re.Pattern[str]:
    return _sentence(pattern + ".")
