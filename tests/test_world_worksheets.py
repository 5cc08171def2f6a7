"""Worksheets: rows that keep their rule, labels that follow classes, and questions that only examples can answer."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from course_lib.world import rewrites, worksheets
from course_lib.world.lexicon import lexicon
from course_lib.world.place import Place
from course_lib.world.worksheets import LAYOUTS, LONGEST, MAPPINGS, Worksheet, document, items, sample

TRAIN, TEST = Place.build(), Place.build(split="test")
KINDS = (*MAPPINGS, "dictionary", "rewrite")


def sheets(kind: str, n: int = 300, **options: int) -> list[Worksheet]:
    rng = Random(kind)
    return [sample(TRAIN, rng, kind, **options) for _ in range(n)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_worksheet_has_8_to_24_rows_with_two_sides(kind: str) -> None:
    for sheet in sheets(kind):
        assert 8 <= len(sheet.rows) <= 24
        assert all(a and b and a == a.strip() and b == b.strip() for a, b in sheet.rows)


def test_a_label_belongs_to_all_words_of_its_class_and_to_no_other() -> None:
    for sheet in sheets("words"):
        assert len(set(sheet.labels)) == len(sheet.classes) == len({b for _, b in sheet.rows})
        of_word = dict(sheet.rows)
        assert all(of_word[a] == b for a, b in sheet.rows)
        for a, b in sheet.rows:
            name = lexicon().class_of.get(a)
            if name:
                assert b == sheet.labels[sheet.classes.index(name)]


def test_the_words_of_a_document_come_back_and_yet_some_are_new() -> None:
    repeated = Counter(
        a in {b for b, _ in sheet.rows[:i]} for sheet in sheets("words") for i, (a, _) in enumerate(sheet.rows)
    )
    share = repeated[True] / repeated.total()
    assert 0.4 < share < 0.8


def test_the_class_of_a_row_cannot_be_guessed_from_the_row_before() -> None:
    same = Counter(
        first[1] == second[1]
        for sheet in sheets("words", 600, classes=2)
        for first, second in zip(sheet.rows, sheet.rows[1:], strict=False)
    )
    assert same[True] / same.total() == pytest.approx(0.5, abs=0.03)


def test_labels_of_one_worksheet_differ_in_their_first_letters_when_they_are_made_up() -> None:
    words = lexicon().words
    made_up = [sheet.labels for sheet in sheets("words") if all(b not in words and len(b) > 3 for b in sheet.labels)]
    assert len(made_up) > 200
    assert all(len({label[:2] for label in labels}) == len(labels) for labels in made_up)


def test_a_dictionary_gives_every_word_one_partner_and_repeats_itself() -> None:
    for sheet in sheets("dictionary"):
        pairs = set(sheet.rows)
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) <= 8


@pytest.mark.parametrize("rule", rewrites.rules())
def test_every_rule_gives_rows_that_its_own_check_accepts_and_it_refuses_wrong_ones(rule: str) -> None:
    rng, check, make = Random(rule), rewrites.rules()[rule].holds, rewrites.rules()[rule].make
    for _ in range(20):
        name, rows = rewrites.rewrite(rng, 12, rule)
        assert name == rule
        assert all(check(a, b) for a, b in rows)
    # A row with the right side of another row is wrong, unless both happen to have the same one.
    a, b = rows[0]
    others = {other for _, other in (make(rng) for _ in range(200))} - {b, a, *b.split()}
    assert not any(check(a, other) for other in sorted(others))


def test_a_row_that_breaks_its_rule_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = rewrites.Rule("broken", 1, lambda rng: ("4", "6"), lambda a, b: int(b) - int(a) == 1)
    monkeypatch.setattr(rewrites, "rules", lambda: {"broken": broken})
    with pytest.raises(AssertionError, match="does not follow"):
        rewrites.rewrite(Random(0), 8, "broken")


def test_a_row_with_the_label_of_another_class_stops_the_generator() -> None:
    rows = (("mango", "zomek"), ("goat", "zomek"))
    with pytest.raises(AssertionError, match="'goat'"):
        worksheets._check_labels(rows, ("fruit", "animal"), ("zomek", "tulba"))
    with pytest.raises(AssertionError, match="mango goat"):
        worksheets._check_labels((("mango goat", "zomek"),), ("fruit", "animal"), ("zomek", "tulba"))


@pytest.mark.parametrize(
    ("rule", "row"),
    [("plural", ("mango", "mangoes")), ("past", ("go", "went")), ("ing", ("stop", "stopping"))],
)
def test_irregular_words_bend_as_they_should(rule: str, row: tuple[str, str]) -> None:
    rng = Random(0)
    assert row in {rewrites.rules()[rule].make(rng) for _ in range(20_000)}


def test_documents_are_plain_text_of_a_bounded_length_and_all_different() -> None:
    rng = Random(0)
    texts = [document(TRAIN, rng) for _ in range(2000)]
    assert all(text.isascii() and text == text.strip() and 50 <= len(text) <= LONGEST for text in texts)
    assert len(set(texts)) == len(texts)
    assert 300 < sum(map(len, texts)) / len(texts) < 500


def test_the_same_seed_gives_the_same_documents() -> None:
    assert [document(TRAIN, Random(5)) for _ in range(3)] == [document(Place.build(), Random(5)) for _ in range(3)]


def test_the_main_layout_is_the_most_frequent_and_every_layout_occurs() -> None:
    rng = Random(1)
    counts: Counter[str] = Counter()
    for _ in range(1500):
        line = document(TRAIN, rng).split("\n", maxsplit=1)[0]
        counts.update(
            ["main" if " : " in line and ";" not in line else line.split(" ")[0] if line[0] in "IQ-w" else "?"]
        )
    assert 0.35 < counts["main"] / 1500 < 0.55
    assert {"Input:", "Q:", "-", "word:", "we"} <= counts.keys()


def test_a_query_is_a_row_without_its_answer() -> None:
    for layout in LAYOUTS.values():
        assert layout.row("mango", "zomek") == layout.query("mango") + " zomek"
    assert LAYOUTS["main"].query("mango") == "mango :"


@pytest.mark.parametrize("k", [0, 1, 2, 4, 8, 16])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_prompt_is_the_beginning_of_a_worksheet_with_k_rows(k: int, classes: int) -> None:
    for item in items(TEST, Random(0), 40, k=k, classes=classes):
        lines = item["prompt"].split("\n")
        assert len(lines) == k + 1
        assert lines[-1] == f"{item['question']} :"
        assert "\n".join(lines[:-1]) == item["examples"]
        rows = [tuple(line.split(" : ")) for line in lines[:-1]]
        assert LAYOUTS["main"].join([(a, b) for a, b in rows]) == item["examples"]
        labels = item["labels"].split(", ")
        assert item["answer"] in labels
        assert len(labels) == classes
        assert len({b for _, b in rows}) == (classes if k >= classes else k)
        assert (item["seen"] == "yes") == (item["question"] in {a for a, _ in rows})


def test_the_label_asked_for_is_that_of_the_class_of_the_word() -> None:
    class_of = lexicon().class_of
    for item in items(TEST, Random(2), 200, k=8):
        label_of = {class_of[a]: b for a, b in (line.split(" : ") for line in item["examples"].split("\n"))}
        assert label_of[class_of[item["question"]]] == item["answer"]


def test_items_are_balanced_over_classes_and_at_least_half_ask_for_a_new_word() -> None:
    found = items(TEST, Random(0), 400, k=8)
    assert Counter(item["labels"].split(", ").index(item["answer"]) for item in found) == {0: 200, 1: 200}
    assert Counter(item["seen"] for item in found) == {"no": 200, "yes": 200}


def test_the_label_of_the_last_example_is_no_better_guess_than_chance() -> None:
    found = items(TEST, Random(0), 1000, k=8)
    last = sum(item["examples"].endswith(" " + item["answer"]) for item in found)
    assert last / 1000 == pytest.approx(0.5, abs=0.06)


def test_another_number_of_examples_asks_the_same_questions() -> None:
    asked = [
        [(item["question"], item["answer"], item["labels"]) for item in items(TEST, Random(0), 30, k=k)]
        for k in (0, 2, 8, 16)
    ]
    assert asked[0] == asked[1] == asked[2] == asked[3]
    few, many = items(TEST, Random(0), 30, k=4), items(TEST, Random(0), 30, k=8)
    assert all(b["examples"].startswith(a["examples"]) for a, b in zip(few[::2], many[::2], strict=True))


def test_labels_of_test_items_do_not_occur_in_training() -> None:
    rng = Random(0)
    written = set(" ".join(document(TRAIN, rng) for _ in range(2000)).split())
    assert not {label for item in items(TEST, Random(0), 300) for label in item["labels"].split(", ")} & written


def test_items_can_be_written_in_another_layout() -> None:
    item = items(TEST, Random(0), 1, k=2, layout="question")[0]
    assert item["prompt"].startswith("Q: ")
    assert item["prompt"].endswith(f"Q: {item['question']}\nA:")
