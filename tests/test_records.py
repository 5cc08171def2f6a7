"""Reading, validating, splitting and sampling of labelled texts."""

from __future__ import annotations

import csv
import json
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from course_lib import hub
from course_lib.errors import CourseError
from course_lib.records import Records, load, read, split, without_copies
from course_lib.records.duplicates import exact_copies, near_copies, shingles

GOOD = [("a fine kettle", "good"), ("it broke at once", "bad"), ("very pleased", "good"), ("never again", "bad")]
ODD = [
    ('He said "no", then left', "a,b"),
    ("two\nlines", "x"),
    ("windows\r\nlines", "x"),
    ("NA", "a,b"),
    ("null", "x"),
    ("N/A", "x"),
    ("2021-03-04", "x"),
    ("  spaces around  ", "x"),
    ("café 😀👩🏽‍🚀", "ü"),
    ("خدمة ممتازة جدًا", "ü"),
    ("line\u2028separator and \x85 too", "x"),
    ("007", "x"),
    ("long " * 20_000, "x"),
]


def write_csv(path: Path, rows: list[tuple], header: tuple = ("text", "label"), delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def write_jsonl(path: Path, rows: list[tuple], header: tuple = ("text", "label")) -> Path:
    lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows]
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path


def write_json(path: Path, rows: list[tuple], header: tuple = ("text", "label")) -> Path:
    path.write_text(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=1), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[tuple], header: tuple = ("text", "label")) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [list(column) for column in zip(*rows, strict=True)] or [[], []]
    pq.write_table(pa.table(dict(zip(header, columns, strict=True))), path)
    return path


WRITERS = {
    ".csv": write_csv,
    ".tsv": lambda path, rows, header=("text", "label"): write_csv(path, rows, header, "\t"),
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".parquet": write_parquet,
}


def write(folder: Path, suffix: str, rows: list[tuple], header: tuple = ("text", "label"), stem: str = "mine") -> Path:
    return WRITERS[suffix](folder / f"{stem}{suffix}", rows, header)


def refusal(call, *args, **kwargs) -> str:
    """The sentence of the CourseError that a call ends in."""
    with pytest.raises(CourseError) as caught:
        call(*args, **kwargs)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence[-1] in ".?"
    assert len(sentence) < 400
    return sentence


def balanced(n: int, classes: int = 2, name: str = "mine") -> Records:
    """Records of which no two share three words in a row."""
    texts = tuple(f"text{k} word{k} about{k} nothing{k} else{k}" for k in range(n))
    return Records(texts, tuple(k % classes for k in range(n)), tuple(f"class {k}" for k in range(classes)), name)


# What can be read


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_records(tmp_path, suffix):
    records = read(write(tmp_path, suffix, GOOD))
    assert records.texts == tuple(text for text, _ in GOOD)
    assert records.classes == ("bad", "good")
    assert records.labels == (1, 0, 1, 0)
    assert records.name == f"mine{suffix}"


@pytest.mark.parametrize("suffix", WRITERS)
def test_odd_texts_and_labels_survive_every_format_unchanged(tmp_path, suffix):
    records = read(write(tmp_path, suffix, ODD))
    assert records.texts == tuple(text for text, _ in ODD)
    assert [records.classes[label] for label in records.labels] == [label for _, label in ODD]


@pytest.mark.parametrize("suffix", WRITERS)
def test_random_texts_survive_every_format_unchanged(tmp_path, suffix):
    draw = random.Random(7)
    letters = "ab ,;|\t\"'\n\r\\#é漢😀"
    rows = [("x" + "".join(draw.choices(letters, k=draw.randrange(12))), "xy"[k % 2]) for k in range(1000)]
    assert read(write(tmp_path, suffix, rows)).texts == tuple(text for text, _ in rows)


