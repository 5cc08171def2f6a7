"""The words and the town: what everything that is generated can rely on."""

from __future__ import annotations

import collections
import itertools
import os
import random
import subprocess
import sys

import pytest

from course_lib.errors import CourseError
from course_lib.world.lexicon import Noun, Verb, article, lexicon, parse_noun, parse_verb, plural_of
from course_lib.world.place import Place, label_split

CLASSES = (
    *("fruit", "vegetable", "grain", "spice", "fish", "bird", "animal", "tree", "flower", "cloth", "garment", "tool"),
    *("vessel", "metal", "stone", "instrument", "drink", "dish", "furniture", "insect", "vehicle", "building"),
    *("body", "toy"),
)
LEAST = {
    "colours": 25,
    "adjectives": 180,
    "opposites": 70,
    "verbs": 150,
    "adverbs": 50,
    "feelings": 30,
    "places_in_town": 40,
    "weather": 25,
    "times": 30,
    "trades": 40,
    "given_names_train": 160,
    "given_names_test": 60,
    "family_names_train": 80,
    "family_names_test": 30,
    "village_names_train": 50,
    "village_names_test": 20,
    "shop_words": 60,
    "street_words": 40,
    "syllables": 60,
}


def duplicates(words):
    return [word for word, count in collections.Counter(words).items() if count > 1]


@pytest.fixture(scope="module")
def train():
    return Place.build()


@pytest.fixture(scope="module")
def examined():
    return Place.build(split="test")


# The words


def test_the_lexicon_is_as_large_as_the_course_says():
    words = lexicon()
    assert len(words.words) >= 2300
    assert {name: len(words.nouns[name]) for name in CLASSES if len(words.nouns[name]) < 20} == {}
    assert {name: len(getattr(words, name)) for name, least in LEAST.items() if len(getattr(words, name)) < least} == {}


def test_every_noun_is_in_one_class_only_and_is_one_plain_word():
    nouns = [noun.singular for group in lexicon().nouns.values() for noun in group]
    assert duplicates(nouns) == []
    assert [noun for noun in nouns if not (noun.isalpha() and noun.islower() and noun.isascii())] == []
    # An entry without its comma would silently join two words.
    assert [noun for noun in nouns if len(noun) > 13] == []


def test_no_plural_of_one_noun_is_another_noun():
    singulars = lexicon().noun_of
    plurals = [noun.plural for noun in singulars.values() if noun.plural != noun.singular]
    assert [plural for plural in plurals if plural in singulars] == []
    assert duplicates(plurals) == []


def test_no_list_has_an_entry_twice():
    words = lexicon()
    for name in LEAST:
        assert (name, duplicates(getattr(words, name))) == (name, [])
    assert duplicates(word for pair in words.opposites for word in pair) == []
    assert duplicates(verb.base for verb in words.verbs) == []


def test_colours_and_adjectives_are_no_nouns():
    words = lexicon()
    assert [word for word in words.colours + words.adjectives if word in words.class_of] == []


@pytest.mark.parametrize(
    ("entry", "noun"),
    [
        ("pot", Noun("pot", "pots")),
        ("berry", Noun("berry", "berries")),
        ("toy", Noun("toy", "toys")),
        ("bench", Noun("bench", "benches")),
        ("mouse/mice", Noun("mouse", "mice")),
        ("rice=", Noun("rice", "rice", mass=True)),
    ],
)
def test_nouns_bend_as_written_or_by_rule(entry, noun):
    assert parse_noun(entry) == noun


@pytest.mark.parametrize(
    ("entry", "verb"),
    [
        ("walk", Verb("walk", "walks", "walked", "walking")),
        ("carry", Verb("carry", "carries", "carried", "carrying")),
        ("bake", Verb("bake", "bakes", "baked", "baking")),
        ("stay", Verb("stay", "stays", "stayed", "staying")),
        ("go/went", Verb("go", "goes", "went", "going")),
        ("see/saw", Verb("see", "sees", "saw", "seeing")),
        ("tie/tied/tying", Verb("tie", "ties", "tied", "tying")),
        ("stop/stopped/stopping", Verb("stop", "stops", "stopped", "stopping")),
    ],
)
def test_verbs_bend_as_written_or_by_rule(entry, verb):
    assert parse_verb(entry) == verb


