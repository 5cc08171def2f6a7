"""Quizzes: a few questions for each lesson, every choice explained, the score kept.

``quiz("03")`` reads ``assets/quiz/03.toml`` and shows itself: with widgets that need no mouse in a notebook, as text
elsewhere, and on a page that is only read, as questions whose answers fold out. ``quiz("03").answer(1, "b")`` answers
from any of them. A question with several right choices wants all of them and no other: ``answer(4, "ac")``.
"""

from __future__ import annotations

from typing import Any

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.teach import progress as keeping
from course_lib.teach import show
from course_lib.teach.questions import Question, Questions, read
from course_lib.teach.show import Note


class Quiz:
    """The quiz of a lesson and what the learner has answered."""

    def __init__(self, lesson: str, content: Questions) -> None:
        self.lesson, self.title, self.questions = lesson, content.title, content.questions

    def answer(self, number: int, letters: Any = None) -> Note:
        """Answer question ``number`` (from 1) with a letter, or several; says whether that is right, and why."""
        question = self._question(number)
        if letters is None or letters is Ellipsis:
            return Note(f"Question {number} is not answered yet: choose among {', '.join(question.letters)}.")
        chosen = _letters(letters)
        unknown = [letter for letter in chosen if letter not in question.letters]
        if unknown or not chosen:
            got = f"{unknown[0]!r}" if unknown else "nothing"
            raise CourseError(
                f"Question {number} has the choices {', '.join(question.letters)}; you chose {got}. Example:"
                f" quiz({self.lesson!r}).answer({number}, {question.letters[0]!r})."
            )
        store = keeping.progress()
        store.update("quiz", self.lesson, lambda record: _with_answer(record, question.id, chosen))
        note = feedback(question, chosen)
        more = f"\n{self.standing()}" + (f"\n{store.trouble}" if store.trouble else "")
        return Note(note.text + more, note.markup + show.rich(more), note.tone)

    def answered(self) -> dict[str, str]:
        """The letters chosen so far, by question; answers that fit no choice any more are left out."""
        kept = keeping.progress().read("quiz", self.lesson).get("answers")
        known = kept if isinstance(kept, dict) else {}
        return {
            q.id: known[q.id]
            for q in self.questions
            if isinstance(known.get(q.id), str) and known[q.id] and set(known[q.id]) <= set(q.letters)
        }

    def score(self) -> tuple[int, int, int]:
        """Questions answered right, answered at all, and in all."""
        answered = self.answered()
        right = sum(question.right == answered.get(question.id) for question in self.questions)
        return right, len(answered), len(self.questions)

    def standing(self) -> str:
        """The score as a sentence."""
        right, answered, total = self.score()
        return f"{right} of {total} right, {answered} answered."

    def reset(self) -> None:
        """Forget the answers to this quiz."""
        keeping.progress().update("quiz", self.lesson, lambda record: {**record, "answers": {}})

    def panel(self) -> Any:
        """The quiz as widgets, whether or not they can be shown here."""
        from course_lib.teach.quiz_panel import Panel

        return Panel(self)

    def html(self) -> str:
        """The quiz for reading: each answer and its reasons fold out."""
        items = "".join(f"<li style='margin:.6em 0'>{_folded(question)}</li>" for question in self.questions)
        note = f"<small>{show.escape(self.standing())} Run this cell to answer in the notebook.</small>"
        return show.block(f"<b>{show.escape(self.title)}</b><ol>{items}</ol>{note}", "info")

    def __str__(self) -> str:
        lines = [self.title]
        for number, question in enumerate(self.questions, 1):
            many = " (several choices are right)" if question.several else ""
            lines += ["", f"{number}. {question.text}{many}", *(f"   {c.letter}) {c.text}" for c in question.choices)]
        return "\n".join([*lines, "", self.standing(), f'Answer with quiz("{self.lesson}").answer(1, "b").'])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return show.bundle(str(self), self.html(), self.panel().widget if show.widgets_work() else None)

    def _question(self, number: int) -> Question:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self.questions):
            raise CourseError(
                f"There is no question {number!r}; this quiz has the questions 1 to {len(self.questions)}."
            )
        return self.questions[number - 1]


def quiz(lesson: str | int) -> Quiz:
    """The quiz of a lesson, for example ``quiz("03")``; CourseError names the lessons that have one."""
    key = keeping.lesson_key(lesson)
    folder = asset("quiz")
    path = folder / f"{key}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise CourseError(f"Lesson {lesson!r} has no quiz; there is one for {known}.")
    return Quiz(key, read(path))


def right_answers(lesson: str) -> tuple[int, int] | None:
    """How many questions of a lesson's quiz are answered right, and how many there are; None without a quiz."""
    if not (asset("quiz") / f"{keeping.lesson_key(lesson)}.toml").is_file():
        return None
    right, _, total = quiz(lesson).score()
    return right, total


def feedback(question: Question, chosen: str) -> Note:
    """Whether the chosen letters are right, and why; once they are, every other choice is explained too."""
    right = chosen == question.right
    picked = [c for c in question.choices if c.letter in chosen]
    lines = [f"{c.letter}) {c.why}" for c in picked]
    if right:
        verdict = "Right."
        lines += [f"Not {c.letter}) {c.why}" for c in question.choices if c.letter not in chosen]
    elif question.several and all(c.right for c in picked):
        verdict = "Right so far, but not all of it."
    else:
        verdict = "Not right; try again."
    markup = f"<b>{verdict}</b><br>{show.rich(chr(10).join(lines))}"
    return Note("\n".join([verdict, *lines]), markup, "right" if right else "wrong")


def _letters(letters: Any) -> str:
    """Letters in order and lower case, from ``"b"``, ``"AC"``, ``"a, c"`` or ``["a", "c"]``."""
    try:
        joined = "".join(str(letter) for letter in letters)
    except TypeError:
        joined = str(letters)
    return "".join(sorted({letter for letter in joined.lower() if letter.isalnum()}))


def _with_answer(record: keeping.Record, id: str, chosen: str) -> keeping.Record:
    known = record.get("answers")
    return {**record, "answers": {**(known if isinstance(known, dict) else {}), id: chosen}}


def _folded(question: Question) -> str:
    choices = "".join(f"<li>{show.rich(choice.text)}</li>" for choice in question.choices)
    whys = "".join(f"<li>{'<b>Right.</b> ' if c.right else ''}{show.rich(c.why)}</li>" for c in question.choices)
    folded = f"<details><summary>Answer and reasons</summary><ol type='a'>{whys}</ol></details>"
    return f"{show.rich(question.text)}<ol type='a'>{choices}</ol>{folded}"