@pytest.mark.parametrize("header", [("class", "import"), ("the text", "Étiquette"), ("text.1", "0"), ("'a'", "None")])
@pytest.mark.parametrize("suffix", WRITERS)
def test_columns_may_have_any_name(tmp_path, suffix, header):
    assert len(read(write(tmp_path, suffix, GOOD, header), *header)) == 4


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path, suffix):
    path = write(tmp_path, suffix, GOOD)
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + content)
    assert read(path).texts == tuple(text for text, _ in GOOD)


def test_other_columns_duplicate_names_and_blank_lines_do_no_harm(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\nid,,label,id,text\n1,,good,2,fine thing\n\n   \n3,x,bad,4,poor thing\n\n", encoding="utf-8")
    assert read(path).texts == ("fine thing", "poor thing")


def test_a_path_with_pattern_characters_is_a_plain_path(tmp_path):
    folder = tmp_path / "a [1] b"
    folder.mkdir()
    write(folder, ".csv", [("wrong", "x"), ("file", "y")], stem="m")
    path = write(folder, ".csv", GOOD, stem="[m]*?")
    assert len(read(path)) == 4


def test_a_file_that_changes_is_read_anew(tmp_path):
    path = write(tmp_path, ".csv", GOOD)
    os.utime(path, (1, 1))
    assert "a fine kettle" in read(path).texts
    write(tmp_path, ".csv", [("another text", "good"), *GOOD[1:]])
    os.utime(path, (1, 1))
    assert "a fine kettle" not in read(path).texts


def test_reading_prints_nothing_and_puts_the_settings_of_datasets_back(tmp_path, capfd, monkeypatch):
    import datasets

    bars = []
    monkeypatch.setattr(datasets, "are_progress_bars_disabled", lambda: False)
    monkeypatch.setattr(datasets, "enable_progress_bars", lambda: bars.append("on again"))
    level = datasets.utils.logging.get_verbosity()
    read(write(tmp_path, ".csv", GOOD))
    read(write(tmp_path, ".parquet", GOOD))
    assert capfd.readouterr() == ("", "")
    assert datasets.utils.logging.get_verbosity() == level
    assert bars == ["on again", "on again"]


def test_several_files_are_read_one_after_the_other(tmp_path):
    parts = [write(tmp_path, ".parquet", GOOD[:2], stem="a"), write(tmp_path, ".parquet", GOOD[2:], stem="b")]
    assert read(parts).texts == tuple(text for text, _ in GOOD)


@pytest.mark.parametrize(
    ("raw", "classes"),
    [
        ([10, 9, 9, 10], ("9", "10")),
        ([1.0, 0.0, 0.0, 1.0], ("0", "1")),
        (["1.0", "2", "1", "2.00"], ("1", "2")),
        ([True, False, False, True], ("False", "True")),
        (["3.5", "10", "10", "-1"], ("-1", "3.5", "10")),
        ([" good", "bad", "bad ", "good"], ("bad", "good")),
        (["b", "10", "9", "b"], ("10", "9", "b")),
    ],
)
@pytest.mark.parametrize("suffix", WRITERS)
def test_labels_of_any_kind_become_classes_in_their_order(tmp_path, suffix, raw, classes):
    rows = [(text, label) for (text, _), label in zip(GOOD, raw, strict=True)]
    assert read(write(tmp_path, suffix, rows)).classes == classes


def test_json_lines_may_mix_kinds_of_labels_and_leave_out_other_columns(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "label": 1, "x": [1]}\n{"label": "0", "text": "b"}\n\n{"text": "c", "label": 1.0}')
    assert read(path).labels == (1, 0, 1)


def test_class_names_inside_a_parquet_file_are_used(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["pos", "neg"])})
    path = tmp_path / "mine.parquet"
    Dataset.from_dict({"text": ["a b", "c d"], "label": [1, 0]}, features=features).to_parquet(str(path))
    records = read(path)
    assert records.classes == ("pos", "neg")
    assert records.labels == (1, 0)


