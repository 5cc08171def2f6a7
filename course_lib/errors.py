"""The one exception that is meant for people.

A `CourseError` is a mistake that its reader can mend: a misspelt column, a model that is not there, a full disk. Its
text is one sentence that says what is wrong and what to do. The command line prints it and exits with 2; a notebook
shows the sentence without a traceback. Everything else that is raised is a defect of the course.
"""

from __future__ import annotations


class CourseError(Exception):
    """A mistake the reader can mend; ``str(error)`` is the sentence to show."""

    def _render_traceback_(self) -> list[str]:
        """IPython's hook for exceptions that know how to show themselves: the sentence, no frames."""
        return [f"Not possible: {self}"]
