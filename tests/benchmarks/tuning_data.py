"""Three sets of examples on which ways of instruction tuning are compared, all about the invented town.

``own``: the course's mixture of instructions, short questions and short answers of very different lengths. ``long
answers``: a title, and 100 to 300 tokens to be written under it. ``long prompts``: 200 to 400 tokens to read and a few
to answer. What padding, packing and leaving out logits are worth depends on just these: how much the lengths differ,
and which share of the tokens is learned.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from course_lib.prompts.chat import Chat
from course_lib.records.conversations import joined
from course_lib.world import dialogue, encyclopedia, instructions, passages, reviews, tables
from course_lib.world.place import Place

Pairs = Iterator[tuple[str, str]]

LIMIT = 512  # positions of the base model
NAMES = ("own", "long answers", "long prompts")
ANSWERS = {"own": (2, 200), "long answers": (100, 300), "long prompts": (2, 40)}  # tokens, the end token included
PROMPTS = {"long prompts": (200, 400)}


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and its answer, and which of them are learned: the answer's and its end token."""

    ids: tuple[int, ...]
    learn: tuple[bool, ...]

    @property
    def labels(self) -> list[int]:
        """The ids where they are learned, -100 elsewhere: not shifted, as transformers wants them."""
        return [token if learned else -100 for token, learned in zip(self.ids, self.learn, strict=True)]

    @property
    def answer(self) -> int:
        """How many tokens are learned."""
        return sum(self.learn)


def examples(name: str, n: int, tokenizer: Any, split: str = "train") -> list[Example]:
    """``n`` examples of a set, the same each time, in an order that mixes its kinds."""
    pairs = PAIRS[name](Place.build(split=split), random.Random(f"{name} {split}"))
    return list(islice(fitting(name, pairs, Chat(tokenizer)), n))


def fitting(name: str, pairs: Pairs, chat: Chat) -> Iterator[Example]:
    """The pairs whose lengths are those of the set, in the tokenizer's chat template."""
    least, most = PROMPTS.get(name, (0, LIMIT))
    low, high = ANSWERS[name]
    for prompt, answer in pairs:
        (one,) = chat.encode_all([[{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]])
        made = Example(tuple(one.ids), tuple(one.learn))
        size = len(made.ids) - made.answer
        if low <= made.answer <= high and least <= size <= most and len(made.ids) <= LIMIT:
            yield made


def describe(chosen: list[Example], batch: int = 16) -> dict[str, float]:
    """Tokens per example, the share of answers among them, and that of padding in batches as they come."""
    lengths = [len(one.ids) for one in chosen]
    cut = [lengths[k : k + batch] for k in range(0, len(lengths), batch)]
    return {
        "examples": len(chosen),
        "tokens": round(sum(lengths) / len(lengths), 1),
        "shortest": min(lengths),
        "longest": max(lengths),
        "answer_share": round(sum(one.answer for one in chosen) / sum(lengths), 3),
        "padding_share": round(1 - sum(lengths) / sum(len(some) * max(some) for some in cut), 3),
    }


def _own(place: Place, rng: random.Random) -> Pairs:
    """The course's mixture of all its kinds of tasks."""
    for record in instructions.mixture(place, rng, 2000):
        yield joined(record["instruction"], record["input"]), record["output"]


def _long_answers(place: Place, rng: random.Random) -> Pairs:
    """A page of the encyclopedia that begins with a subject, reviews under a heading, a talk at a place."""
    while True:
        for kind, wish in (
            (encyclopedia, "a page of the encyclopedia"),
            (reviews, "some reviews"),
            (dialogue, "a talk"),
        ):
            first, _, rest = kind.document(place, rng).partition("\n")
            yield f"Write {wish}, beginning like this.\n\n{first}", rest.strip()


def _long_prompts(place: Place, rng: random.Random) -> Pairs:
    """A few texts one after the other and a question about one of them."""
    kinds = ((dialogue, "dialogue"), (tables, "table"), (passages, "passage"))
    while True:
        chosen = [(kind.items(place, rng, 1)[0], text) for kind, text in rng.choices(kinds, k=rng.randint(2, 4))]
        item = rng.choice(chosen)[0]
        read = "\n\n".join(one[text] for one, text in chosen)
        yield f"Answer the question from these texts.\n\n{read}\n\n{item['question']}", item["answer"]


PAIRS: dict[str, Callable[[Place, random.Random], Pairs]] = dict(
    zip(NAMES, (_own, _long_answers, _long_prompts), strict=True)
)
