"""Lesson 02: a prompt with examples. The slips are what makes a small model lose the pattern."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Pairs = list[tuple[str, str]]


def prompt(examples: Pairs, question: str) -> str:
    """Rows "word : label", then the question's word with its colon; nothing behind it."""
    return "".join(f"{word} : {label}\n" for word, label in examples) + f"{question} :"


PROMPT_CASES = (
    Case(([("mango", "zomek"), ("carp", "tul")], "papaya")),
    Case(([("spoon", "rava"), ("lute", "bim"), ("fork", "rava")], "drum")),
    Case(([], "kettle"), "Without examples there is only the last line."),
    Case(([("teal", "okko")], "amber")),
)

PROMPT_SLIPS = (
    Slip("There is a space behind the last colon. The model's tokens for words begin with their space, so it would have"
         " to go on in the middle of one.", lambda e, q: prompt(e, q) + " "),
    Slip("There is a line end behind the last colon: then the answer seems to be over, and the model begins a new row.",
         lambda e, q: prompt(e, q) + "\n"),
    Slip("All rows stand in one line; the pattern that the model goes on with is one row a line.",
         lambda e, q: prompt(e, q).replace("\n", " ")),
    Slip("An empty line stands between the rows. Examples and question have to look alike, and so does what is between"
         " them.", lambda e, q: prompt(e, q).replace("\n", "\n\n")),
    Slip("The last word has no colon, so the model may go on with the word instead of its label.",
         lambda e, q: prompt(e, q).removesuffix(" :")),
    Slip("The colon stands directly behind the word; the rows have a space on both sides of it.",
         lambda e, q: prompt(e, q).replace(" :", ":")),
    Slip("The examples are not there: that is the prompt without any.", lambda e, q: f"{q} :"),
    Slip("The question stands before the examples. What the model writes follows the last line, so the question has to"
         " be there.", lambda e, q: f"{q} :\n" + prompt(e, "").removesuffix("\n :").removesuffix(" :")),
    Slip("The rows are the wrong way round: the word first, then its label.",
         lambda e, q: prompt([(label, word) for word, label in e], q)),
    Slip("The examples are in the opposite order; keep the order in which they are given.",
         lambda e, q: prompt(e[::-1], q)),
)  # fmt: skip


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{described(value)} where the text of the prompt is wanted")
    return value


def prompt_problems(answer: Any) -> list[str]:
    """What is wrong with a prompt."""
    return judge(answer, "prompt", PROMPT_CASES, prompt, PROMPT_SLIPS, _read_text, lambda a, b: a == b)


EXERCISE = Exercise(
    id="02-few-shot",
    title="A prompt with examples",
    prompt=(
        "`examples` is a list of pairs (word, label). Write a function that returns the prompt: one row `mango : zomek`"
        " for each example, in the order given, and in the last line the question's word and its colon, so that the"
        " label is what comes next. Nothing stands behind that colon."
    ),
    stub="def prompt(examples, question):\n    ...",
    hints=(
        'A row is `f"{word} : {label}\\n"`; join the rows of all examples.',
        'The last line is a row that is not finished: `f"{question} :"`, without a space and without a line end.',
        '`"".join(...)` of the rows, plus the last line; with no example the join is empty and nothing else changes.',
    ),
    code=(
        "def prompt(examples, question):\n"
        '    rows = [f"{word} : {label}\\n" for word, label in examples]\n'
        '    return "".join(rows) + f"{question} :"'
    ),
    why=(
        "A base model continues what it sees. Everything in which the last line differs from the others, even a space,"
        " is a reason not to continue the pattern. Most odd results of prompts with examples are of this kind, and they"
        " are invisible unless you print the prompt with `repr`."
    ),
    problems=prompt_problems,
)
