"""Exercises that check themselves.

``check(id, answer)`` says what is wrong with an answer, ``hint(id)`` gives the next hint, ``solution(id)`` the solution
and why it is one, ``progress(lesson)`` what is done. An answer that is still the stub is "not attempted yet" and
stops nothing. The exercises themselves are in `exercise_bank`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from course_lib.errors import CourseError
from course_lib.teach import progress as keeping
from course_lib.teach import show
from course_lib.teach.exercise_bank import LESSONS
from course_lib.teach.judging import Exercise, Unattempted, Wrong, is_stub, raised
from course_lib.teach.show import Note


@dataclass(frozen=True)
class Verdict(Note):
    """What a check found. ``status`` is ``"unattempted"``, ``"wrong"`` or ``"right"``."""

    status: str = "unattempted"
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self.status == "right"

    __repr__ = Note.__repr__


def ids(lesson: str | int) -> tuple[str, ...]:
    """The exercises of a lesson in their order; none if the lesson has none."""
    return tuple(_bank(keeping.lesson_key(lesson)))


def exercise(id: str) -> Exercise:
    """The exercise with this id, for example ``"03-wilson"``; CourseError names those that exist."""
    found = _bank(keeping.lesson_key(id)).get(id)
    if found is None:
        known = [name for lesson in LESSONS for name in _bank(lesson)]
        near = difflib.get_close_matches(str(id), known, 1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
        raise CourseError(f"There is no exercise {id!r}; {meant}")
    return found


def prompt(id: str) -> Note:
    """The task of an exercise and the cell to begin with."""
    task = exercise(id)
    markup = f"<b>{show.escape(task.title)}</b><br>{show.rich(task.prompt)}{show.code(task.stub)}"
    return Note(f"{task.title}\n{task.prompt}\n\n{task.stub}", markup, "info")


def check(id: str, answer: Any = None) -> Verdict:
    """Judge an answer. Never raises because of the answer, whatever it is."""
    task = exercise(id)
    status, problems = _judged(task, answer)
    if status == "unattempted":
        text = f"Put your answer in place of `...` and run the cell again.\nA hint: `exercises.hint({id!r})`"
        return _verdict("Not attempted yet", task, text, status, ())
    store = keeping.progress()
    store.update("exercises", id, lambda record: _attempted(record, status))
    trouble = f"\n{store.trouble}" if store.trouble else ""
    if status == "right":
        lesson = keeping.lesson_key(id)
        done = sum(_passed(name) for name in ids(lesson))
        text = f"{done} of the {len(ids(lesson))} exercises of lesson {lesson} done.{trouble}"
        return _verdict("Right", task, text, status, ())
    listed = "\n".join(f"- {problem}" for problem in problems)
    text = f"{listed}\nA hint: `exercises.hint({id!r})`{trouble}"
    return _verdict("Not yet", task, text, status, tuple(problems))


def hint(id: str) -> Note:
    """The next hint; after the last one, the last again."""
    task, store = exercise(id), keeping.progress()
    record = store.update("exercises", id, lambda known: {**known, "hints": keeping.count(known, "hints") + 1})
    number = min(keeping.count(record, "hints"), len(task.hints))
    text = f"Hint {number} of {len(task.hints)}: {task.hints[number - 1]}"
    if number == len(task.hints):
        text += f"\nThat was the last hint. The solution: `exercises.solution({id!r})`"
    return Note(text, tone="info")


def solution(id: str, sure: bool = False) -> Note:
    """The solution and why it is one. Who has not tried yet is asked once; ``sure=True`` skips that."""
    task, store = exercise(id), keeping.progress()
    record = store.read("exercises", id)
    if not (sure or keeping.count(record, "attempts") or record.get("asked")):
        store.update("exercises", id, lambda known: {**known, "asked": True})
        return Note(
            f"You have not tried {id!r} yet, and a wrong try teaches more than a right copy."
            f" A hint: `exercises.hint({id!r})`. Run this line once more to see the solution all the same.",
            tone="info",
        )
    store.update("exercises", id, lambda known: {**known, "solution": True})
    markup = f"<b>{show.escape(task.title)}</b>{show.code(task.code)}{show.rich(task.why)}"
    return Note(f"{task.title}\n\n{task.code}\n\n{task.why}", markup, "info")


def progress(lesson: str | int | None = None) -> Note:
    """How far a lesson has come, or without a name every lesson: exercises done, questions right."""
    parts = [_lesson_progress(key) for key in ([keeping.lesson_key(lesson)] if lesson is not None else list(LESSONS))]
    return Note("\n".join(part.text for part in parts), "".join(part.markup for part in parts), "info")


def _judged(task: Exercise, answer: Any) -> tuple[str, list[str]]:
    if answer is None or answer is Ellipsis:
        return "unattempted", []
    try:
        if is_stub(answer):
            return "unattempted", []
        problems = task.problems(answer)
    except Unattempted:
        return "unattempted", []
    except Wrong as wrong:
        problems = [str(wrong)]
    except Exception as error:  # an answer can be an object that raises when it is merely looked at
        problems = [f"Your answer cannot be read: {raised(error)}."]
    return ("wrong" if problems else "right"), problems


def _verdict(word: str, task: Exercise, text: str, status: str, problems: tuple[str, ...]) -> Verdict:
    tone = status if status in show.COLOURS else "plain"
    markup = f"<b>{word}</b>: {show.escape(task.title)}<br>{show.rich(text)}"
    return Verdict(f"{word}: {task.title}\n{text}", markup, tone, status, problems)


def _attempted(record: keeping.Record, status: str) -> keeping.Record:
    """One more attempt; what was once right stays right."""
    passed = status == "right" or record.get("passed") is True
    return {**record, "attempts": keeping.count(record, "attempts") + 1, "passed": passed}


def _passed(id: str) -> bool:
    return keeping.progress().read("exercises", id).get("passed") is True


def _lesson_progress(lesson: str) -> Note:
    from course_lib.teach import quiz

    states = [(task, _state(task.id)) for task in _bank(lesson).values()]
    done, right = sum(state == "done" for _, state in states), quiz.right_answers(lesson)
    text = [f"Lesson {lesson}", _bar("exercises", done, len(states)), *(f"  {t.id:20}{state}" for t, state in states)]
    markup = [f"<b>Lesson {lesson}</b>", _meter("exercises done", done, len(states)), "<ul style='margin:.2em 0'>"]
    markup += [f"<li>{show.escape(task.title)}: {state}</li>" for task, state in states] + ["</ul>"]
    if right is not None:
        text.append(_bar("quiz", *right))
        markup.append(_meter("quiz questions right", *right))
    return Note("\n".join(text), "".join(markup), "info")


def _state(id: str) -> str:
    record = keeping.progress().read("exercises", id)
    if record.get("passed") is True:
        return "done"
    tries = keeping.count(record, "attempts")
    return f"not yet right ({tries} {'try' if tries == 1 else 'tries'})" if tries else "not attempted"


def _bar(what: str, done: int, total: int) -> str:
    filled = round(20 * done / total) if total else 0
    return f"  {what:10}[{'#' * filled}{'.' * (20 - filled)}] {done} of {total}"


def _meter(what: str, done: int, total: int) -> str:
    return (
        f'<div><progress value="{done}" max="{max(1, total)}" aria-label="{what}" style="width:11em"></progress> '
        f"{done} of {total} {what}</div>"
    )


@cache
def _bank(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson by id; their modules are imported when they are first asked for."""
    modules = [import_module(f"course_lib.teach.exercise_bank.{name}") for name in LESSONS.get(lesson, ())]
    return {module.EXERCISE.id: module.EXERCISE for module in modules}