def test_articles_and_numbers_go_with_their_nouns():
    assert (article("apron"), article("red apron")) == ("an apron", "a red apron")
    assert (Noun("mango", "mangoes").counted(1), Noun("mango", "mangoes").counted(3)) == ("1 mango", "3 mangoes")
    assert (Noun("rice", "rice", mass=True).a, Noun("egg", "eggs").a) == ("rice", "an egg")
    assert plural_of("box") == "boxes"
    assert (article("useful mat"), article("honest potter")) == ("a useful mat", "an honest potter")


def test_trades_tell_their_work_in_both_tenses():
    baker = next(trade for trade in lexicon().trades if trade.name == "baker")
    assert (baker.does, baker.did, baker.a, baker.place) == ("bakes bread", "baked bread", "a baker", "bakery")


def test_everything_is_ascii():
    words = lexicon()
    names = [name.text for name in words.given_names_train + words.given_names_test]
    names += [*words.family_names_train, *words.family_names_test, *words.known_for, *words.shop_words]
    assert [name for name in names if not name.isascii()] == []
    assert all(word.isascii() for word in words.words)


def test_a_missing_word_list_is_one_sentence_and_no_traceback(tmp_path, monkeypatch):
    broken = tmp_path / "words.toml"
    broken.write_text("[nouns]\nfruit = 'mango'\n")
    monkeypatch.setattr("course_lib.world.lexicon.asset", lambda name: broken)
    with pytest.raises(CourseError, match="cannot be read"):
        lexicon.__wrapped__()


# The splits


def test_names_and_villages_of_the_two_splits_are_disjoint():
    words = lexicon()
    given = {name.text for name in words.given_names_train} & {name.text for name in words.given_names_test}
    assert given == set()
    assert set(words.family_names_train) & set(words.family_names_test) == set()
    assert set(words.village_names_train) & set(words.village_names_test) == set()


def test_no_label_belongs_to_both_splits():
    syllables = lexicon().syllables
    found: dict[str, set[str]] = {"train": set(), "test": set()}
    for first, second in itertools.product(range(len(syllables)), repeat=2):
        last = syllables[first] + syllables[second]
        found[label_split((first, second))].update([last, *(start + last for start in syllables)])
    assert found["train"] & found["test"] == set()
    # Nothing is spelt in two ways, or the rule would not decide.
    assert sum(map(len, found.values())) == len(syllables) ** 2 + len(syllables) ** 3
    assert 0.15 < len(found["test"]) / sum(map(len, found.values())) < 0.25


def test_drawn_labels_signs_and_streets_keep_to_their_split(train, examined):
    rng = random.Random(5)
    for draw in (Place.label, Place.shop_name, Place.street_name, Place.village_name):
        ours = {draw(train, rng) for _ in range(1500)}
        theirs = {draw(examined, rng) for _ in range(1500)}
        assert ours & theirs == set()
        assert len(ours) > 40


def test_labels_mean_nothing_and_begin_differently(train):
    rng = random.Random(2)
    drawn = [train.label(rng) for _ in range(2000)]
    assert [label for label in drawn if label in lexicon().words] == []
    assert {len(label) for label in drawn} <= set(range(4, 10))
    for _ in range(50):
        labels = train.labels(rng, 6)
        assert len({label[:2] for label in labels}) == 6


def test_a_cast_is_fresh_and_has_different_given_names(train, examined):
    rng = random.Random(3)
    fixed = {person.name for person in train.people}
    test_names = {name.text for name in lexicon().given_names_test}
    for _ in range(100):
        for place in (train, examined):
            cast = place.cast(rng, 5)
            assert len({person.given for person in cast}) == 5
            assert fixed.isdisjoint(person.name for person in cast)
            assert all((person.given in test_names) == (place is examined) for person in cast)


def test_fresh_things_are_none_of_the_fixed_ones(train, examined):
    rng = random.Random(4)
    for place in (train, examined):
        for _ in range(200):
            assert place.shop_name(rng) not in {shop.name for shop in place.shops}
            assert place.street_name(rng) not in place.streets
            assert place.village_name(rng) not in {village.name for village in place.villages}
        village = place.village(rng)
        assert village.known_for.village == village.name