def test_label_names_rename_order_and_leave_out(tmp_path):
    path = write(tmp_path, ".csv", [("a b", 1), ("c d", 2), ("e f", 3), ("g h", 4), ("", 3)])
    records = read(path, label_names={4: "positive", 1: "negative", "2": "negative"})
    assert records.texts == ("a b", "c d", "g h")
    assert records.classes == ("positive", "negative")
    assert records.counts() == {"positive": 1, "negative": 2}


# What cannot: the file


def test_a_missing_file_is_named_with_the_closest_in_its_folder(tmp_path):
    write(tmp_path, ".csv", GOOD, stem="reviews")
    assert "did you mean reviews.csv?" in refusal(read, tmp_path / "review.csv")
    assert "did you mean reviews.csv?" in refusal(read, tmp_path / "reviews.parquet")
    assert "check the path" in refusal(read, tmp_path / "zzz.csv")
    assert f"nor a folder {tmp_path / 'no'}" in refusal(read, tmp_path / "no" / "reviews.csv")


def test_a_folder_is_not_a_file(tmp_path):
    assert "is a folder" in refusal(read, tmp_path)


def test_an_unsupported_suffix_names_the_supported_ones(tmp_path):
    path = tmp_path / "mine.xlsx"
    path.write_bytes(b"PK\x03\x04")
    assert "mine.xlsx cannot be read: save it as .csv, .tsv, .jsonl" in refusal(read, path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_empty_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    path.touch()
    assert refusal(read, path).startswith(f"mine{suffix} is empty")


@pytest.mark.parametrize(
    ("suffix", "content"), [(".csv", "text,label\n"), (".tsv", "text\tlabel\n\n"), (".json", "[]"), (".jsonl", "\n \n")]
)
def test_a_file_without_rows_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"mine{suffix}"
    path.write_text(content)
    assert "no rows" in refusal(read, path)


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    assert "mine.parquet has no rows" in refusal(read, write_parquet(tmp_path / "mine.parquet", []))


def test_a_file_of_blank_lines_is_empty(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\n \n")
    assert "mine.csv is empty" in refusal(read, path)


def test_a_wrong_encoding_names_the_line_and_the_byte(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("text,label\nfine,good\ncafé,bad\n".encode("latin-1"))
    assert "mine.csv, line 3 is not UTF-8 (byte 0xe9 at position 4)" in refusal(read, path)


def test_utf_16_is_recognised(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nfine,good\n", encoding="utf-16")
    assert "mine.csv is text in UTF-16" in refusal(read, path)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "Excel"),
        (b"\xd0\xcf\x11\xe0", "Excel"),
        (b"PAR1", "parquet"),
        (b"\x1f\x8b", "gzip"),
        (b"%PDF", "PDF"),
    ],
)
def test_a_binary_file_with_the_suffix_of_text_is_recognised(tmp_path, start, what):
    path = tmp_path / "mine.csv"
    path.write_bytes(start + bytes(range(200)))
    assert what in refusal(read, path)


def test_zero_bytes_are_found_with_their_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,label\nfine,good\nbr\0ken,bad\n")
    assert "mine.csv, line 3 holds binary data" in refusal(read, path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    assert "mine.csv, line 1 holds binary data" in refusal(read, path)


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path, ".csv", GOOD)
    assert "mine.csv needs about" in refusal(read, path, ram_free=4 * path.stat().st_size - 1)
    assert len(read(path, ram_free=4 * path.stat().st_size)) == 4


def test_the_memory_for_a_parquet_file_is_that_of_its_unpacked_content(tmp_path):
    rows = [(f"{k} " + "word " * 2000, k % 2) for k in range(200)]
    path = write(tmp_path, ".parquet", rows)
    assert path.stat().st_size < 100_000
    assert "GiB of memory" in refusal(read, path, ram_free=1_000_000)


def test_the_free_memory_of_this_machine_counts_for_large_files(tmp_path, monkeypatch):
    import course_lib.hardware
    import course_lib.records.files

    monkeypatch.setattr(course_lib.hardware, "memory", lambda: (10**9, 1))
    path = write(tmp_path, ".csv", GOOD)
    assert len(read(path)) == 4
    monkeypatch.setattr(course_lib.records.files, "SMALL", 10)
    assert "0.0 GiB are free" in refusal(read, path)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = write(tmp_path, ".parquet", GOOD)
    path.write_bytes(path.read_bytes()[:-20])
    assert "mine.parquet is damaged or cut short" in refusal(read, path)
    path.write_text("text,label\n")
    assert "mine.parquet is not a parquet file" in refusal(read, path)


def test_damage_inside_a_parquet_file_is_a_sentence_too(tmp_path):
    path = write(tmp_path, ".parquet", [(f"text {k} " * 50, k % 2) for k in range(500)])
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    assert "mine.parquet cannot be read" in refusal(read, path)


# What cannot: columns, fields, JSON


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_missing_column_is_named_with_its_file_and_those_there_are(tmp_path, suffix):
    path = write(tmp_path, suffix, GOOD, ("Review", "label"))
    assert refusal(read, path, "reviews") == (
        f"mine{suffix} has no column 'reviews', it has 'Review', 'label': did you mean 'Review'?"
    )
    assert "name one of these" in refusal(read, path, "qqq")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path, ".csv", [("a", "b", "c")], ("text", "text", "label"))
    assert "mine.csv has 2 columns named 'text'" in refusal(read, path)


