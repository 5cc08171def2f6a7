"""A quiz as widgets: one question at a time, answered with Tab, the arrow keys and Space.

Only core widgets of ipywidgets 7.7 and 8 are used. The choices are real radio buttons (check boxes where several are
right), and what happens is also said in a live region, which screen readers speak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from course_lib.teach import show
from course_lib.teach.questions import Question
from course_lib.teach.show import Note

if TYPE_CHECKING:
    from course_lib.teach.quiz import Quiz

# Radio buttons and check boxes come with a fixed width and height that would cut sentences off.
LOOK = show.style(
    "course-quiz",
    """
.course-quiz { max-width: 720px; padding: 4px 0 4px 12px; border-left: 4px solid #0072b2; overflow: visible }
.course-quiz .widget-radio, .course-quiz .widget-radio-box { width: auto; max-width: 100%; height: auto }
.course-quiz .widget-radio-box label, .course-quiz .widget-checkbox label {
  display: flex; align-items: flex-start; height: auto; width: auto; margin: 0 0 6px 0; line-height: 1.45;
  white-space: normal; font-size: inherit }
.course-quiz .widget-radio-box label input, .course-quiz .widget-checkbox label input {
  order: -1; flex: none; float: none; height: auto; margin: 2px 8px 0 0 }
.course-quiz .widget-checkbox { width: auto; height: auto }
.course-quiz .widget-html-content { line-height: 1.45; font-size: inherit }
""",
)


class Panel:
    """The widgets of a quiz. ``widget`` is the whole; the rest is there for tests and the curious."""

    def __init__(self, quiz: Quiz) -> None:
        import ipywidgets

        self.quiz, self.at = quiz, 0
        self._feedback: dict[str, Note] = {}
        self.head, self.status = ipywidgets.HTML(), ipywidgets.HTML()
        self.body = ipywidgets.VBox()
        self.check, self.back, self.next = (
            ipywidgets.Button(description=text) for text in ("Check answer", "Back", "Next")
        )
        self.check.button_style = "primary"
        self.check.on_click(self._guarded(self._check))
        self.back.on_click(self._guarded(lambda: self.show(self.at - 1)))
        self.next.on_click(self._guarded(lambda: self.show(self.at + 1)))
        answered = quiz.answered()
        self.choices = [_choices(question, answered.get(question.id, "")) for question in quiz.questions]
        buttons = ipywidgets.HBox([self.check, self.back, self.next])
        self.widget = ipywidgets.VBox([ipywidgets.HTML(LOOK), self.head, self.body, buttons, self.status])
        self.widget.add_class("course-quiz")
        self.show(0)

    def show(self, at: int) -> None:
        """Turn to a question, counted from 0."""
        import ipywidgets

        self.at = max(0, min(at, len(self.quiz.questions) - 1))
        question = self.quiz.questions[self.at]
        self.body.children = (ipywidgets.HTML(f"<p>{show.rich(question.text)}</p>"), *self.choices[self.at])
        self.back.disabled, self.next.disabled = self.at == 0, self.at == len(self.quiz.questions) - 1
        self._say(self._feedback.get(question.id))

    def chosen(self) -> str:
        """The letters chosen in the question that is shown."""
        boxes = self.choices[self.at]
        if len(boxes) == 1:
            return boxes[0].value or ""
        letters = self.quiz.questions[self.at].letters
        return "".join(letter for letter, box in zip(letters, boxes, strict=True) if box.value)

    def _check(self) -> None:
        question, chosen = self.quiz.questions[self.at], self.chosen()
        if not chosen:
            self._say(Note("Choose an answer first."))
            return
        self._feedback[question.id] = note = self.quiz.answer(self.at + 1, chosen)
        self._say(note)

    def _say(self, note: Note | None) -> None:
        """The heading with the score, and a message in the live region."""
        right, _, total = self.quiz.score()
        meter = f'<progress value="{right}" max="{total}" aria-label="questions right" style="width:12em"></progress>'
        place = f"Question {self.at + 1} of {total}"
        self.head.value = f"<b>{show.escape(self.quiz.title)}</b><br>{place} &middot; {meter} {right} right"
        self.status.value = f'<div role="status" aria-live="polite">{note.html() if note else ""}</div>'

    def _guarded(self, action: Any) -> Any:
        """A click's action; whatever goes wrong in it is said instead of lost in a log."""

        def click(_: object) -> None:
            try:
                action()
            except Exception as error:
                self.status.value = (
                    f'<div role="status">{show.block(show.rich(f"Not possible: {error}"), "wrong")}</div>'
                )

        return click


def _choices(question: Question, answered: str) -> list[Any]:
    """Radio buttons for one right choice, check boxes for several; the earlier answer is chosen."""
    import ipywidgets

    labels = [f"{choice.letter}) {choice.text.replace('`', '')}" for choice in question.choices]
    wide = ipywidgets.Layout(width="auto")
    if question.several:
        return [
            ipywidgets.Checkbox(value=letter in answered, description=label, indent=False, layout=wide)
            for letter, label in zip(question.letters, labels, strict=True)
        ]
    options = list(zip(labels, question.letters, strict=True))
    index = question.letters.index(answered) if answered in question.letters else None
    return [ipywidgets.RadioButtons(options=options, index=index, layout=wide)]
