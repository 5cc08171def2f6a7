"""A noisy variant of instruction data in which the noise is known: what is wrong with a record stands in it.

    wrong       another record's answer, the next number, the other choice: an answer as a careless person gives it
    duplicate   a clean record once more, word by word ("exact") or with other case, spaces or a word before it ("near")
    format      the right answer in the wrong form: in chatter, cut off, running on into the next task, behind its own
                instruction, in the wrong language

As many records come out as go in, so a noisy set can be compared with the clean one of the same size: duplicates take
the place of other records. Left out: noise in the inputs, and noise that depends on the task's difficulty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from course_lib.errors import CourseError
from course_lib.world import dialect
from course_lib.world.instructions.kind import Record, body, plain
from course_lib.world.instructions.mixing import KINDS, checked
from course_lib.world.place import Place

NOISE = ("wrong", "duplicate", "format")
CHATTER = (
    "Of course! The answer is: {answer} I hope this is good.",
    "I think it is {answer}",
    "Good question. Here is what you asked for: {answer}",
    "{answer} Is there more that you want to know?",
)
MOST_TRIES = 200


def noisy(
    records: Sequence[Mapping[str, str]],
    rng: Random,
    wrong: float = 0.3,
    duplicates: float = 0.2,
    format_errors: float = 0.1,
) -> list[Record]:
    """The records with noise in these shares of them (rounded to whole records), each telling its own.

    Three fields come with it: "noise" ("", "wrong", "duplicate" or "format"), "detail" (which sort of it) and "right"
    (the right answer). Raises CourseError for shares that leave no clean record to duplicate, for negative ones, and
    for records of an unknown kind.
    """
    shares = dict(zip(NOISE, (wrong, duplicates, format_errors), strict=True))
    possible = all(0 <= share <= 1 for share in shares.values())
    counts = {name: round(share * len(records)) if possible else 0 for name, share in shares.items()}
    clean = len(records) - sum(counts.values())
    if not possible or clean < (1 if counts["duplicate"] else 0):
        raise CourseError(f"Shares of noise are from 0 to 1 and leave some records clean; {shares} do not.")
    unknown = {record.get("task", "none") for record in records} - set(KINDS)
    if unknown:
        raise CourseError(f"Noise is made for the world's own tasks; {min(unknown)!r} is none of {', '.join(KINDS)}.")
    order = rng.sample(range(len(records)), len(records))
    spoilt = [name for name in NOISE for _ in range(counts[name])]
    made: dict[int, Record] = {}
    for place, name in zip(order, spoilt, strict=False):
        record = dict(records[rng.choice(order[len(spoilt) :])] if name == "duplicate" else records[place])
        made[place] = {**record, "noise": name, "right": record["output"]}
        made[place].update(_SPOIL[name](record, records, rng))
    return [
        made.get(k) or {**record, "noise": "", "detail": "", "right": record["output"]}
        for k, record in enumerate(records)
    ]


def _wrong(record: Record, records: Sequence[Mapping[str, str]], rng: Random) -> Record:
    """An answer that the judge knows to be wrong."""
    kind = KINDS[record["task"]]
    others = [other["output"] for other in records if other["task"] == record["task"]]
    for tried in range(MOST_TRIES):
        near = kind.near(record, rng) if tried % 2 == 0 else ""
        if not near and tried > MOST_TRIES // 2:  # no other record has a wrong answer to lend
            others = [kind.record(Place.build(), rng)["output"]]
        answer = near or rng.choice(others)
        if checked(record, answer) is False:
            return {"output": answer, "detail": "near" if near else "other"}
    raise AssertionError(f"no wrong answer found for {record}")


def _duplicate(record: Record, records: Sequence[Mapping[str, str]], rng: Random) -> Record:
    if rng.random() < 0.5:
        return {"detail": "exact"}
    return {**rng.choice(_NEAR)(record), "detail": "near"}


_NEAR: tuple[Callable[[Record], Record], ...] = (
    lambda record: {"instruction": record["instruction"].lower()},
    lambda record: {"instruction": record["instruction"].upper()},
    lambda record: {"instruction": record["instruction"].rstrip(".?"), "input": record["input"] + " "},
    lambda record: {
        "input": record["input"].replace(" ", "  ", 1) if " " in record["input"] else record["input"] + " "
    },
    lambda record: {"instruction": "Please: " + record["instruction"]},
    lambda record: {"instruction": "Now " + record["instruction"][0].lower() + record["instruction"][1:]},
)


def _format(record: Record, records: Sequence[Mapping[str, str]], rng: Random) -> Record:
    """One of the errors of form that this answer can have."""
    other = rng.choice(records)
    answer = record["output"]
    ways = {
        "chatter": rng.choice(CHATTER).format(answer=answer),
        "cut off": answer[: max(1, len(answer) * 2 // 3)].rstrip(),
        "runs on": f"{answer}\n\n{other['instruction']}\n{other['input']}",
        "instruction": f"{record['instruction']} {answer}",
        "language": body(record) if record["task"] == "dialect" else dialect.translate(answer),
    }
    detail = rng.choice([name for name, text in ways.items() if plain(text) != plain(answer)])
    return {"output": ways[detail], "detail": detail}


_SPOIL: Mapping[str, Callable[[Record, Sequence[Mapping[str, str]], Random], Record]] = {
    "wrong": _wrong,
    "duplicate": _duplicate,
    "format": _format,
}
