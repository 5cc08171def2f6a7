"""Lesson 04: from a model that continues text to one that answers.

A base model continues; shown some hundred questions with their answers it learns to answer, and to stop. A run passes
through these rooms: `examples` (what is learned, what is tested), `models` (what learns, in which numbers: `settings`),
`tune` (the loss, the loop), `assistant` (asking), `finetune` (all of it from a file to a folder, with its `card`).
`attention`, `surprise` and `fused` make it fast and change numbers by rounding only. `domain` is continued pretraining.

What a tuned model is worth: `forgetting` (what it lost), `judge` and `verdicts` (what another model says of it),
`selfinstruct` and `proposals` (data that it makes itself); `asking` is what these share. `runs` has a line for each
experiment of the lesson.

Left out: preferences between answers, and adapters from scratch, which are lessons of their own.
"""

from course_lib.instruct.runs import Tuned, conversation, load_records, report, scored, train_on
from course_lib.instruct.settings import Tuning

__all__ = ["Tuned", "Tuning", "conversation", "load_records", "report", "scored", "train_on"]