def test_text_and_label_must_be_two_columns(tmp_path):
    assert "both the column 'text'" in refusal(read, write(tmp_path, ".csv", GOOD), label="text")


@pytest.mark.parametrize(
    ("suffix", "delimiter", "fix"),
    [
        (".csv", ";", "semicolons, not with commas: save it with commas"),
        (".csv", "\t", "tabs, not with commas: rename it to .tsv"),
        (".csv", "|", "vertical bars, not with commas"),
        (".tsv", ",", "commas, not with tabs: rename it to .csv"),
    ],
)
def test_a_wrong_delimiter_is_recognised(tmp_path, suffix, delimiter, fix):
    path = write_csv(tmp_path / f"mine{suffix}", GOOD, delimiter=delimiter)
    assert f"mine{suffix} separates its columns with {fix}" in refusal(read, path)
    path = write_csv(tmp_path / f"mine{suffix}", GOOD, ("my, t\text", "label"), delimiter=delimiter)
    assert "separates its columns" in refusal(read, path, "my, t\text") or delimiter in ",\t"


def test_rows_with_too_many_or_too_few_fields_are_named_by_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('text,label\n"two\nlines",good\nnice, but small,good\n')
    assert "mine.csv, line 4: 3 fields where the header names 2 columns: put fields" in refusal(read, path)
    path.write_text("text,label\nfine,good\nlonely\n")
    assert "mine.csv, line 3: 1 field where the header names 2 columns: add" in refusal(read, path)


@pytest.mark.parametrize("end", ["", "\n", "\nmore,good\n"])
def test_a_quote_that_is_never_closed_is_named_by_line(tmp_path, end):
    path = tmp_path / "mine.csv"
    path.write_text(f'text,label\nfine,good\n"never closed,bad{end}')
    assert "mine.csv, line 3: a quote opens" in refusal(read, path)


