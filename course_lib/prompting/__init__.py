"""Lesson 02: what a base model can do without training it, and what each way to ask costs.

`strategies` are ways to ask (from nothing but the question to voting), `tree` searches, `retrieval` finds passages and
`grounded` answers from them, `puzzle` is a task that needs search; `evaluate` measures a strategy, `cost` turns tokens
into money, and `guide` says what to try first. `answer` has what they share,
`examples` the rows that a worksheet brings along.
"""

from course_lib.prompting.answer import Answer, Strategy, same
from course_lib.prompting.evaluate import Difference, Measured, across_wordings, difference, measure
from course_lib.prompting.examples import own_rows
from course_lib.prompting.grounded import with_passages
from course_lib.prompting.retrieval import Passage, VectorIndex, WordIndex, chunk, embed, misspelt, recall
from course_lib.prompting.strategies import choose, k_shot, self_consistency, step_by_step, zero_shot
from course_lib.prompting.tree import best_of, tree_of_thoughts

__all__ = [
    "Answer",
    "Difference",
    "Measured",
    "Passage",
    "Strategy",
    "VectorIndex",
    "WordIndex",
    "across_wordings",
    "best_of",
    "choose",
    "chunk",
    "difference",
    "embed",
    "k_shot",
    "measure",
    "misspelt",
    "own_rows",
    "recall",
    "same",
    "self_consistency",
    "step_by_step",
    "tree_of_thoughts",
    "with_passages",
    "zero_shot",
]
