"""A review as widgets: one example, a row of buttons, and a key for each of them.

Core widgets of ipywidgets 7.7 and 8 know no keys, so a handler in the page presses the buttons: a, e, r, u, n and the
arrows, wherever the focus is in the panel. In the field for a new answer letters are letters; Ctrl+Enter keeps the
answer and Escape leaves it. A key that is held down counts once, and two decisions within a quarter of a second are
one: nobody can have read the second example.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from course_lib.teach import show
from course_lib.teach.show import Note

if TYPE_CHECKING:
    from course_lib.teach.review import Review

# What a button does: its words, the key that presses it, and the style that ipywidgets gives it.
BUTTONS = {
    "accept": ("Accept (a)", "a", "success"),
    "edit": ("Edit (e)", "e", ""),
    "reject": ("Reject (r)", "r", "warning"),
    "undo": ("Undo (u)", "u", ""),
    "back": ("Back (\u2190)", "arrowleft", ""),
    "next": ("Next (\u2192)", "arrowright", ""),
    "open": ("Next not seen (n)", "n", ""),
    "save": ("Keep the change (Ctrl+Enter)", "", "success"),
    "leave": ("Leave it (Escape)", "", ""),
}
RULES = """
.course-review { max-width: 720px; padding: 4px 0 4px 12px; border-left: 4px solid #0072b2; overflow: visible }
.course-review:focus { outline: 2px solid #0072b2; outline-offset: 2px }
.course-review .widget-html-content { line-height: 1.45; font-size: inherit }
.course-review .widget-button { width: auto }
.course-review textarea { font-family: inherit; line-height: 1.45 }
"""
# Runs in the page when the panel appears; `r` is its root. No double quotes and no bare & in it: it is an attribute.
# It listens before the field itself does, which keeps its keys to itself.
HANDLER = """
const r=this.closest('.course-review');
if(r){r.tabIndex=0;let last=0;
const keys=KEYS,decisions=['accept','reject','undo'];
r.addEventListener('keydown',e=>{
const typing=e.target.matches('textarea,input'),held=e.ctrlKey||e.metaKey||e.altKey;
let what='';
if(typing){what=e.key==='Escape'?'leave':e.key==='Enter'&amp;&amp;(e.ctrlKey||e.metaKey)?'save':''}
else if(!held){what=keys[e.key.toLowerCase()]||''}
const b=what&amp;&amp;r.querySelector('.do-'+what);
if(!b||b.disabled||!b.offsetParent)return;
e.preventDefault();e.stopPropagation();
if(e.repeat&amp;&amp;!e.key.startsWith('Arrow'))return;
if(decisions.includes(what)){if(e.timeStamp-last&lt;250)return;last=e.timeStamp}
if(typing)e.target.blur();
b.click();r.focus();
if(what==='edit'){const wait=n=>{const t=r.querySelector('textarea');
if(t&amp;&amp;t.offsetParent)t.focus();else if(n)setTimeout(()=>wait(n-1),50)};wait(60)}
},true)}
"""


def look() -> str:
    """The panel's rules and its keys, as HTML."""
    keys = json.dumps({key: name for name, (_, key, _) in BUTTONS.items() if key}).replace('"', "'")
    handler = HANDLER.replace("KEYS", keys).replace("\n", " ")
    return show.style("course-review", RULES) + f'<style onload="{handler}">.course-review {{ margin: 4px }}</style>'


class Panel:
    """The widgets of a review. ``widget`` is the whole; the rest is there for tests and the curious."""

    def __init__(self, review: Review) -> None:
        import ipywidgets

        self.review, self.at = review, review.at
        self.head, self.body, self.status = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.field = ipywidgets.Textarea(rows=6, continuous_update=False, layout=ipywidgets.Layout(width="96%"))
        self.field.observe(self._written, names="value")
        self._waiting: int | None = None  # the example whose text may still be on its way
        self._one_at_a_time = threading.RLock()  # kernels may handle messages of two widgets in two threads
        self.buttons = {name: self._button(name) for name in BUTTONS}
        *deciding, save, leave = self.buttons.values()
        self.choose = ipywidgets.HBox(deciding, layout=ipywidgets.Layout(flex_flow="row wrap"))
        keep = ipywidgets.HBox([save, leave], layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.change = ipywidgets.VBox([self.field, keep])
        parts = [ipywidgets.HTML(look()), self.head, self.body, self.change, self.choose, self.status]
        self.widget = ipywidgets.VBox(parts)
        self.widget.add_class("course-review")
        self.editing(False)
        self.show()

    def show(self, note: Note | None = None) -> None:
        """The example at ``at``, and a message in the live region."""
        seen, total = self.review.seen(), len(self.review)
        meter = f'<progress value="{seen}" max="{total}" aria-label="examples seen" style="width:12em"></progress>'
        self.head.value = f"<b>Review</b> {meter} {show.escape(self.review.summary())}"
        self.body.value = self.review.markup(self.at)
        said = note.html() if note else show.block(show.rich(self.review.trouble), "wrong") * bool(self.review.trouble)
        self.status.value = f'<div role="status" aria-live="polite">{said}</div>'

    def editing(self, on: bool) -> None:
        """Show the field for a new answer instead of the buttons, or the buttons again."""
        self.change.layout.display = "" if on else "none"
        self.choose.layout.display = "none" if on else ""

    def _button(self, name: str) -> Any:
        import ipywidgets

        words, _, style = BUTTONS[name]
        button = ipywidgets.Button(description=words, button_style=style)
        button.add_class(f"do-{name}")
        button.on_click(self._guarded(getattr(self, f"_{name}")))
        return button

    def _accept(self) -> None:
        self._decided(self.review.decide(self.at, "accept"))

    def _reject(self) -> None:
        self._decided(self.review.decide(self.at, "reject"))

    def _edit(self) -> None:
        decision = self.review.decision(self.at)
        changed = decision.text if decision else ""
        self._waiting = None
        self.field.value = changed or self.review.examples[self.at].answer
        self.editing(True)

    def _save(self) -> None:
        note = self.review.decide(self.at, "edit", self.field.value)
        self._waiting = self.at
        self.editing(False)
        self._decided(note)

    def _written(self, change: Any) -> None:
        """Text and button travel from the page side by side: here the text may come after the button that keeps it."""
        with self._one_at_a_time:
            late, self._waiting = self._waiting, None
            known = self.review.decision(late) if late is not None else None
            if late is not None and (known is None or known.text != change["new"]):
                self._guarded(lambda: self.show(self.review.decide(late, "edit", change["new"])))(None)

    def _leave(self) -> None:
        self.editing(False)
        self.show(Note("The answer stays as it was."))

    def _undo(self) -> None:
        note = self.review.undo()
        self.at = self.review.at
        self.show(note)

    def _back(self) -> None:
        self._move(-1)

    def _next(self) -> None:
        self._move(1)

    def _open(self) -> None:
        following = self.review.next_open(self.at)
        if following is None:
            self.show(Note("Every example has been looked at.", tone="right"))
            return
        self.at = following
        self.show()

    def _move(self, step: int) -> None:
        self.at = (self.at + step) % len(self.review)
        self.show()

    def _decided(self, note: Note) -> None:
        """Go on to the next example that nobody has looked at, if there is one."""
        following = self.review.next_open(self.at)
        if following is not None:
            self.at = following
            self.show(note)
        else:
            self.show(Note(f"{note.text} That was the last one: .kept() has the result.", tone="right"))

    def _guarded(self, action: Callable[[], None]) -> Callable[[object], None]:
        """A click's action; whatever goes wrong in it is said instead of lost in a log."""

        def click(_: object) -> None:
            try:
                with self._one_at_a_time:
                    action()
            except Exception as error:
                said = show.block(show.rich(f"Not possible: {error}"), "wrong")
                self.status.value = f'<div role="status" aria-live="polite">{said}</div>'

        return click
