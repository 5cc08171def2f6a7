"""From a name or a file of your own to a split that is ready for training."""

from __future__ import annotations

from pathlib import Path

from course_lib.errors import CourseError
from course_lib.records.collection import Records
from course_lib.records.files import SUFFIXES
from course_lib.records.reading import read
from course_lib.records.splitting import Split, split, without_copies

TEST_SHARE = 0.25


def load(
    name_or_path: str | Path,
    text: str | None = None,
    label: str | None = None,
    *,
    test: str | Path | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    seed: int = 0,
) -> Split:
    """Training and test records of a named data set (`hub.DATA`) or of a file, without copies across the two.

    ``text`` and ``label`` name columns (default: the data set's own, or "text" and "label"). Test records are, in this
    order, those of ``test``, those that the source brings along, or a quarter of all, by class. Copies are dropped
    from the training records first; ``train_size`` and ``test_size`` then sample by class.
    """
    from course_lib import hub

    if not str(name_or_path).strip():
        known = ", ".join(hub.data_sets("labels"))
        raise CourseError(f"A data set needs a name: give the path of a file or one of {known}.")
    if str(name_or_path) in hub.DATA or not _is_file(Path(name_or_path)):
        files = hub.data_files(str(name_or_path))
        sources, held_out = list(files.train), list(files.test)
        text, label, names, name = text or files.text, label or files.label, files.label_names, files.name
    else:
        sources, held_out, names, name = [Path(name_or_path)], [], {}, Path(name_or_path).name
        text, label = text or "text", label or "label"
    if test is not None:
        held_out = [Path(test)]
    records = read(sources, text, label, label_names=names, name=name)
    if held_out:
        given = read(held_out, text, label, classes=records.classes, label_names=names, name=name)
        whole = without_copies(records, given)
    else:
        whole = split(records, test=TEST_SHARE, seed=seed)
    return Split(
        _sampled(whole.train, train_size, "train_size", seed),
        _sampled(whole.test, test_size, "test_size", seed),
        whole.exact,
        whole.near,
    )


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or path.expanduser().is_file()


def _sampled(records: Records, size: int | None, option: str, seed: int) -> Records:
    if size is None:
        return records
    classes = len(set(records.labels))
    if size < classes:
        raise CourseError(f"{option} is {size}, but {records.name} has {classes} classes: give at least {classes}.")
    return records.sample(size, seed)
