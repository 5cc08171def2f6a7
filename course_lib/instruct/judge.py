"""A model as a judge: which of two systems answers better, and how far its word can be trusted.

Where no exact metric exists, people let a model choose between two answers. Strong ones agree with people as often as
people agree with each other, in four of five cases; but judges also have habits: they prefer the answer that they see
first (or last), the longer one, and the one in their own style (Zheng et al. 2023). So every pair is judged twice, with
the positions swapped:

    both times the same answer      a win for the system that gave it
    both times the same position    the position decided: counted as a tie, and reported as position bias

Three ways to judge, with one signature (`pairwise`):

    labels       the likelihood of "A" and of "B" as the reply: always a verdict, also from a small model
    written      the reply is written and read; what cannot be read is counted
    likelihood   no question about answers at all: how likely the judge itself would have answered so, per token. It has
                 no positions and hence no position bias, but all the more of its own style

On items that have an exact metric, `Verdicts.agreement` compares the judge with it, and with judges that need no model:
the longer answer, always the same system, a coin.

Left out: grades for single answers, and explanations before the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from course_lib.errors import CourseError
from course_lib.instruct.asking import Asked, Record, messages, question
from course_lib.instruct.verdicts import Choice, How, Pair, Verdicts
from course_lib.prompts import Template, task

_BRACKETS = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
_NAMING = r"(?:the\s+)?(?:(?:better|final|best|answer|assistant|option|response|verdict|winner|is)\b\W*)*"
_OPENING = re.compile(rf"\W*(?i:{_NAMING})\b(A|B|[Tt]ie|TIE)\b(?=[ \t]*(?:$|[^\w\t ])|\s+(?:is|was|has|wins|gives)\b)")
_MENTION = re.compile(
    r"\b(B|[Tt]ie|TIE)\b|\b(A)\b(?!\s+(?!or\b|and\b)[a-z])"
)  # "A" before a word is most often an article


def pairwise(
    judge: Asked,
    items: Sequence[Record],
    first: Sequence[str],
    second: Sequence[str],
    *,
    how: How = "labels",
    template: Template | None = None,
    batch_size: int = 32,
) -> Verdicts:
    """Let ``judge`` choose between the answers of a first and a second system to ``items``, in both orders.

    ``template`` is the question (assets/prompts/judge.toml has some: ``task("judge/pairwise")``), with the fields
    question, first, second and, if it likes, reference (the item's output). "labels" compares the template's first two
    choices. Raises CourseError for another ``how`` and for answers that do not belong to the items.
    """
    if how not in get_args(How):
        raise CourseError(f"how must be one of {', '.join(get_args(How))}, not {how!r}.")
    if not len(items) == len(first) == len(second):
        raise CourseError(
            f"Each of the {len(items)} items needs an answer of both systems; there are {len(first)} and {len(second)}."
        )
    pairs = [Pair(one, other, "tie", "tie") for one, other in zip(first, second, strict=True)]
    todo = [k for k, pair in enumerate(pairs) if pair.asked]
    shown = [(items[k], pairs[k].first, pairs[k].second) for k in todo]
    if how == "likelihood":
        judged = _by_likelihood(judge, shown)
    elif how == "labels":
        judged = _by_labels(judge, shown, template or task("judge/pairwise").main)
    else:
        judged = _by_writing(judge, shown, template or task("judge/pairwise").wording("written"), batch_size)
    for k, (original, swapped, margin) in zip(todo, judged, strict=True):
        pairs[k] = Pair(pairs[k].first, pairs[k].second, original, swapped, margin)
    return Verdicts(how, tuple(pairs))


def read_verdict(text: str) -> str:
    """What a written reply says: "A", "B", "tie", or "" where that is not certain.

    The marks [[A]], a reply that begins with its verdict, and one that names only one of the three are understood.

    >>> [read_verdict(text) for text in ("B", "Answer A is better.", "A good reply, but [[B]]", "A or B, who knows")]
    ['B', 'A', 'B', '']
    """
    if found := _BRACKETS.search(text):
        return {"a": "A", "b": "B"}.get(found[1].lower(), "tie")
    if found := _OPENING.match(text):
        return found[1] if found[1] in "AB" else "tie"
    named = {(one or other).lower() for one, other in _MENTION.findall(text)}
    return {"a": "A", "b": "B", "tie": "tie"}[named.pop()] if len(named) == 1 else ""


# -- the three ways --------------------------------------------------------------------------------------------------

Shown = tuple[Record, str, str]  # an item and the two answers
Judged = tuple[Choice, Choice, float | None]


def _prompts(shown: Sequence[Shown], template: Template) -> list[list[dict[str, str]]]:
    """The judge's prompts: of each item that with the first system's answer in front, then that with the second's."""
    made = []
    for item, *answers in shown:
        for front, behind in (answers, answers[::-1]):
            fields = {"question": question(item), "first": front.strip(), "second": behind.strip()}
            prompt = template.prompt({**fields, "reference": str(item.get("output", ""))})
            made.append([{"role": "user", "content": prompt.strip()}])
    return made


def _by_labels(judge: Asked, shown: Sequence[Shown], template: Template) -> list[Judged]:
    labels = template.options({})[:2]
    if len(labels) < 2:
        raise CourseError(f"The template {template.name!r} needs two choices, one for each position.")
    front, behind = labels
    scores = judge.scores([(prompt, label) for prompt in _prompts(shown, template) for label in (front, behind)])
    leads = [scores[k] - scores[k + 1] for k in range(0, len(scores), 2)]  # of the answer in front
    return [
        (_preferred(here), _preferred(-there), (here - there) / 2)
        for here, there in zip(leads[::2], leads[1::2], strict=True)
    ]


def _by_writing(judge: Asked, shown: Sequence[Shown], template: Template, batch_size: int) -> list[Judged]:
    written = judge.answer(_prompts(shown, template), max_new=template.max_new, batch_size=batch_size)
    original: dict[str, Choice] = {"A": "first", "B": "second", "tie": "tie", "": "unclear"}
    swapped: dict[str, Choice] = {**original, "A": "second", "B": "first"}
    verdicts = [read_verdict(text) for text in written]
    return [(original[here], swapped[there], None) for here, there in zip(verdicts[::2], verdicts[1::2], strict=True)]


def _by_likelihood(judge: Any, shown: Sequence[Shown]) -> list[Judged]:
    answers = [(messages(item), answer.strip()) for item, *both in shown for answer in both]
    # The end of the answer is scored, too, and is one more token.
    sizes = [len(judge.tokenizer.encode(answer, add_special_tokens=False)) + 1 for _, answer in answers]
    scores = [score / size for score, size in zip(judge.scores(answers), sizes, strict=True)]
    leads = [scores[k] - scores[k + 1] for k in range(0, len(scores), 2)]
    return [(_preferred(lead), _preferred(lead), lead) for lead in leads]


def _preferred(lead: float) -> Choice:
    return "first" if lead > 0 else "second" if lead < 0 else "tie"
