"""Old Saromi: the same words always change the same way, names and numbers never, and little English is left."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from course_lib.world import dialect
from course_lib.world.lexicon import lexicon
from course_lib.world.phrases import material
from course_lib.world.place import Place

TRAIN, TEST = Place.build(), Place.build(split="test")


@pytest.mark.parametrize(
    ("english", "saromi"),
    [
        # sells -> furoth goes last; pot -> f-e-d, plural -imo
        ("Ama sells pots.", "Ama fedimo furoth."),
        # in -> umbe and the -> -lu, both behind their group
        ("In the old market Ama sells bread.", "Qari bozorulu umbe Ama nonai furoth."),
        # a name in "The Red Heron" stays whole; is -> eth
        ("The Red Heron is in Salt Street.", "The Red Heron Salt Street umbe eth."),
        ("Ama's boat is old, and it costs 9 kori.", "Amana qayoru qari eth, uth da 9 keruy arzuth."),
    ],
)
def test_sentences_change_as_worked_out_by_hand(english: str, saromi: str) -> None:
    assert dialect.translate(english) == saromi


def test_names_numbers_and_line_breaks_stay() -> None:
    rng = Random(0)
    for _ in range(100):
        pair = dialect.sample(TRAIN, rng, "person")
        assert re.findall(r"\d+", pair.english) == re.findall(r"\d+", pair.dialect) or Counter(
            re.findall(r"\d+", pair.english)
        ) == Counter(re.findall(r"\d+", pair.dialect))
    assert dialect.translate("Ama walks.\n\nKoji sings.").count("\n\n") == 1


def test_hardly_an_english_word_is_left() -> None:
    rng = Random(0)
    known = lexicon().words
    left = total = 0
    for _ in range(200):
        words = re.findall(r"\b[a-z]+\b", dialect.document(TRAIN, rng))
        total += len(words)
        left += sum(word in known for word in words)
    assert left / total < 0.02


def test_different_small_words_have_different_translations_none_of_them_english() -> None:
    data = material("dialect")
    invented = [*data["small"].values(), *data["words"].values()]
    doubled = {word for word, count in Counter(invented).items() if count > 1}
    assert doubled == {"eth"}  # is and be
    assert not lexicon().words & set(invented)


def test_the_sound_changes_keep_different_words_apart() -> None:
    words = sorted(lexicon().words)
    assert len({dialect.word(word) for word in words}) > 0.97 * len(words)


def test_every_kind_of_sentence_is_translated_without_a_gap() -> None:
    rng = Random(0)
    for topic in dialect.TOPICS:
        for _ in range(60):
            pair = dialect.sample(TRAIN, rng, topic)
            assert "{" not in pair.english
            assert pair.dialect.isascii()
            assert dialect.translate(pair.english) == pair.dialect
            assert abs(pair.english.count(".") - pair.dialect.count(".")) == 0


def test_documents_and_items_repeat_with_their_seed() -> None:
    assert dialect.document(TRAIN, Random(4)) == dialect.document(TRAIN, Random(4))
    records = dialect.items(TEST, Random(1), 25)
    assert records == dialect.items(TEST, Random(1), 25)
    assert Counter(record["topic"] for record in records) == dict.fromkeys(dialect.TOPICS, 5)
    assert all(set(record) == {"english", "dialect", "topic"} for record in records)
