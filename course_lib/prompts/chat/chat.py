"""A conversation as tokens, and which of them are learned: `Chat`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CourseError
from course_lib.prompts.chat import fitting
from course_lib.prompts.chat.layout import SYSTEM as PROBE
from course_lib.prompts.chat.layout import Layout, found, layout, mark_pattern, said
from course_lib.prompts.chat.pieces import piece_ids
from course_lib.prompts.chat.templates import TEMPLATES

Messages = Sequence[Mapping[str, str]]
Row = list[tuple[str, bool]]  # a text in pieces, and whether each is learned


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens: ``learn[t]`` says whether token t counts for the loss.

    ``cut`` tokens were removed to keep within a limit; ``skipped`` answers are not learned because the template shows
    them differently once the conversation goes on (without their reasoning, for example).
    """

    ids: tuple[int, ...]
    learn: tuple[bool, ...]
    cut: int = 0
    skipped: int = 0

    @property
    def learned(self) -> int:
        """How many tokens count for the loss."""
        return sum(self.learn)


class Chat:
    """The conversations of one tokenizer in one template.

    ``template`` is a name of TEMPLATES or a Jinja source; without it the tokenizer's own template is taken ("own"), or
    the one its special tokens are made for. The attribute ``template`` is the source, to be stored with a model as its
    tokenizer's chat_template. Raises CourseError for a name that does not exist.

    An answer is learned exactly as it would be if the conversation ended with it. What a template cannot do is done for
    it: a system message it does not take goes in front of the first question, an answer it does not open or end is
    opened and ended.
    """

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.name = template if template is not None else _usual(tokenizer)
        added = tokenizer.added_tokens_decoder.values()
        special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
        ends = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
        self._marks = mark_pattern(special | {token.content for token in added})
        self._forbidden = mark_pattern(special - ({tokenizer.unk_token} - ends))
        self.template = self._source(self.name)

    @functools.cached_property
    def begin(self) -> str:
        """The token that the tokenizer puts before a text by itself; empty if it puts none."""
        ids, bare = (self.tokenizer("a", add_special_tokens=add)["input_ids"] for add in (True, False))
        begins = len(ids) > len(bare) and ids[0] == self.tokenizer.bos_token_id
        return str(self.tokenizer.bos_token) if begins else ""

    @functools.cached_property
    def layout(self) -> Layout:
        """What the template puts around an answer."""
        return layout(self._render, self._marks, self.tokenizer.eos_token or "")

    @property
    def end_text(self) -> str:
        """The token that ends an answer, as text; empty if there is none."""
        return self.layout.end

    @functools.cached_property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer when they are generated: the template's and the tokenizer's."""
        end = self.tokenizer.convert_tokens_to_ids(self.end_text) if self.end_text else None
        return frozenset(token for token in (end, self.tokenizer.eos_token_id) if token is not None)

    def text(self, messages: Messages, reply: bool = False) -> str:
        """The conversation as the model reads it; with ``reply`` up to where the assistant's answer begins."""
        return "".join(piece for piece, _ in self._row(messages, reply)[0])

    def prompt_ids(self, messages: Messages, limit: int | None = None) -> list[int]:
        """What generation sees: the tokens up to where the next answer begins, at most ``limit`` of them."""
        return list(self._fitted(messages, limit, reply=True).ids)

    def encode(self, messages: Messages, limit: int | None = None) -> Encoded:
        """The tokens of a conversation, the assistant's and the end of its answers learned, at most ``limit``.

        What is too long loses its oldest turns first and then the middle of its longest question, never any of the
        last answer. Raises CourseError when there is no answer or it does not fit.
        """
        return self._fitted(messages, limit, reply=False)

    def encode_all(
        self, conversations: Sequence[Messages], limit: int | None = None, where: Sequence[str] | None = None
    ) -> list[Encoded]:
        """`encode` for many conversations at once, which is faster; ``where`` names them in error messages."""
        rows = []
        for k, messages in enumerate(conversations):
            try:
                rows.append(self._row(messages, reply=False))
            except CourseError as error:
                raise CourseError(f"{_name(where, k)}: {error}") from None
        encoded = self._encoded(rows)
        for k, one in enumerate(encoded):
            if limit is not None and len(one.ids) > limit:
                try:
                    encoded[k] = self._fitted(conversations[k], limit, reply=False)
                except CourseError as error:
                    raise CourseError(f"{_name(where, k)}: {error}") from None
        return encoded

    def plain(self, prompt: str, completion: str, limit: int | None = None) -> Encoded:
        """A prompt and its completion without any template, as a base model continues texts; the end is learned.

        What is too long loses the beginning of the prompt. Raises CourseError when the completion does not fit.
        """
        if not self.tokenizer.eos_token:
            raise CourseError("This tokenizer has no end token, so nothing can be learned from it: set its eos_token.")
        self._clean(prompt, "The prompt")
        self._clean(completion, "The completion")
        ends = [(completion, True), (self.tokenizer.eos_token, True)]
        begin = self.tokenizer.convert_tokens_to_ids([self.begin]) if self.begin else []
        one = self._encoded([([(prompt, False), *ends], 0)])[0]
        ids, learn = (*begin, *one.ids), (*(False for _ in begin), *one.learn)
        over = 0 if limit is None else max(0, len(ids) - limit)
        room = len(ids) - one.learned - len(begin)
        if over > room:
            raise CourseError(f"The completion has {one.learned:,} tokens with its end, more than fit into {limit:,}.")
        keep = len(begin)
        return Encoded(ids[:keep] + ids[keep + over :], learn[:keep] + learn[keep + over :], over)

    def problems(self, vocab_size: int | None = None) -> list[str]:
        """What is wrong, or only seems wrong, with training on this tokenizer and template, a sentence each.

        ``vocab_size`` is the number of rows of the model's embedding.
        """
        from course_lib.prompts.chat.problems import problems

        return problems(self, vocab_size)

    @functools.cached_property
    def folds_system(self) -> bool:
        """Whether the template has no place for a system message, so that it goes in front of the first question."""
        return not found(self._render, said("a", system=PROBE), PROBE)

    # The text

    def _source(self, name: str) -> str:
        if name == "own":
            if not self.tokenizer.chat_template:
                raise CourseError(f"This tokenizer has no chat template; choose one of {', '.join(TEMPLATES)}.")
            return str(self.tokenizer.get_chat_template())
        if "eos_token" in TEMPLATES.get(name, "") and not self.tokenizer.eos_token:
            raise CourseError(f"The tokenizer has no end token, which the template {name!r} needs: set its eos_token.")
        if name not in TEMPLATES:
            if "{" not in name:
                raise CourseError(f"There is no chat template {name!r}; choose one of {', '.join(TEMPLATES)}.")
            self.name = "given"
            return name
        source = TEMPLATES[name]
        return source if "bos_token" in source or not self.begin else "{{- bos_token -}}\n" + source

    def _render(self, messages: Messages, reply: bool = False) -> str:
        import jinja2

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    list(messages), chat_template=self.template, tokenize=False, add_generation_prompt=reply
                )
            )
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CourseError(f"The chat template cannot write this conversation: {error}") from None

    def _row(self, messages: Messages, reply: bool) -> tuple[Row, int]:
        """The text in pieces, cut where answers begin and end, and how many answers are not learned."""
        turns, around = self._turns(messages), self.layout
        if not reply and (not turns or turns[-1]["role"] != "assistant"):
            raise CourseError(
                "The conversation does not end with an answer of the assistant: add one, or leave it out."
            )
        if reply and turns and turns[-1]["role"] == "assistant":
            raise CourseError("A prompt ends with a message of the user, not with an answer: leave the last one out.")
        if not reply and around.why_not:
            raise CourseError(f"The chat template cannot be learned from: {around.why_not}; choose another template.")
        whole = self._render(turns, reply)
        row: Row = []
        at = skipped = 0
        for k, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            before = self._render(turns[:k], reply=True) + around.opening
            until = whole if k == len(turns) - 1 else self._render(turns[: k + 1])
            stop = len(until) - len(around.closing) + around.kept
            if not (until.endswith(around.closing) and until.startswith(before) and whole.startswith(until[:stop])):
                skipped += 1
                continue
            row += [(whole[at : len(before)], False), (whole[len(before) : stop], True)]
            at = stop
            if around.adds_end:
                at += len(around.end) if whole.startswith(around.end, at) else 0
                row.append((around.end, True))
        if not reply and not (row and at >= len(whole) - len(around.closing)):
            raise CourseError(
                "The chat template does not write the last answer behind its own generation prompt, so it cannot be"
                " learned: choose another template."
            )
        if reply:
            row.append((whole[at:] + around.opening, False))  # behind the last answer nothing is needed
        return row, skipped

    def _turns(self, messages: Messages) -> list[dict[str, str]]:
        """The messages as transformers takes them, checked; the system message folded where it has to be."""
        turns = []
        for k, message in enumerate(messages, start=1):
            role, content = message.get("role"), message.get("content")
            if role not in ("system", "user", "assistant") or not isinstance(content, str):
                raise CourseError(f"Message {k} needs a role (system, user or assistant) and a text as its content.")
            self._clean(content, f"Message {k}")
            turns.append({"role": role, "content": content})
        first = 1 if turns and turns[0]["role"] == "system" else 0
        if len(turns) == first:
            raise CourseError("The conversation has no message of the user: add one.")
        for k, turn in enumerate(turns[first:]):
            if turn["role"] != ("user", "assistant")[k % 2]:
                raise CourseError(f"Message {first + k + 1} is the {turn['role']}'s: user and assistant take turns.")
        if first and self.folds_system:
            question = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
            turns = [question, *turns[2:]]
        return turns

    def _clean(self, text: str, name: str) -> None:
        """A special token in somebody's text would end a turn or begin one."""
        mark = self._forbidden.search(text) if self._forbidden else None
        if mark:
            raise CourseError(
                f"{name} contains {mark.group()!r}, which is a special token of this tokenizer: remove it."
            )

    # The tokens

    def _fitted(self, messages: Messages, limit: int | None, reply: bool) -> Encoded:
        whole = self._encoded([self._row(messages, reply)])[0]
        if limit is None or len(whole.ids) <= limit:
            return whole

        def encode(shorter: Messages) -> Encoded:
            return self._encoded([self._row(shorter, reply)])[0]

        kept = fitting.fitted(messages, limit, encode)
        return Encoded(kept.ids, kept.learn, len(whole.ids) - len(kept.ids), kept.skipped)

    def _encoded(self, rows: Sequence[tuple[Row, int]]) -> list[Encoded]:
        pieces = piece_ids(self.tokenizer, self._marks, [[text for text, _ in row] for row, _ in rows])
        made = []
        for (row, skipped), ids in zip(rows, pieces, strict=True):
            learn = tuple(flag for (_, flag), piece in zip(row, ids, strict=True) for _ in piece)
            made.append(Encoded(tuple(token for piece in ids for token in piece), learn, skipped=skipped))
        return made


def _usual(tokenizer: Any) -> str:
    """The template to take when none is named."""
    if tokenizer.chat_template:
        return "own"
    for name, marks in (
        ("course", ("<|user|>", "<|assistant|>", "<|end|>")),
        ("chatml", ("<|im_start|>", "<|im_end|>")),
    ):
        ids = [tokenizer.convert_tokens_to_ids(mark) for mark in marks]
        if all(token is not None and token != tokenizer.unk_token_id for token in ids):
            return name
    return "plain"


def _name(where: Sequence[str] | None, k: int) -> str:
    return where[k] if where and where[k] else f"Conversation {k + 1}"
