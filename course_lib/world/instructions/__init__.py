"""The course's own instruction data: tasks that the world can set, answer and check.

`kind` says what a kind of task is, `words`, `rewriting`, `reading` and `sheets` have the kinds by theme, `questions`
reads answers out of texts as the second route, `mixing` draws records of one kind or of all, and `noise` spoils some
of them in known ways.
"""

from course_lib.world.instructions.kind import Kind, split_of
from course_lib.world.instructions.mixing import KINDS, checked, items, mixture, task_of
from course_lib.world.instructions.noise import noisy

__all__ = ["KINDS", "Kind", "checked", "items", "mixture", "noisy", "split_of", "task_of"]
