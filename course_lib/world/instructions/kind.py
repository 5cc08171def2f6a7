"""What a kind of task is: a maker of inputs with their answers, a judge of any answer, and wordings of the instruction.

The judge is the second route. It gets the instruction and the input as text, as a reader would, and finds out whether
an answer is right; every record is put to its judge before anybody sees it. The same judge tells how many of the
examples that a model made up are right.

Train and test share no input: a lower-case input whose bytes add up to a multiple of 5 is for testing. The sum does
not depend on the order, so a list that is merely shuffled stays on its side. Test records also have other names (see
`world.place`), and a part of them is asked in wordings that training never uses (``assets/world/instructions.toml``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random

from course_lib.world.phrases import material
from course_lib.world.place import Place
from course_lib.world.town import TEST_EVERY

Record = dict[str, str]
MOST_TRIES = 1000  # to draw an input that is new: more would mean that there are no others


@dataclass(frozen=True)
class Task:
    """One input with its answer. ``slots`` fill the braces of the instruction, ``fields`` go into the record as they
    are (what a metric needs: "choices", "form", "create")."""

    input: str
    output: str
    slots: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


def _no_neighbour(record: Mapping[str, str], rng: Random) -> str:
    """Most answers have no neighbour."""
    return ""


@dataclass(frozen=True)
class Kind:
    """A kind of task. ``metric`` is how answers are scored: exact, numeric, rouge, f1 or sql.

    ``make(place, rng)`` draws a task; ``judge(record, answer)`` says whether an answer to the record's instruction and
    input is right, None where the text does not tell; ``near(record, rng)`` is a wrong answer that is nearly right
    (the next number, the other choice), or "".
    """

    name: str
    about: str
    metric: str
    make: Callable[[Place, Random], Task] = field(repr=False)
    judge: Callable[[Mapping[str, str], str], bool | None] = field(repr=False)
    near: Callable[[Mapping[str, str], Random], str] = field(repr=False, default=_no_neighbour)

    @property
    def wordings(self) -> Mapping[str, tuple[str, ...]]:
        """The instruction's wordings: "seen" for training and tests, "new" for tests only."""
        entry = material("instructions")[self.name]
        return {name: tuple(entry[name]) for name in ("seen", "new")}

    def record(self, place: Place, rng: Random, wording: str = "seen") -> Record:
        """One checked record of the place's split, in one of its wordings."""
        while split_of((task := self.make(place, rng)).input) != place.split:
            pass
        instruction = rng.choice(self.wordings[wording]).format_map(task.slots)
        record = {
            "task": self.name,
            "instruction": instruction,
            "input": task.input,
            "output": task.output,
            "metric": self.metric,
            "wording": wording,
            **task.fields,
        }
        assert self.judge(record, task.output), record
        return record


LABELS = ("Word", "Words", "Numbers", "Sentence", "Text", "Review", "Passage", "Question", "Table")
LABEL = re.compile(rf"\A\s*(?:{'|'.join(LABELS)}): ")


def body(record: Mapping[str, str]) -> str:
    """The input without the label in front of it ("Words: fig, pot"), if it has one.

    Inputs have labels because a tokenizer cuts a word at the beginning of a line otherwise than behind a space, where
    the words of a corpus mostly stand.
    """
    return LABEL.sub("", record["input"], count=1)


def split_of(text: str) -> str:
    """The split that an input belongs to: "train" or "test"."""
    return "test" if sum(text.lower().encode()) % TEST_EVERY == 0 else "train"


def same(first: str, second: str) -> bool:
    """Whether two answers say the same: without regard to case, spaces and the marks at their ends."""
    return plain(first) == plain(second)


def plain(answer: str) -> str:
    """The answer in lower case, single spaces, without marks at its ends."""
    return " ".join(answer.lower().split()).strip(" .!?\"'")


def read_slots(pattern: str, text: str, shapes: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """The pattern's ``{slots}`` as they stand in the text, None where the text is not of that pattern.

    ``shapes`` are regular expressions for slots that are not just any words.
    """
    found = compiled(pattern, tuple((shapes or {}).items())).fullmatch(text)
    return found.groupdict() if found else None


@cache
def compiled(pattern: str, shapes: tuple[tuple[str, str], ...] = (), flags: int = 0) -> re.Pattern[str]:
    """The pattern as a regular expression; a slot that comes twice must be the same both times."""
    known, seen, parts = dict(shapes), set(), []
    for piece in re.split(r"(\{\w+\})", pattern):
        name = piece[1:-1]
        if not re.fullmatch(r"\{\w+\}", piece):
            parts.append(re.escape(piece))
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>{known.get(name, '.+?')})")
    return re.compile("".join(parts), flags)
