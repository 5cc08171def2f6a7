"""Lesson 04: F1 over words. The slips are its neighbours: sets, one side alone, other ways to weigh both."""

from __future__ import annotations

from collections import Counter
from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, close, judge, number

Words = list[str]


def _common(answer: Words, reference: Words) -> int:
    return sum((Counter(answer) & Counter(reference)).values())


def token_f1(answer: Words, reference: Words) -> float:
    """2 * common / (words of both), each word counted as often as both have it."""
    return 2 * _common(answer, reference) / (len(answer) + len(reference))


def _words(text: str) -> Words:
    return text.split()


F1_CASES = (
    Case((_words("the old bridge"), _words("the bridge of Vell"))),
    Case((_words("in the town hall behind the market"), _words("the town hall"))),
    Case(
        (_words("very very very good bread"), _words("very good bread")),
        "A word that the reference has once is common once, however often the answer repeats it.",
    ),
    Case((_words("step by step"), _words("by and by step by step"))),
    Case((_words("seven"), _words("seven"))),
    Case((_words("bridge the"), _words("the bridge"))),
    Case((_words("no idea"), _words("the miller")), "With no word in common the score is 0."),
    Case(([], _words("the miller")), "An answer without words scores 0 and raises nothing."),
)


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


def _longest(answer: Words, reference: Words) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(reference) + 1)
    for word in answer:
        before = row
        row = [0]
        for j, other in enumerate(reference):
            row.append(before[j] + 1 if word == other else max(row[-1], before[j + 1]))
    return row[-1]


F1_SLIPS = (
    Slip("That is precision: the share of the answer's words that are right. A single right word would be perfect;"
         " F1 also asks how much of the reference is there.", lambda a, r: _ratio(_common(a, r), len(a))),
    Slip("That is recall: the share of the reference's words that the answer has. Writing down the whole dictionary"
         " would be perfect; F1 also asks how much of the answer is right.", lambda a, r: _common(a, r) / len(r)),
    Slip("You count each word once (`set`), so an answer may repeat itself for nothing. Count a word as often as both"
         " have it.", lambda a, r: 2 * len(set(a) & set(r)) / (len(set(a)) + len(set(r)))),
    Slip("The common words are a set but the lengths are not. Count a common word as often as both have it.",
         lambda a, r: 2 * len(set(a) & set(r)) / (len(a) + len(r))),
    Slip("A repeated word of the answer counts as common each time, even where the reference has it once:"
         " `Counter(answer) & Counter(reference)` takes the smaller count.",
         lambda a, r: 2 * sum(word in r for word in a) / (len(a) + len(r))),
    Slip("That is the Jaccard index, common / (all different words); F1 is 2 * common / (both lengths).",
         lambda a, r: len(set(a) & set(r)) / len(set(a) | set(r))),
    Slip("You take the mean of precision and recall. F1 is their harmonic mean, 2PR / (P + R), which is low as soon as"
         " one of them is.", lambda a, r: (_ratio(_common(a, r), len(a)) + _common(a, r) / len(r)) / 2),
    Slip("A factor of 2 is missing: an answer equal to the reference gets 0.5.",
         lambda a, r: token_f1(a, r) / 2),
    Slip("You compare the words place by place. F1 over words does not mind where a word stands.",
         lambda a, r: 2 * sum(x == y for x, y in zip(a, r, strict=False)) / (len(a) + len(r))),
    Slip("That is ROUGE-L: it wants the common words in the same order. F1 over words does not mind the order.",
         lambda a, r: 2 * _longest(a, r) / (len(a) + len(r))),
    Slip("That is exact match, which gives nothing for half an answer.", lambda a, r: float(a == r)),
    Slip("That is in percent; return a share between 0 and 1.", lambda a, r: 100 * token_f1(a, r)),
)  # fmt: skip


def f1_problems(answer: Any) -> list[str]:
    """What is wrong with an F1 over words."""
    return judge(answer, "token_f1", F1_CASES, token_f1, F1_SLIPS, number, close(2e-3))


EXERCISE = Exercise(
    id="04-token-f1",
    title="How much of the answer is right?",
    prompt=(
        "`answer` and `reference` are lists of words, already in lower case and without punctuation. Write a function"
        " that returns F1 over words: twice the number of common words, divided by the number of words of both"
        " together. A word is common as often as *both* have it. The reference is never empty, the answer may be."
    ),
    stub="def token_f1(answer, reference):\n    ...",
    hints=(
        "Sets forget how often a word occurs. What would the answer `very very very very` then score against `very"
        " good`?",
        "`collections.Counter` counts words; `Counter(answer) & Counter(reference)` keeps the smaller count of each.",
        "`common = sum((Counter(answer) & Counter(reference)).values())`, then `2 * common / (len(answer) +"
        " len(reference))`.",
    ),
    code=(
        "from collections import Counter\n\n"
        "def token_f1(answer, reference):\n"
        "    common = sum((Counter(answer) & Counter(reference)).values())\n"
        "    return 2 * common / (len(answer) + len(reference))"
    ),
    why=(
        "2PR / (P + R) with P = common / answer and R = common / reference comes to 2 * common / (answer + reference),"
        " and in this form nothing is divided by zero. The measure gives credit for half an answer, and it gives it"
        " blindly: `the bridge is not old` and `the bridge is old` share 4 of 5 and 4 words, which makes 8 / 9. Where a"
        " single word turns the meaning, only exact match notices."
    ),
    problems=f1_problems,
)
