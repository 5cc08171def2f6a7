"""The toolchain of the notebooks: from a source file that people edit to an executed notebook that people read.

    notebooks/source/NN_name.py  --build-->  notebooks/NN_name.ipynb  --run-->  build/lessons/NN_name.ipynb

The source is a Python file in the percent format: cells begin with ``# %%`` (code) or ``# %% [markdown]``, and may have
tags: ``# %% tags=["solution"]``. One source has two readings, the learner's and the instructor's:

| tag | the learner's notebook (committed) | the instructor's build |
|---|---|---|
| ``setup`` | the setup cell, written in one place for all lessons; its body in the source is empty | the same |
| ``solution`` | a stub | the solution |
| ``instructor`` | left out | kept; speaker notes in the slides |
| ``slide``, ``subslide``, ``fragment``, ``skip``, ``notes`` | | where the slides break |

A ``solution`` cell either names an exercise, ``# exercise: 03-wilson``, whose stub and solution then come from the
exercises' own file, or holds the solution with its stub in comments: the lines that begin with ``# stub:`` are the
learner's cell, all others the instructor's. The check stands in the next cell, which both readings share. In the slides
a heading begins a new slide without a tag.

Importing this package imports only the catalog: the setup cell must run before anything else is installed.
"""

from course_lib.lessons.catalog import Lesson, find, home, lessons, repository

__all__ = ["Lesson", "find", "home", "lessons", "repository"]
