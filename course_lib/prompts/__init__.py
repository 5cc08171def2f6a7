"""Prompts: a record goes in, the text that a model continues comes out.

A prompt is a function of a record, and writing it as one (a template, stored as data) is what makes an experiment out
of a hunch: the wording can be changed alone, everything else stays. One record gives several tasks: the same review
can be rated, given a headline, or written anew from its headline.

`template` is one wording: a text with the record's fields in braces and a mark between what is given and what is asked
for; it also builds prompts with examples and reads the answer out of what a model wrote. `tasks` are the templates that
come with the course (assets/prompts). `sandbox` is why anybody's template can be run: it can fill in, choose and repeat
over a short list, and nothing else. `chat` writes conversations the way a model was trained on them, and says which of
the tokens are learned (lesson 04).
"""

from course_lib.prompts.chat import TEMPLATES, Chat, Encoded
from course_lib.prompts.tasks import Task, task, tasks
from course_lib.prompts.template import MARK, Example, Template, few_shot

__all__ = ["MARK", "TEMPLATES", "Chat", "Encoded", "Example", "Task", "Template", "few_shot", "task", "tasks"]
