"""Looking at training data with one's own eyes: accept, change or reject each example.

No filter finds an answer that is fluent and wrong. ``review(examples)`` shows one example after the other, in a
notebook with buttons and keys, elsewhere as text. Every decision is written down at once and belongs to the example's
content (`example`), so a review goes on where it stopped, also after examples were added, removed or sorted; an example
that has been changed is a new one and comes up again.

    checked = review(conversations)          # or review("examples.jsonl")
    checked.decide(0, "reject")              # what the buttons do
    checked.kept()                           # what was accepted or changed, in the form it came in

Left out: reviews of one example by several people, and changes to the question rather than the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.teach import example, show
from course_lib.teach import progress as keeping
from course_lib.teach.decisions import Decision, Decisions
from course_lib.teach.show import Note

WORDS = {"accept": "accepted", "edit": "changed", "reject": "rejected"}
LOOK = {"accept": "right", "edit": "info", "reject": "wrong"}  # a tone of `show`


class Review:
    """Examples and what was decided about them. ``at`` is the place where the review stands, from 0."""

    def __init__(self, records: Sequence[Any], save_to: Path, name: str = "Example") -> None:
        self.examples = [example.read(record, f"{name} {number}") for number, record in enumerate(records, 1)]
        if not self.examples:
            raise CourseError("There is nothing to review: the list of examples is empty.")
        self._kept = Decisions(save_to)
        self._done: list[tuple[int, Decision | None]] = []  # what this object decided, and what stood there before
        keys = [one.key for one in self.examples]
        last = keys.index(self._kept.last) if self._kept.last in keys else -1
        following = self.next_open(last)
        self.at = max(0, last) if following is None else following

    @property
    def save_to(self) -> Path:
        """The file with the decisions."""
        return self._kept.path

    @property
    def trouble(self) -> str:
        """A sentence where decisions could not be written or read, else ""."""
        return self._kept.trouble

    def __len__(self) -> int:
        return len(self.examples)

    def decision(self, index: int) -> Decision | None:
        """What was decided about an example, None where nothing was yet."""
        return self._kept.all().get(self.examples[self._index(index)].key)

    def decide(self, index: int, choice: str, text: str | None = None) -> Note:
        """Decide about the example at ``index`` (from 0): "accept", "reject", or "edit" with the new answer as text.

        It is written at once; a second decision about an example replaces the first. Raises CourseError.
        """
        one = self.examples[self._index(index)]
        decision = _checked(choice, text, one.answer)
        self._done.append((index, self.decision(index)))
        self._kept.add(one, decision)
        following = self.next_open(index)
        self.at = index if following is None else following
        return self._said(f"Example {index + 1} {WORDS[decision.choice]}.", LOOK[decision.choice])

    def undo(self) -> Note:
        """Take back the last decision of this review, and go to its example."""
        if not self._done:
            return self._said("There is nothing to take back; decide again about any example to change its decision.")
        index, before = self._done.pop()
        self._kept.add(self.examples[index], before or Decision("open"))
        self.at = index
        now = f"again {WORDS[before.choice]}" if before else "open again"
        return self._said(f"Taken back: example {index + 1} is {now}.")

    def next_open(self, after: int) -> int | None:
        """The place of the next example without a decision, after this one and round again; None if all have one."""
        known = self._kept.all()
        around = [(after + step) % len(self) for step in range(1, len(self) + 1)]
        return next((index for index in around if self.examples[index].key not in known), None)

    def kept(self, rest: bool = False) -> list[Any]:
        """The records that were accepted, and those that were changed with their new answers, in the order given.

        With ``rest`` also those that nobody has looked at, so that only rejected ones are left out.
        """
        known = self._kept.all()
        records = []
        for one in self.examples:
            decision = known.get(one.key)
            if decision is not None and decision.choice == "edit":
                records.append(one.with_answer(decision.text))
            elif rest if decision is None else decision.choice == "accept":
                records.append(one.record)
        return records

    def summary(self) -> str:
        """How far the review has come, such as "12 of 40 seen: 9 kept, 1 changed, 2 rejected"."""
        known = self._kept.all()
        choices = [known[one.key].choice for one in self.examples if one.key in known]
        counts = [choices.count(choice) for choice in ("accept", "edit", "reject")]
        return f"{len(choices)} of {len(self)} seen: {counts[0]} kept, {counts[1]} changed, {counts[2]} rejected"

    def seen(self) -> int:
        """How many examples have a decision."""
        known = self._kept.all()
        return sum(one.key in known for one in self.examples)

    def show(self, index: int | None = None) -> Note:
        """One example with what was decided about it; without an index the one where the review stands."""
        index = self.at if index is None else self._index(index)
        one, decision = self.examples[index], self.decision(index)
        state = WORDS[decision.choice] if decision else "not looked at yet"
        text = f"Example {index + 1} of {len(self)} (index {index}{_place(one.record)}), {state}\n\n{one}"
        text += f"\n\nChanged to:\n{decision.text}" if decision and decision.text else ""
        return Note(text, self.markup(index), LOOK[decision.choice] if decision else "plain")

    def markup(self, index: int) -> str:
        """An example with what was decided about it, as HTML."""
        one, decision = self.examples[index], self.decision(index)
        state = f"<b>{WORDS[decision.choice]}</b>" if decision else "not looked at yet"
        parts = [f"<div>Example {index + 1} of {len(self)} &middot; {state}{show.escape(_place(one.record))}</div>"]
        parts += [_part(heading, text) for heading, text in one.parts]
        if decision and decision.choice == "edit":
            parts += [_part("Answer before", one.answer), _part("Answer, changed", decision.text, "info")]
        else:
            parts.append(_part("Answer", one.answer, LOOK[decision.choice] if decision else "plain"))
        return "".join(parts)

    def panel(self) -> Any:
        """The review as widgets, whether or not they can be shown here."""
        from course_lib.teach.review_panel import Panel

        return Panel(self)

    def html(self) -> str:
        """Where the review stands, for reading."""
        note = "<small>Run this cell to review the examples in the notebook.</small>"
        return show.block(f"<b>{show.escape(self._standing())}</b>{self.markup(self.at)}{note}", "info")

    def __str__(self) -> str:
        how = 'Decide with .decide(index, "accept"), "reject", or "edit" with text="the better answer".'
        return f"{self._standing()}\n\n{self.show()}\n\n{how}"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return show.bundle(str(self), self.html(), self.panel().widget if show.widgets_work() else None)

    def _standing(self) -> str:
        return f"{self.summary()}.{f' {self.trouble}' if self.trouble else ''}"

    def _said(self, text: str, tone: str = "plain") -> Note:
        return Note(f"{text} {self._standing()}", tone=tone)

    def _index(self, index: Any) -> int:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self):
            raise CourseError(f"There is no example {index!r}; the {len(self)} examples are 0 to {len(self) - 1}.")
        return index


def review(examples: Any, save_to: str | Path | None = None) -> Review:
    """Begin to review examples, or go on: conversations, records with fields, or the name of a file with them.

    Decisions are kept in ``save_to``, a .jsonl file. Without it, those about a file go beside it (NAME.review.jsonl),
    all others to reviews.jsonl in the learner's own folder. Raises CourseError where a record is no example.
    """
    if not isinstance(examples, str | Path):
        where = Path(save_to).expanduser() if save_to is not None else keeping.home() / "reviews.jsonl"
        return Review(list(examples), where)
    from course_lib.records.exchange import read_conversations

    source = Path(examples).expanduser()
    where = Path(save_to).expanduser() if save_to is not None else source.with_name(f"{source.stem}.review.jsonl")
    return Review(read_conversations(source), where, f"{source.name}, example")


def _checked(choice: str, text: str | None, answer: str) -> Decision:
    """A decision that makes sense; an answer that was edited to what it was before is accepted."""
    if choice not in WORDS:
        raise CourseError(f"{choice!r} is no decision; there are {', '.join(map(repr, WORDS))}.")
    if choice != "edit":
        if text is not None:
            raise CourseError(f'{choice!r} takes no text; to change the answer, decide "edit".')
        return Decision(choice)
    if not isinstance(text, str) or not text.strip():
        raise CourseError('"edit" needs the new answer: text="...". An example without one is better rejected.')
    return Decision("accept") if text == answer else Decision("edit", text)


def _place(record: Any) -> str:
    """Where a conversation stands in its file, if it says so."""
    where = getattr(record, "where", "")
    return f", {where}" if isinstance(where, str) and where else ""


def _part(heading: str, text: str, tone: str = "") -> str:
    """A heading with its text, lines as they are; the answer has a line at its left."""
    edge = f";border-left:4px solid {show.COLOURS[tone]};padding-left:.6em" if tone else ""
    body = re.sub(r"\r\n?", "\n", text) or "(empty)"
    return (
        f'<div style="margin:.5em 0{edge}"><small>{show.escape(heading)}</small>'
        f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;max-height:20em;overflow:auto">'
        f"{show.escape(body)}</div></div>"
    )
