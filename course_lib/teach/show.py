"""Things that show themselves: HTML in a notebook, text everywhere else.

A cell's last expression is displayed through the bundle it offers, one form for each kind of front end. Here every
bundle has `text/html` and `text/plain`, so a notebook, a terminal and a test see the same words. Colours only repeat
what the words say, and they are borders rather than backgrounds, so that dark themes stay readable.
"""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass
from typing import Any

COLOURS = {"plain": "#56606b", "right": "#009e73", "wrong": "#d55e00", "info": "#0072b2"}


@dataclass(frozen=True)
class Note:
    """A short message. ``text`` is plain; ``markup`` is its HTML, written from the text where it is left out."""

    text: str
    markup: str = ""
    tone: str = "plain"  # a key of COLOURS

    def html(self) -> str:
        """The note as a block of HTML."""
        return block(self.markup or rich(self.text), self.tone)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}


def escape(text: str) -> str:
    """Text for HTML in a notebook, where two bare dollar signs would make a formula of what stands between them."""
    return html.escape(text).replace("$", "<span>$</span>")


def block(markup: str, tone: str = "plain") -> str:
    """HTML set off by a coloured line at its left."""
    return (
        f'<div style="border-left:4px solid {COLOURS[tone]};padding:.35em .9em;margin:.4em 0;max-width:700px;'
        f'line-height:1.45">{markup}</div>'
    )


def rich(text: str) -> str:
    """Plain text as HTML: special characters escaped, `code` between backticks, lines kept."""
    escaped = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text))
    return escaped.replace("\n", "<br>")


def code(source: str) -> str:
    """Program text as HTML."""
    return f'<pre style="margin:.5em 0;padding:.5em;overflow-x:auto"><code>{html.escape(source)}</code></pre>'


def bundle(text: str, markup: str, widget: Any = None) -> dict[str, Any]:
    """What a cell shows: a widget where there is one, with HTML and text for pages and programs that cannot run it."""
    data: dict[str, Any] = {"text/plain": text, "text/html": markup}
    if widget is not None:
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        data["application/vnd.jupyter.widget-view+json"] = view
    return data


def style(root: str, rules: str) -> str:
    """Rules for the widgets below the class ``root``, as HTML; and keys that are pressed there stay there.

    Without that, JupyterLab takes the arrow keys of a radio button or a list for itself and moves to the next cell.
    """
    keys = "if(!(e.ctrlKey||e.metaKey||e.altKey||(e.shiftKey&amp;&amp;e.key==='Enter')))e.stopPropagation()"
    bind = f"const r=this.closest('.{root}');if(r)r.addEventListener('keydown',e=>{{{keys}}})"
    return f'<style onload="{bind}">{rules}</style>'


def widgets_work() -> bool:
    """Whether widgets can be shown: a notebook kernel runs this, and ipywidgets is installed.

    ``COURSE_WIDGETS=off`` says no, for a front end that does not draw them.
    """
    if os.environ.get("COURSE_WIDGETS", "").lower() in {"off", "0", "no", "false"}:
        return False
    try:
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
