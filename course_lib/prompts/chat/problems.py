"""What can be wrong with a tokenizer and a template before any training, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from course_lib.prompts.chat.layout import ANSWER, QUESTION, SYSTEM, found, said

if TYPE_CHECKING:
    from course_lib.prompts.chat.chat import Chat

MARK = re.compile(r"<\|?[A-Za-z_][\w:/-]*\|?>|</s>")
REASON = "qxreasonxq"
SPARE_ROWS = 1024  # models round their vocabulary up


def problems(chat: Chat, vocab_size: int | None = None) -> list[str]:
    """What is wrong with training on this tokenizer and template, a sentence each."""
    return [*_ends(chat), *_template(chat), *_marks(chat), *_vocabulary(chat, vocab_size)]


def _ends(chat: Chat) -> Iterator[str]:
    tokenizer, end = chat.tokenizer, chat.end_text
    if not tokenizer.eos_token:
        yield "The tokenizer has no end token (eos_token): a base model was never taught where a text ends."
    elif tokenizer.pad_token == tokenizer.eos_token:
        yield (
            f"The end token {tokenizer.eos_token} is also the pad token. Harmless here, where a token's place decides"
            " whether it is learned; a program that leaves out padding by its id leaves out the end as well, and its"
            " model never stops."
        )
    if chat.layout.adds_end:
        closing = chat.layout.closing.strip()
        ends = f"{closing}, which is no token of this tokenizer" if closing else "no token"
        yield f"The template ends an answer with {ends}, so {end} is put behind it: the model would not stop otherwise."
    elif end and tokenizer.eos_token and end != tokenizer.eos_token:
        yield (
            f"An answer ends with {end}, not with the tokenizer's end token {tokenizer.eos_token}: generation has to"
            " stop at both (stop_ids)."
        )


def _template(chat: Chat) -> Iterator[str]:
    around, render = chat.layout, chat._render
    if around.why_not:
        yield f"The template cannot be learned from: {around.why_not}; choose another template."
        return
    if around.opening:
        yield (
            f"The template has no generation prompt, so {around.opening!r} is added before an answer; a program that"
            " does not do so has the model write it."
        )
    if chat.folds_system:
        yield "The template has no system message, so its text goes in front of the first question."
    system, thought = "" if chat.folds_system else SYSTEM, f"<think>\n{REASON}\n</think>\n\n{ANSWER}"
    several = said(QUESTION, ANSWER, "more", ANSWER, system=system)
    if found(render, several, ANSWER) is None:
        yield "The template takes one question only, so that conversations of several cannot be learned from."
    elif found(render, said(QUESTION, thought), REASON) is False:
        yield "The template leaves out what an answer has between <think> and </think>, so that is never learned."
    elif chat._row(several, False)[1]:
        yield (
            "The template writes a conversation differently once it goes on, so that only the last answer of each is"
            " learned: give every answer a conversation that ends with it."
        )
    elif found(render, said(QUESTION, thought, "more"), REASON) is False:
        yield (
            "The template leaves out the reasoning of earlier answers, so these are not learned where they have some:"
            " give every such answer a conversation that ends with it."
        )


def _marks(chat: Chat) -> Iterator[str]:
    written = chat._render(said(QUESTION, ANSWER, system="" if chat.folds_system else SYSTEM))
    cut = {}
    for mark in dict.fromkeys(MARK.findall(written)):
        count = len(chat.tokenizer(mark, add_special_tokens=False)["input_ids"])
        if count > 1:
            cut[mark] = count
    if cut:
        named = ", ".join(f"{mark} ({count} tokens)" for mark, count in cut.items())
        yield (
            f"The template's {named} {'is' if len(cut) == 1 else 'are'} no special token of this tokenizer but ordinary"
            " text in pieces: it costs tokens, and anybody can write it into a question."
        )


def _vocabulary(chat: Chat, rows: int | None) -> Iterator[str]:
    size = len(chat.tokenizer)
    if rows is not None and size > rows:
        yield (
            f"The tokenizer has {size:,} tokens, but the model's embedding only {rows:,} rows: this is another model's"
            " tokenizer, or tokens were added and the embedding has to be resized."
        )
    elif rows is not None and rows - size >= SPARE_ROWS:
        yield (
            f"The model's embedding has {rows:,} rows, the tokenizer only {size:,} tokens: make sure that it is this"
            " model's tokenizer."
        )
