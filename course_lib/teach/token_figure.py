"""A conversation as its tokens: what is read, what counts for the loss, where an answer ends.

A loss mask is a list of booleans, and a mistake in it is seen nowhere but in what the model does weeks later. Here the
mask stands on the tokens. A token that is only read has a dotted border, one that counts a solid one and a bold face,
an end a double one; colours repeat that. Below each token is its position. Several conversations in one row are set
apart, their positions begin anew, and the attention map shows which token sees which: within its conversation only.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.prompts import TEMPLATES, Chat
from course_lib.teach import figure, show, widgets

Messages = Sequence[Mapping[str, str]]

MASKS = {  # what counts, and what a model would learn from it that nobody wants
    "answer and end": "",
    "answer without end": "The end does not count: this model would not learn to stop.",
    "everything": "The questions count as well: this model would learn to write them.",
}
KINDS = {  # how a token looks and what that means
    "read": ("1px dotted", show.COLOURS["plain"], "normal", "is only read"),
    "counts": ("2px solid", show.COLOURS["info"], "bold", "counts for the loss"),
    "end": ("4px double", show.COLOURS["wrong"], "bold", "ends an answer and counts"),
    "lost end": ("4px double", show.COLOURS["plain"], "normal", "ends an answer and does not count"),
}
LONGEST = 600  # tokens in a figure
VISIBLE = {ord(" "): "\N{MIDDLE DOT}", ord("\n"): "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"}
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how tokenizers of the SentencePiece kind write a space


@dataclass(frozen=True)
class Token:
    """One token as it is shown: its text, its position in its conversation, and a key of KINDS."""

    text: str
    position: int
    kind: str

    @property
    def counts(self) -> bool:
        """Whether the token counts for the loss."""
        return self.kind in ("counts", "end")

    def html(self) -> str:
        """The token in its border, its position below."""
        border, colour, weight, _ = KINDS[self.kind]
        shown = show.escape(self.text.translate(VISIBLE))
        return (
            '<span style="display:inline-block;text-align:center;margin:1px;vertical-align:top;line-height:1.25">'
            f'<code style="display:block;background:none;color:inherit;white-space:pre;border:{border} {colour};'
            f'border-radius:3px;padding:0 .15em;font-weight:{weight}">{shown or "&nbsp;"}</code>'
            f'<span style="font-size:65%;opacity:.75">{self.position}</span></span>'
        )


@dataclass(frozen=True)
class TokenFigure:
    """The tokens of a row, one tuple for each conversation in it, and the row's attention map where it is wanted."""

    examples: tuple[tuple[Token, ...], ...]
    map: figure.Figure | None = None
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What is seen, in one line."""
        tokens = [token for example in self.examples for token in example]
        several = len(self.examples) > 1
        row = f"{len(tokens)} tokens{f' in {len(self.examples)} conversations' if several else ''}"
        said = f"{row}, {sum(token.counts for token in tokens)} of them count."
        packed = ["Positions begin anew in each conversation."] if several else []
        return " ".join([said, *self.notes, *packed, *([self.map.summary] if self.map else [])])

    @property
    def alt(self) -> str:
        """The row in words, what counts in brackets."""
        return " ".join(self._lines())

    def image(self) -> str:
        """The tokens and the map, as HTML without the summary."""
        rows = "".join(
            f'<div style="margin:.3em 0;padding-left:.4em;border-left:3px solid currentColor">'
            f"{self._name(k)}{''.join(token.html() for token in example)}</div>"
            for k, example in enumerate(self.examples, start=1)
        )
        shown = {token.kind for example in self.examples for token in example}
        legend = "; ".join(
            f'<span style="border:{border} {colour};padding:0 .3em;font-weight:{weight}">{meaning}</span>'
            for kind, (border, colour, weight, meaning) in KINDS.items()
            if kind in shown
        )
        picture = self.map.image() if self.map else ""
        return (
            f'<div style="max-width:{figure.WIDTH}px"><small>A token with this border {legend}</small>'
            f'<div role="img" aria-label="{html.escape(self.alt)}">{rows}</div>{picture}</div>'
        )

    def html(self) -> str:
        """The tokens, the map and the summary."""
        return f"{self.image()}<small>{show.escape(self.summary)}</small>"

    def __str__(self) -> str:
        return "\n".join([*self._lines(), self.summary])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}

    def _name(self, k: int) -> str:
        return f"<small>conversation {k}</small><br>" if len(self.examples) > 1 else ""

    def _lines(self) -> Iterator[str]:
        for k, example in enumerate(self.examples, start=1):
            runs = (
                (counts, "".join(one.text for one in run)) for counts, run in groupby(example, lambda one: one.counts)
            )
            text = "".join(f"[{text}]" if counts else text for counts, text in runs).replace("\n", "\\n")
            yield f"Conversation {k}, positions 0 to {len(example) - 1}, in brackets what counts: {text}"


def tokens(
    chat: Chat,
    *conversations: Messages,
    mask: str = "answer and end",
    limit: int | None = None,
    attention: bool = False,
) -> TokenFigure:
    """The tokens of one conversation, or of several packed into a row, with what counts for the loss under a mask.

    ``mask`` is one of MASKS: what training uses, and two mistakes to compare it with. ``limit`` shortens each
    conversation as training would. ``attention`` adds the map of the row. Raises CourseError for more than LONGEST
    tokens.
    """
    if mask not in MASKS:
        raise CourseError(f"There is no mask {mask!r}; choose one of {', '.join(MASKS)}.")
    encoded = chat.encode_all(conversations, limit)
    count = sum(len(one.ids) for one in encoded)
    if not 0 < count <= LONGEST:
        raise CourseError(f"A figure has 1 to {LONGEST} tokens, not {count:,}: choose other conversations, or a limit.")
    examples = tuple(tuple(_example(chat, one.ids, one.learn, mask)) for one in encoded)
    notes = [MASKS[mask]] if MASKS[mask] else []
    if any(one.cut for one in encoded):
        notes.append(f"{sum(one.cut for one in encoded)} tokens did not fit.")
    if any(one.skipped for one in encoded):
        notes.append(
            f"{sum(one.skipped for one in encoded)} answers are only read, because the template rewrites them."
        )
    seen = attention_map([len(one.ids) for one in encoded]) if attention else None
    return TokenFigure(examples, seen, tuple(notes))


def attention_map(lengths: Sequence[int]) -> figure.Figure:
    """Which token of a packed row sees which: conversations of these lengths, each token those before it in its own."""
    if not lengths or min(lengths) < 1 or sum(lengths) > LONGEST:
        raise CourseError(f"An attention map needs conversations of at least one token, and at most {LONGEST} in all.")
    return _map(tuple(lengths))


@functools.lru_cache(maxsize=32)  # moving a control that leaves the lengths as they are draws nothing
def _map(lengths: tuple[int, ...]) -> figure.Figure:
    size = sum(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    before = np.tril(np.ones((size, size), dtype=bool))
    sees = before & (owner[:, None] == owner[None, :])
    kept, all_before = int(sees.sum()), int(before.sum())
    summary = f"Each token sees itself and what stands before it in its conversation: {kept:,} pairs"
    if len(lengths) > 1:
        summary += f", of {all_before:,} if neighbours were seen as well (hatched)"
    bounds = np.cumsum([0, *lengths])
    with figure.axes(3.6, "Which token sees which", "token that is seen", "token that looks") as ax:
        ax.imshow(
            np.where(sees, 0.25, 1.0), cmap="gray", vmin=0, vmax=1, extent=(0, size, size, 0), interpolation="nearest"
        )
        for first, last in pairwise(bounds[1:]):
            area = {"facecolor": "none", "edgecolor": figure.GREY, "hatch": "///", "linewidth": 0}
            ax.fill([0, first, first, 0], [first, first, last, last], **area)
        ax.grid(visible=False)
        ax.set_xticks(bounds)
        ax.set_yticks(bounds)
        return figure.finish(ax, "Attention map", f"{summary}.", None)


def explorer(
    tokenizer: Any, examples: Mapping[str, Messages], templates: Sequence[str] = tuple(TEMPLATES)
) -> widgets.InteractiveFigure:
    """The figure with controls: which example, in which template, packed with its neighbour or alone, which mask."""
    names = list(examples)
    chats = {name: Chat(tokenizer, name) for name in templates}

    def draw(example: str, template: str, packed: bool, mask: str) -> TokenFigure:
        neighbour = names[(names.index(example) + 1) % len(names)]
        row = [examples[example], *([examples[neighbour]] if packed else [])]
        return tokens(chats[template], *row, mask=mask, attention=packed)

    controls = {
        "example": widgets.choice("Example", names),
        "template": widgets.choice("Template", list(templates)),
        "packed": widgets.switch("Packed with its neighbour"),
        "mask": widgets.choice("What counts", list(MASKS)),
    }
    return widgets.interactive_figure(draw, controls, title="A conversation as the model learns it")


def _example(chat: Chat, ids: Sequence[int], learn: Sequence[bool], mask: str) -> Iterator[Token]:
    """The tokens of one conversation. The first is never predicted, so it cannot count."""
    for k, (text, learned) in enumerate(zip(texts(chat.tokenizer, ids), learn, strict=True)):
        end = learned and not (k + 1 < len(learn) and learn[k + 1])
        if mask == "answer without end" and end:
            kind = "lost end"
        elif learned or (mask == "everything" and k > 0):
            kind = "end" if end else "counts"
        else:
            kind = "read"
        yield Token(text, k, kind)


def texts(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token with its spaces; a character of several tokens stands at its last one."""
    marks = tokenizer.added_tokens_decoder
    found, waiting = [], []
    for token, name in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        waiting.append(token)
        if SPACE in name and token not in marks:  # where decoding a token alone would lose its space
            text = name.replace(SPACE, " ")
        else:
            text = str(tokenizer.decode(waiting, clean_up_tokenization_spaces=False))
        part = text.endswith("\N{REPLACEMENT CHARACTER}") and len(waiting) < 4  # no character has more bytes
        found.append("" if part else text)
        waiting = waiting if part else []
    return found