def test_a_malformed_json_line_is_named(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": }\n')
    assert refusal(read, path).startswith("mine.jsonl, line 2, is not valid JSON (expecting value, at character 24)")
    path.write_text('{"text": "a", "label": 1}\n["b", 2]\n')
    assert "mine.jsonl, line 2 is no object" in refusal(read, path)
    path.write_text("[" * 100_000)
    assert "is not valid JSON" in refusal(read, path)


def test_a_malformed_json_list_is_named_with_its_place(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('[{"text": "a", "label": 1},\n {"text" "b"}]')
    assert "mine.json is not valid JSON" in refusal(read, path)
    assert "of line 2" in refusal(read, path)


@pytest.mark.parametrize(("value", "kind"), [(["a"], "a list"), ({"en": "a"}, "an object")])
def test_json_values_that_are_not_single_are_refused(tmp_path, value, kind):
    path = write_jsonl(tmp_path / "mine.jsonl", [("a b", 1), (value, 0)])
    assert f"mine.jsonl, line 2, column 'text': {kind}" in refusal(read, path)


def test_half_a_character_is_refused(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "\\ud83d", "label": 2}\n')
    assert "mine.jsonl, line 2, column 'text': half of a character" in refusal(read, path)


def test_parquet_columns_of_lists_are_refused(tmp_path):
    path = write_parquet(tmp_path / "mine.parquet", [(["a", "b"], 1), (["c"], 0)])
    assert "mine.parquet, column 'text' holds values of the type list" in refusal(read, path)


# What cannot: the contents


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("empty", ["", "  ", None])
def test_an_empty_text_is_named_with_file_row_and_column(tmp_path, suffix, empty):
    path = write(tmp_path, suffix, [*GOOD, (empty, "good"), (empty, "bad"), (empty, "bad")])
    place = {".csv": "line 6", ".tsv": "line 6", ".jsonl": "line 5", ".json": "row 5", ".parquet": "row 5"}[suffix]
    assert f"mine{suffix}, {place}, column 'text': the text is empty (and in 2 more rows)" in refusal(read, path)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("empty", ["", None])
def test_a_missing_label_is_named_with_file_row_and_column(tmp_path, suffix, empty):
    path = write(tmp_path, suffix, [*GOOD, ("some text", empty)])
    place = {".csv": "line 6", ".tsv": "line 6", ".jsonl": "line 5", ".json": "row 5", ".parquet": "row 5"}[suffix]
    assert f"mine{suffix}, {place}, column 'label': the label is missing: fill" in refusal(read, path)


def test_a_key_that_some_json_lines_lack_is_a_missing_value(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b"}\n')
    assert "mine.jsonl, line 2, column 'label': the label is missing" in refusal(read, path)


def test_hidden_test_labels_are_missing_labels(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    path = tmp_path / "mine.parquet"
    Dataset.from_dict({"text": ["a b", "c d"], "label": [1, -1]}, features=features).to_parquet(str(path))
    assert "mine.parquet, row 2, column 'label': the label is missing" in refusal(read, path)


@pytest.mark.parametrize("suffix", WRITERS)
def test_numbers_where_text_should_be_are_refused(tmp_path, suffix):
    path = write(tmp_path, suffix, [(k + 0.5, label) for k, (_, label) in enumerate(GOOD)])
    assert f"mine{suffix}, " in refusal(read, path)
    assert "column 'text': numbers where text should be" in refusal(read, path)
    assert len(read(write(tmp_path, suffix, [("404", "bad"), *GOOD]))) == 5


def test_one_class_only_is_refused(tmp_path):
    path = write(tmp_path, ".csv", [(text, "good") for text, _ in GOOD])
    assert refusal(read, path) == (
        "mine.csv, column 'label' has only the class 'good': a classifier needs at least two."
    )


def test_a_label_column_that_is_an_id_is_refused(tmp_path):
    path = write(tmp_path, ".csv", [(f"text number {k}", f"id-{k}") for k in range(60)])
    assert "mine.csv, column 'label' has 60 different labels in 60 rows" in refusal(read, path)
    path = write(tmp_path, ".csv", [(f"text number {k}", f"class {k % 30}") for k in range(120)])
    assert len(read(path).classes) == 30


def test_label_names_that_fit_no_row_are_refused(tmp_path):
    assert "has none of the labels 1, 2, only bad, good" in refusal(
        read, write(tmp_path, ".csv", GOOD), label_names={1: "a", 2: "b"}
    )


def test_a_label_seen_only_in_the_test_set_is_named_with_its_row(tmp_path):
    train = write(tmp_path, ".csv", GOOD, stem="train")
    test = write(tmp_path, ".csv", [("so so", "good"), ("no idea", "mixed")], stem="test")
    assert "test.csv, line 3, column 'label': the label 'mixed' is in no training record" in refusal(
        load, train, test=test
    )


# Records and samples


def test_counts_and_subsets_keep_the_classes():
    records = balanced(10, classes=3)
    assert records.counts() == {"class 0": 4, "class 1": 3, "class 2": 3}
    part = records.subset([6, 0])
    assert part.texts == (records.texts[6], records.texts[0])
    assert part.counts() == {"class 0": 2, "class 1": 0, "class 2": 0}


def test_texts_and_labels_must_match():
    with pytest.raises(ValueError, match="2 texts but 1 labels"):
        Records(("a", "b"), (0,), ("x", "y"))


def test_samples_are_nested_for_growing_sizes():
    records = balanced(97, classes=3)
    previous: set[int] = set()
    for size in range(1, 98):
        chosen = records.sample_indices(size, seed=5)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == size
        assert previous <= set(chosen)
        previous = set(chosen)


def test_every_sample_keeps_the_shares_of_the_classes():
    labels = tuple([0] * 600 + [1] * 300 + [2] * 100)
    records = Records(tuple(map(str, range(1000))), labels, ("a", "b", "c"))
    for size in range(3, 1000, 7):
        for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
            assert abs(records.sample(size, seed=2).counts()[name] - share * size) <= 2


def test_a_rare_class_is_in_every_sample_that_has_room():
    records = Records(tuple(map(str, range(1000))), tuple([0] * 998 + [1, 2]), ("a", "b", "c"))
    assert set(records.sample(3, seed=0).labels) == {0, 1, 2}


def test_samples_depend_on_the_seed_and_on_nothing_else():
    records = balanced(100)
    assert records.sample_indices(20, seed=1) == records.sample_indices(20, seed=1)
    assert records.sample_indices(20, seed=1) != records.sample_indices(20, seed=2)
    assert records.sample(20, seed=1) == records.subset(records.sample_indices(20, seed=1))


def test_a_sample_of_everything_is_the_records_themselves():
    records = balanced(10)
    assert records.sample(10, seed=3) is records
    assert records.sample(99, seed=3) is records
    assert records.sample_indices(99, seed=3) == list(range(10))


def test_a_sample_of_nothing_is_refused():
    assert "at least one record" in refusal(balanced(10).sample, 0)


# Splits


def test_a_split_is_stratified_and_loses_nothing():
    labels = tuple([0] * 600 + [1] * 300 + [2] * 100)
    records = Records(tuple(f"a{k} b{k} c{k}" for k in range(1000)), labels, ("a", "b", "c"))
    parts = split(records, test=0.25, seed=1)
    assert parts.test.counts() == {"a": 150, "b": 75, "c": 25}
    assert sorted(parts.train.texts + parts.test.texts) == sorted(records.texts)
    assert (parts.exact, parts.near) == (0, 0)


def test_a_split_depends_on_the_seed_and_on_nothing_else():
    records = balanced(200)
    assert split(records, seed=1) == split(records, seed=1)
    assert split(records, seed=1).test != split(records, seed=2).test


def test_two_records_of_a_class_are_enough_and_one_is_not():
    records = Records(tuple(f"a{k} b{k} c{k}" for k in range(10)), (0,) * 8 + (1,) * 2, ("many", "few"), "mine")
    parts = split(records)
    assert parts.train.counts()["few"] == parts.test.counts()["few"] == 1
    alone = Records(records.texts, (0,) * 9 + (1,), ("many", "few"), "mine")
    assert refusal(split, alone).startswith("mine: class 'few' has only 1 record, too few for both training and test")


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 25])
def test_a_test_share_outside_0_and_1_is_refused(share):
    assert "between 0 and 1" in refusal(split, balanced(10), test=share)


@pytest.mark.parametrize("near", [0, -1, 1.1])
def test_a_similarity_outside_0_and_1_is_refused(near):
    assert "between 0 and 1" in refusal(split, balanced(10), near=near)


def test_exact_copies_differ_only_in_case_and_white_space():
    assert exact_copies(["A  Straße\n", "a strasse!", "x"], of=["a STRASSE ", "X"]) == [0, 2]


def test_copies_are_dropped_from_training_only_and_counted():
    long = "the lamp came on a tuesday in a box far too large and it has worked every evening since then without fail"
    test = Records((long, "short one", "short one"), (0, 1, 1), ("a", "b"))
    train = Records(
        (long.upper(), long.replace("lamp", "light"), "Short  ONE", "a wholly different text", "b text of its own"),
        (0, 0, 1, 0, 1),
        ("a", "b"),
    )
    parts = without_copies(train, test)
    assert parts.train.texts == ("a wholly different text", "b text of its own")
    assert parts.test == test
    assert (parts.exact, parts.near) == (2, 1)


def test_copies_within_one_side_stay():
    texts = tuple(f"word{k // 2} thing{k // 2} place{k // 2}" for k in range(8))
    train = Records(texts, (0, 1) * 4, ("a", "b"))
    assert len(without_copies(train, balanced(4)).train) == 8


def test_a_class_that_is_all_copies_is_refused():
    train = Records(("one two three", "four five six"), (0, 1), ("a", "b"), "mine")
    test = Records(("one two three", "seven eight nine"), (0, 1), ("a", "b"), "mine")
    assert refusal(without_copies, train, test).startswith(
        "mine: every training record of class 'a' (1) is a copy of a test record"
    )


def similarity(one: str, other: str) -> float:
    """The definition, word for word."""
    a, b = ({tuple(words[k : k + 3]) for k in range(len(words) - 2)} for words in (one.split(), other.split()))
    return len(a & b) / len(a | b)


def test_shingles_are_every_three_words_in_a_row():
    (keys,) = shingles(["a b c d a b c"])
    assert len(keys) == 4  # abc bcd cda dab, and abc again
    assert [len(keys) for keys in shingles(["", "a", "a b", "a b c"])] == [1, 1, 1, 1]
    one, other, third = shingles(["A b, c!", "a B c", "c b a"])
    assert one == other
    assert one != third


def test_near_copies_agree_with_the_definition_of_similarity():
    draw = random.Random(3)
    originals = [" ".join(f"w{draw.randrange(3000)}" for _ in range(60)) for _ in range(200)]
    changed = []
    for text in originals:
        words = text.split()
        for _ in range(draw.randrange(8)):
            words[draw.randrange(60)] = "other"
        changed.append(" ".join(words))
    found = set(near_copies(changed, originals, 0.7))
    values = [similarity(*pair) for pair in zip(changed, originals, strict=True)]
    assert found == {k for k, value in enumerate(values) if value >= 0.7}
    assert 20 < len(found) < 180
    assert min(values) < 0.5
    assert max(values) == 1


def test_near_copies_are_the_same_in_every_process(tmp_path):
    import subprocess
    import sys

    code = "from course_lib.records.duplicates import shingles; print([k.tolist() for k in shingles(['a b c d', 'x'])])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[1],
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_near_copies_are_found_in_scripts_without_spaces():
    original = "这个水壶非常好用而且价格也不贵我很满意下次还会再来购买的推荐给大家"
    assert near_copies([original.replace("水壶", "茶壶"), "完全不同的一句话没有任何相似之处"], [original], 0.7) == [0]


def test_nothing_is_near_to_nothing():
    assert near_copies([], ["a"], 0.7) == []
    assert near_copies(["a"], [], 0.7) == []


# Loading


def rows_of(n: int) -> list[tuple]:
    return [(f"text{k} word{k} about{k} nothing{k}", "good" if k % 2 else "bad") for k in range(n)]


def test_a_file_of_your_own_is_split(tmp_path):
    parts = load(write(tmp_path, ".csv", rows_of(40), ("body", "stars")), "body", "stars")
    assert (len(parts.train), len(parts.test)) == (30, 10)
    assert parts.train.name == "mine.csv"


def test_a_given_test_file_is_used_as_it_is(tmp_path):
    train = write(tmp_path, ".csv", rows_of(40), stem="train")
    test = write(tmp_path, ".jsonl", [*rows_of(3), ("quite new words here", "good")], stem="test")
    parts = load(str(train), test=test)
    assert len(parts.test) == 4
    assert (len(parts.train), parts.exact) == (37, 3)


def test_sizes_sample_after_the_copies_are_dropped(tmp_path):
    rows = rows_of(40)
    train = write(tmp_path, ".csv", rows * 2, stem="train")
    test = write(tmp_path, ".csv", rows[:20], stem="test")
    parts = load(train, test=test, train_size=10, test_size=6, seed=1)
    assert parts.exact == 40
    assert set(parts.train.counts().values()) == {5}
    assert set(parts.test.counts().values()) == {3}
    assert not set(parts.train.texts) & {text for text, _ in rows[:20]}
    assert set(parts.train.texts) <= set(load(train, test=test, train_size=20, seed=1).train.texts)
    assert load(train, test=test, train_size=10, test_size=6, seed=1) == parts


def test_a_size_below_the_number_of_classes_is_refused(tmp_path):
    path = write(tmp_path, ".csv", rows_of(40))
    assert "train_size is 1, but mine.csv has 2 classes" in refusal(load, path, train_size=1)


def test_a_named_data_set_brings_its_columns_and_classes():
    parts = load("reviews", train_size=40, test_size=20)
    assert parts.train.classes == ("negative", "positive")
    assert (len(parts.train), len(parts.test)) == (40, 20)
    assert parts.train.counts() == {"negative": 20, "positive": 20}


def test_a_data_set_with_a_test_part_is_not_split(tmp_path, monkeypatch):
    files = hub.DataFiles(
        name="films",
        format="parquet",
        train=[write(tmp_path, ".parquet", [(text, int(label == "good")) for text, label in rows_of(20)], stem="a")],
        test=[write(tmp_path, ".parquet", [("a new text", 1), ("another new one", 0)], stem="b")],
        label_names={0: "negative", 1: "positive"},
    )
    monkeypatch.setattr(hub, "data_files", lambda name: files)
    parts = load("films")
    assert (len(parts.train), len(parts.test)) == (20, 2)
    assert parts.test.labels == (1, 0)
    assert parts.train.name == "films"


def test_a_folder_with_a_training_and_a_test_file_is_read(tmp_path):
    write(tmp_path, ".csv", rows_of(20), stem="train")
    write(tmp_path, ".csv", [("a new text", "good"), ("another new one", "bad")], stem="test")
    assert len(load(tmp_path).test) == 2


def test_an_unknown_name_is_refused():
    assert "no-such-data" in refusal(load, "no-such-data")
    assert "one of reviews" in refusal(load, "")


def test_importing_records_imports_nothing_heavy():
    import subprocess
    import sys

    heavy = "torch datasets pandas pyarrow datasketch sklearn transformers"
    code = f"import sys, course_lib.records; print(*sorted({set(heavy.split())} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.strip() == ""


def test_every_sentence_of_the_package_is_one_sentence():
    import course_lib.records

    for path in Path(course_lib.records.__file__).parent.glob("*.py"):
        for sentence in re.findall(r'CourseError\(\s*f?"([^"]+)"\s*\)', path.read_text(encoding="utf-8")):
            assert Counter(sentence)[". "] == 0, sentence
