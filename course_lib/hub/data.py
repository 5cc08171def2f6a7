"""From a data set's name to the files of its training and test part, and the columns to read in them.

Data sets on the hub are folders of parquet, csv or json files whose names say which part they are, such as
``train-00000.parquet`` or ``data/test.csv``. Those names are all that is needed; a loading script is never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.hub.fetch import Choose, cached, fetch
from course_lib.hub.sources import DATA, DataSource, Repository, Task, data_sets, hub_repository

Format = Literal["csv", "json", "parquet"]
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
PARTS = {
    "train": r"train(ing)?",
    "validation": r"valid(ation)?|val|dev(elopment)?",
    "test": r"test(ing)?|eval(uation)?",
}


@dataclass(frozen=True)
class DataFiles:
    """Files of one data set. ``label_names`` maps raw label values to class names; empty: every value is a class.

    ``test`` is empty when the data set has no test part. Of questions and answers, ``text`` and ``label`` name the two
    columns; of instructions, ``columns`` says which column is which (empty: as the records look).
    """

    name: str
    format: Format
    train: list[Path]
    test: list[Path]
    text: str = "text"
    label: str = "label"
    label_names: Mapping[Any, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


COLUMNS: dict[Task, dict[str, Any]] = {  # what a data set outside the table is taken to have
    "labels": {},
    "answers": {"text": "question", "label": "answer"},
    "instructions": {},
}
KINDS: dict[Task, str] = {
    "labels": "texts with a class each",
    "answers": "questions with answers in words",
    "instructions": "instructions with what was done",
}


def data_files(name: str, task: Task = "labels") -> DataFiles:
    """The files of a data set: a short name, a local file or folder, or a hub id (``org/name/folder@revision``).

    ``task`` is what the caller can read: labelled texts, questions with answers, or instructions. Raises CourseError
    when the data set is not there, is of another kind, holds no table, or cannot be had.
    """
    source = DATA.get(name)
    if source and source.task != task:
        raise CourseError(
            f"The data set {name!r} holds {KINDS[source.task]}, but here {KINDS[task]} are needed: "
            f"choose {' or '.join(data_sets(task))}, or a file of yours."
        )
    if source:
        return named(source)
    return replace(unnamed(name, task), **COLUMNS[task])


def unnamed(name: str, task: Task) -> DataFiles:
    """The files of a data set that has no short name."""
    path = Path(name).expanduser()
    if path.exists():
        return local(path)
    if path.suffix.lower() in FORMATS:
        raise CourseError(f"There is no file {name}: check the path, seen from the folder {Path.cwd()}.")
    repository, part = hub_repository(name, "dataset", data_sets(task))
    folder, names = fetch(repository, partial(table_files, f"The {repository}", part))
    return parted(name, folder, names)


def named(source: DataSource) -> DataFiles:
    """The files of a data set in the table."""
    columns: Mapping[str, Any] = {name: getattr(source, name) for name in ("text", "label", "label_names", "columns")}
    if source.asset:
        return DataFiles(source.name, source.format, [asset(source.asset)], [], **columns)
    folder, _ = fetch(*wanted(source))
    train, test = ([folder / name for name in part] for part in (source.train, source.test))
    return DataFiles(source.name, source.format, train, test, **columns)


def wanted(source: DataSource) -> tuple[Repository, Choose]:
    """The repository of a data set in the table, and the choice of its files."""
    repository = Repository("dataset", source.repo, source.revision)
    return repository, partial(exactly, f"The {repository}", (*source.train, *source.test))


def data_held(name: str) -> bool:
    """Whether nothing of a data set of the table has to be downloaded."""
    source = DATA[name]
    return bool(source.asset) or cached(*wanted(source)) is not None


def exactly(what: str, files: Iterable[str], names: Iterable[str]) -> list[str]:
    """These files and no others; CourseError if one of them is not there."""
    lost = sorted(set(files) - set(names))
    if lost:
        raise CourseError(f"{what} has no {', '.join(lost)}: its revision is not the one that the course was made for.")
    return list(files)


def local(path: Path) -> DataFiles:
    """A file of the user's, or a folder with files whose names say which part they are."""
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        return parted(str(path), path, table_files(f"The folder {path}", "", names))
    if path.suffix.lower() not in FORMATS:
        raise CourseError(
            f"{path} is no table that the course can read: give a file that ends in {', '.join(FORMATS)}."
        )
    return DataFiles(str(path), FORMATS[path.suffix.lower()], [path], [])


def table_files(what: str, part: str, names: Iterable[str]) -> list[str]:
    """The data files among these names: of one format (parquet before csv before json) and from one folder.

    ``part`` is the folder to look in. Raises CourseError when there is none, or more than one to choose from.
    """
    tables: dict[str, list[str]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix.lower() in FORMATS and path.name not in NOT_DATA and (not part or name.startswith(part + "/")):
            tables.setdefault(FORMATS[path.suffix.lower()], []).append(name)
    if not tables:
        inside = f" in its folder {part!r}" if part else ""
        raise CourseError(
            f"{what} holds no parquet, csv or json files{inside}, and the course runs no loading scripts: "
            "choose another copy of the data, or download a table and give its path."
        )
    files = next(tables[kind] for kind in ("parquet", "csv", "json") if kind in tables)
    folders = sorted({home(name) for name in files})
    if len(folders) > 1:
        shown = ", ".join(folder or "." for folder in folders[:8]) + (", ..." if len(folders) > 8 else "")
        raise CourseError(f"{what} holds several data sets ({shown}): add the folder of one of them to the name.")
    return files


def home(name: str) -> str:
    """The folder a data file belongs to, without the folder that only says which part it is."""
    folders = PurePosixPath(name).parts[:-1]
    return "/".join(folders[:-1] if folders and part_of(folders[-1]) else folders)


def part_of(name: str) -> str:
    """Which part a file or folder name speaks of: "train", "validation", "test", or "" if it does not say."""
    for part, words in PARTS.items():
        if re.search(rf"(?<![a-z])({words})(?![a-z])", name.lower()):
            return part
    return ""


def parted(name: str, folder: Path, names: list[str]) -> DataFiles:
    """Sort files into training and test part; a validation part is the test where there is no other."""
    parts: dict[str, list[Path]] = {}
    for file in names:
        path = PurePosixPath(file)
        parts.setdefault(part_of(path.name) or part_of(path.parent.name), []).append(folder / file)
    train = parts.get("train") or parts.get("") or []
    test = parts.get("test") or parts.get("validation") or []
    if not train:
        train, test = test, []
    return DataFiles(name, FORMATS[PurePosixPath(names[0]).suffix.lower()], train, test)
