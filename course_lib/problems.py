"""Word problems with worked steps: of the course's world, of a data set, or of a file of your own.

`load` gives records that prompts are made of, each a question, the steps to its answer, and the answer, which is one
number. The world makes as many as are asked for. A data set has the columns "question" and "answer", and the second is
written as in GSM8K (Cobbe et al. 2021): the steps, one on a line, then "####" and the number. Its notes for calculators
("<<48/2=24>>") say nothing that is not in the text, and are left out. The steps come as one line, since in a prompt the
end of the line ends them.

    >>> final_number("48 / 2 = 24 clips in May, so 1,072 altogether.")
    '1072'

Left out: answers that are no numbers, and several right answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import Random

from course_lib import hub
from course_lib.errors import CourseError
from course_lib.records.formats import open_table

WORLD = "world"
ENDLESS = 200  # problems of the world where no number is asked for
TEST_SHARE = 0.25  # of a file that is not in two parts
MARK = "####"
NOTE = re.compile(r"<<[^<>]*>>")
NUMBER = r"-?(?:\$\s?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
ALONE = re.compile(rf"\$?({NUMBER})(?![\w/]|\.\d|,\d)")  # at the start of what follows the mark; not the 3 of 3/4

Record = dict[str, str]


def load(
    name: str,
    part: str = "test",
    size: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    columns: tuple[str, str] | None = None,
) -> list[Record]:
    """Problems as records with the keys question, steps (one line), answer (a number) and n_steps.

    ``name`` is "world", a data set of questions and answers (`hub.DATA`), a file or a hub id; ``part`` "train" or
    "test". A file that is not in two parts is cut in two, a quarter for the test. ``size`` draws by ``seed`` (None: all
    there are, of the world's 200); ``steps`` keeps the problems of that many steps; ``columns`` names those of question
    and answer, where they are called otherwise. Raises CourseError when there is nothing of the kind, or a row is not
    as described above.
    """
    if part not in ("train", "test"):
        raise CourseError(f"Problems have the parts 'train' and 'test', not {part!r}: name one of these.")
    if size is not None and size < 1:
        raise CourseError(f"{size} problems cannot be drawn: ask for 1 or more.")
    if name == WORLD:
        return _invented(part, ENDLESS if size is None else size, seed, steps)
    found = _collected(name, part, columns)
    if steps is not None:
        found = [record for record in found if record["n_steps"] == str(steps)]
    if not found:
        which = "" if steps is None else f" of {steps} steps"
        raise CourseError(f"{name} has no {part} problems{which}: choose another part or other data.")
    order = list(range(len(found)))
    Random(f"problems of {seed}").shuffle(order)  # so that a larger size only adds to a smaller one
    return found if size is None else [found[k] for k in order[:size]]


def final_number(text: str) -> str | None:
    """The number a worked answer ends with, as digits: what follows "####" where that is, else the last one; or None.

    >>> [final_number(text) for text in ("#### $1,080", "It is 5.", "-3.50", "five")]
    ['1080', '5', '-3.5', None]
    """
    if MARK in text:
        return _alone(text.rpartition(MARK)[2])
    numbers = re.findall(rf"(?<![\w.]){NUMBER}", text)
    return _plain(numbers[-1]) if numbers else None


def parse(question: str, answer: str) -> Record | None:
    """The record of one row, or None when its answer does not end with a number."""
    worked, mark, last = answer.rpartition(MARK)
    number = _alone(last)
    if number is None or (not mark and not re.fullmatch(rf"\$?{NUMBER}\.?", last.strip())):
        return None
    lines = [line.strip() for line in NOTE.sub("", worked).splitlines() if line.strip()]
    steps = " ".join(line if line[-1] in ".!?:;" else f"{line}." for line in lines)
    return {"question": question.strip(), "steps": steps, "answer": number, "n_steps": str(len(lines))}


def _alone(text: str) -> str | None:
    match = ALONE.match(text.strip())
    return _plain(match[1]) if match else None


def _plain(number: str) -> str | None:
    """A number as digits, a sign and a point: "$1,080.50" is "1080.5"."""
    try:
        value = Decimal(re.sub(r"[$,\s]", "", number)).normalize()
    except InvalidOperation:
        return None
    return format(abs(value) if value.is_zero() else value, "f")


def _invented(part: str, size: int, seed: int, steps: int | None) -> list[Record]:
    from course_lib.world.place import Place
    from course_lib.world.problems import items

    return items(Place.build(split=part), Random(f"{part} problems {seed}"), size, steps=steps)


def _collected(name: str, part: str, columns: tuple[str, str] | None) -> list[Record]:
    """The problems of one part of a data set or a file, each question once."""
    files = hub.data_files(name, task="answers")
    if columns:
        files = replace(files, text=columns[0], label=columns[1])
    if files.test:
        return _read(files.train if part == "train" else files.test, files)
    whole = _read(files.train, files)
    Random("a quarter is for the test").shuffle(whole)
    cut = max(1, round(TEST_SHARE * len(whole)))
    return whole[cut:] if part == "train" else whole[:cut]


def _read(paths: Sequence[Path], files: hub.DataFiles) -> list[Record]:
    records: dict[str, Record] = {}
    for path in paths:
        table = open_table(path, files.text, files.label)
        for row, (question, answer) in enumerate(zip(table.texts, table.labels, strict=True)):
            for column, value in ((files.text, question), (files.label, answer)):
                if not str("" if value is None else value).strip():
                    raise table.fault(row, column, "the cell is empty: fill it in or remove the row.")
            record = parse(str(question), str(answer))
            if record is None:
                problem = f'it does not end with {MARK} and a number: write the steps, then "{MARK} 42".'
                raise table.fault(row, files.label, problem)
            records.setdefault(record["question"], record)
    return list(records.values())
