"""Answers from a collection of texts: find passages, put them into the prompt, and let the model copy.

What a model does not know it cannot be asked, but it can be given: a fact that changed yesterday, a document that is
nobody else's. The answer is then as good as what was found, so ``detail`` keeps the passages: they are also what a
reader can check. Left out: questions that need two passages that do not resemble them, and refusing to answer when
nothing fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from course_lib.errors import CourseError
from course_lib.generate import Decoding
from course_lib.prompting.answer import Answer, Examples, Record
from course_lib.prompting.retrieval import Hit, Index
from course_lib.prompting.strategies import k_shot
from course_lib.prompts import Template

if TYPE_CHECKING:
    from course_lib.generate import Writer


def with_passages(
    writer: Writer,
    template: Template,
    records: Sequence[Record],
    *,
    index: Index,
    examples: Examples = (),
    decoding: Decoding | None = None,
    k: int = 1,
    passages: int = 1,
    query: str = "question",
) -> list[Answer]:
    """Answer from the best ``passages`` of the index for each record's ``query``, which fill the field ``passage``.

    The best one stands last, next to the question. ``k`` is the number of ``examples`` shown, as far as there are any
    and they fit. Raises CourseError when the template does not use a passage.
    """
    if "passage" not in template.fields:
        raise CourseError(f"The template {template.name!r} has no field 'passage': choose one that is given a text.")
    found = index.search([str(record[query]) for record in records], passages)
    given = [{**record, "passage": joined(hits)} for record, hits in zip(records, found, strict=True)]
    shown = examples if callable(examples) else examples[:k]
    answers = k_shot(writer, template, given, examples=shown, decoding=decoding)
    return [
        replace(answer, detail={**answer.detail, "passages": tuple(hits)})
        for answer, hits in zip(answers, found, strict=True)
    ]


def joined(hits: Sequence[Hit]) -> str:
    """The passages as one text, the best one last; a sentence that two of them share stands once."""
    from course_lib.prompting.retrieval import sentences

    seen: dict[str, None] = {}
    for hit in reversed(hits):
        seen.update(dict.fromkeys(sentences(hit.passage.text)))
    return " ".join(seen)