def test_another_split_is_refused():
    with pytest.raises(CourseError, match="'train' or 'test'"):
        Place.build(split="validation")


# The town


def test_both_splits_see_the_same_town(train, examined):
    for name in ("people", "shops", "goods", "villages", "landmarks", "festivals", "districts", "streets"):
        assert getattr(train, name) == getattr(examined, name)
    assert Place.build(seed=1).people != train.people


def test_the_town_has_its_size(train):
    sizes = {name: len(getattr(train, name)) for name in ("people", "shops", "villages", "landmarks", "festivals")}
    assert sizes == {"people": 120, "shops": 60, "villages": 30, "landmarks": 20, "festivals": 12}
    assert (len(train.streets), len(train.districts), len(train.months)) == (30, 8, 12)
    assert 140 <= len(train.goods) <= 200


def test_no_two_things_of_the_town_share_a_name(train):
    for names in (
        [person.given for person in train.people],
        [shop.name for shop in train.shops],
        [good.noun.singular for good in train.goods],
        [village.name for village in train.villages],
        [landmark.name for landmark in train.landmarks],
        train.streets,
    ):
        assert duplicates(names) == []


def test_people_agree_with_their_pronouns_and_dates(train):
    given = {name.text: name.pronoun for name in lexicon().given_names_train}
    for person in train.people:
        assert given[person.given] in (person.pronoun.subject, "they")
        assert person.name == f"{person.given} {person.family}"
        assert 1890 <= person.born <= 1985
        assert person.village in {village.name for village in train.villages}
        assert person.district in train.districts


def test_shops_sell_what_their_owner_makes(train, examined):
    rng = random.Random(6)
    fresh = [place.shop(rng) for place in (train, examined) for _ in range(100)]
    for shop in (*train.shops, *fresh):
        assert shop.trade == shop.owner.trade
        assert 2 <= len(shop.sells) <= 4
        assert all(good.trade == shop.trade and good.noun in shop.trade.makes for good in shop.sells)
        assert 20 <= shop.founded - shop.owner.born <= 35
    assert all(shop.owner in train.people and shop.street in train.streets for shop in train.shops)


def test_goods_have_prices_units_and_villages_that_exist(train):
    villages = {village.name for village in train.villages}
    assert all(1 <= good.price <= 40 and good.village in villages for good in train.goods)
    assert [good.one for good in train.goods if good.unit == "each" and good.noun.mass] == []
    assert {village.known_for.village == village.name for village in train.villages} == {True}


def test_amounts_of_goods_read_well(train):
    by_name = {good.noun.singular: good for good in train.goods}
    assert (by_name["bread"].one, by_name["bread"].amount(3)) == ("a loaf of bread", "3 loaves of bread")
    assert (by_name["honey"].amount(1), by_name["honey"].amount(2)) == ("1 jar of honey", "2 jars of honey")
    each = next(good for good in train.goods if good.unit == "each" and good.noun.singular == "boat")
    assert (each.one, each.amount(2)) == ("a boat", "2 boats")


def test_landmarks_are_built_by_grown_ups_of_a_fitting_trade(train):
    for landmark in train.landmarks:
        builder = lexicon().builders[landmark.builder.trade.name]
        assert landmark.builder in train.people
        assert landmark.kind in builder.kinds
        assert landmark.material in builder.materials
        assert 22 <= landmark.built - landmark.builder.born <= 50


def test_numbers_stay_in_their_range_and_lean_to_the_small(train):
    rng = random.Random(7)
    drawn = [train.number(rng, 1, 20) for _ in range(4000)]
    assert (min(drawn), max(drawn)) == (1, 20)
    # Half uniform (mean 10.5), half the smaller of two (mean 7.175): 8.84.
    assert sum(drawn) / len(drawn) == pytest.approx(8.84, abs=0.4)


def test_every_process_builds_the_same_town():
    program = (
        "import hashlib, random; from course_lib.world.place import Place; rng = random.Random(9);"
        "place = Place.build(split='test');"
        "told = repr((place, place.cast(rng, 3), place.label(rng), place.shop(rng), place.village(rng)));"
        "print(hashlib.sha256(told.encode()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(told) == 1
    assert len(told.pop().strip()) == 64


def test_the_world_imports_neither_torch_nor_numpy():
    program = "import sys, course_lib.world.place; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
