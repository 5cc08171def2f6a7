"""Instruction data: every answer is found a second time from the text, train and test are apart, the noise is known."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from tokenizers import Tokenizer

from course_lib.assets import asset
from course_lib.errors import CourseError
from course_lib.metrics import report
from course_lib.metrics.forms import in_format
from course_lib.world import passages, problems
from course_lib.world.instructions import KINDS, checked, items, mixture, noisy, split_of, task_of
from course_lib.world.instructions.kind import LABELS, body
from course_lib.world.instructions.questions import answer_in, solve
from course_lib.world.place import Place

TRAIN, TEST = Place.build(), Place.build(split="test")
METRICS = {"exact", "numeric", "rouge", "f1", "sql"}
CREATE = (
    "CREATE TABLE roads (village TEXT, direction TEXT, hours INTEGER);\nINSERT INTO roads VALUES ('Ba', 'west', 3);"
)

# By hand: input, a right answer, a wrong one; the instruction only where it matters.
BY_HAND = {
    "odd-one-out": ("mango, fig, hammer, guava", "Hammer.", "fig"),
    "category": ("Word: heron", "Bird.", "fish"),
    "yes-no": ("Is a heron a bird?", "Yes", "no"),
    "counting": ("fig, pot, heron", "3", "4"),
    "sorting": ("14, 3, 27", "3, 14, 27", "3, 27, 14"),
    "past-tense": ("The boat builder goes to the mill.", "The boat builder went to the mill.", "He goes there."),
    "polite": ("Bring me 2 drums.", "Could you please bring me 2 drums?", "Please bring me 2 drums."),
    "dialect": ("Ama sells pots.", "Ama fedimo furoth.", "Ama sells pots."),
    "rating": ("The soup was delicious. The cook was most kind.", "5", "4"),
    "mood": ("The soup was rotten. The cook was rude.", "unhappy", "happy"),
    "headline": ("We ate soup. The soup was delicious. I found the cook friendly.", "Delicious soup", "Friendly soup"),
    "passage-question": (
        "Passage: Ama Sesay was born in Belu. She plays the drum.\nQuestion: Where was Ama Sesay born?", "Belu", "drum",
    ),
    "word-problem": (
        "Ama had 5 figs and Bo had 3 figs. How many figs did they have together?", "5 + 3 = 8. The answer is 8.",
        "5 + 3 = 9. The answer is 9.",
    ),
    "table-sentence": (
        "good | village | price\nfigs | Belu | 5", "Figs from Belu cost 5 kori.", "Figs from Belu cost 6 kori.",
    ),
    "table-sql": (
        "roads (village, direction, hours)\nQuestion: Which village is the farthest?",
        "SELECT village FROM roads WHERE hours = (SELECT MAX(hours) FROM roads)",
        "SELECT village FROM roads ORDER BY hours LIMIT 1",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def train():
    return mixture(TRAIN, Random(1), 120 * len(KINDS))


@pytest.fixture(scope="module")
def test():
    return mixture(TEST, Random(2), 60 * len(KINDS))


def test_there_are_tasks_of_all_the_sorts_that_the_lesson_needs():
    assert len(KINDS) >= 12
    assert {kind.metric for kind in KINDS.values()} == METRICS
    assert all(kind.about.endswith((".", "?")) and len(kind.about) < 60 for kind in KINDS.values())


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_wordings_for_training_and_others_for_tests_only(name):
    seen, new = KINDS[name].wordings["seen"], KINDS[name].wordings["new"]
    assert len(set(seen)) >= 4
    assert len(set(new)) >= 1
    assert len({*seen, *new}) == len(seen) + len(new)
    for wording in (*seen, *new):
        assert task_of(wording.format(what="person").lower()) == name


def test_no_instruction_can_be_taken_for_two_kinds():
    every = [wording for kind in KINDS.values() for group in kind.wordings.values() for wording in group]
    assert len(every) == len(set(every))
    assert task_of("Sing a song.") is None


def test_records_are_flat_texts_that_the_judge_agrees_with(train, test):
    for record in (*train, *test):
        assert all(isinstance(value, str) for value in record.values())
        assert list(record)[:6] == ["task", "instruction", "input", "output", "metric", "wording"]
        assert checked(record) is True, record
        assert checked({**record, "task": ""}) is True, record
        assert record["output"] == record["output"].strip() != ""
    assert json.loads(json.dumps(train)) == train
    assert all("create" in record for record in test if record["metric"] == "sql")


def test_the_metrics_give_right_answers_full_marks(test):
    for record in test:
        assert report.score(record, record["output"]) == 1, record
        assert in_format(record["output"], report.form(record)) == 1, record


def test_the_answers_of_other_records_are_mostly_wrong(test):
    for name in KINDS:
        some = [record for record in test if record["task"] == name]
        verdicts = Counter(checked(one, other["output"]) for one, other in pairwise(some))
        assert verdicts[False] > 0.3 * len(some), (name, verdicts)


@pytest.mark.parametrize(("name", "input_", "right", "wrong"), [(k, *v) for k, v in BY_HAND.items()])
def test_what_a_person_would_call_right_is_right_and_wrong_is_wrong(name, input_, right, wrong):
    record = {"task": name, "instruction": KINDS[name].wordings["seen"][0], "input": input_, "output": right}
    assert checked(record) is True
    assert checked(record, wrong) is False
    assert checked(record, " ") is False


def test_a_note_gives_what_is_asked_for():
    note = {"input": "At the old mill Ama Sesay sold 2 drums for 7 kori. It rained that day."}
    for what, answer in (("person", "Ama Sesay"), ("place", "the old mill"), ("price", "7 kori")):
        assert checked({**note, "instruction": f"Find the {what} in the text."}, answer) is True
        assert checked({**note, "instruction": f"Find the {what} in the text."}, "Bo") is False
    asked = {**note, "instruction": "Find the name, the place and the price."}
    assert checked(asked, "name: Ama Sesay; place: the old mill; price: 7 kori") is True
    assert checked(asked, "place: the old mill; name: Ama; price: 7 kori") is False
    assert checked(asked, "Ama Sesay, Belu, 7 kori") is False


@pytest.mark.parametrize(
    ("name", "input_"),
    [
        ("odd-one-out", "mango, fig, zomek, guava"),
        ("odd-one-out", "mango, hammer"),
        ("category", "zomek"),
        ("yes-no", "Is it late?"),
        ("sorting", "one, two"),
        ("past-tense", "The sky is blue."),
        ("polite", "Figs are good."),
        ("rating", "We went to the lake."),
        ("mood", "The soup was good. The cook was slow."),
        ("passage-question", "Passage: Ama came.\nQuestion: Why did she come?"),
        ("fields", "Ama came to Belu."),
        ("word-problem", "How much is much?"),
        ("table-sentence", "star | light\nsun | 4"),
        ("table-sql", "roads (village, direction, hours)\nQuestion: Who is there?"),
    ],
)
def test_what_the_world_cannot_read_is_neither_right_nor_wrong(name, input_):
    record = {"instruction": KINDS[name].wordings["seen"][0], "input": input_}
    assert checked(record, "7") is None


def test_an_instruction_of_no_known_kind_is_neither_right_nor_wrong():
    assert checked({"instruction": "Sing.", "input": "", "output": "la"}) is None


def test_a_headline_without_an_opinion_is_neither_right_nor_wrong():
    record = {"task": "headline", "instruction": "", "input": "The soup was rotten. The cook was rude."}
    assert checked(record, "Never again") is None
    assert checked(record, "Delicious soup") is False
    assert checked(record, "Rotten soup and rude cook") is True


def test_sql_is_judged_by_what_it_finds_on_the_records_own_table_or_on_made_up_ones():
    record = {"task": "table-sql", "instruction": "", "input": BY_HAND["table-sql"][0]}
    loose = "SELECT village FROM roads"  # right only where there is one row
    assert checked({**record, "create": CREATE}, loose) is True
    assert checked(record, loose) is False
    assert checked(record, "DROP TABLE roads") is False


def test_word_problems_are_solved_by_reading_or_not_at_all():
    """A few stories can be read in two ways; those that are solved are solved rightly."""
    rng, solved = Random(3), 0
    for _ in range(300):
        problem = problems.sample(TEST, rng)
        answer = solve(problem.question)
        assert answer in (None, int(problem.answer)), problem
        solved += answer is not None
    assert solved > 270


def test_questions_on_passages_are_answered_by_reading_or_mostly_not_at_all():
    records = passages.items(TEST, Random(4), 300, facts=(2, 4))
    found = [(answer_in(record["passage"], record["question"]), record["answer"]) for record in records]
    right = sum(answer is not None and answer.lower() == expected.lower() for answer, expected in found)
    wrong = sum(answer is not None and answer.lower() != expected.lower() for answer, expected in found)
    assert right > 200
    assert wrong < 10


def test_no_test_input_is_among_the_training_inputs(train, test):
    inputs = {record["input"].lower() for record in train}
    assert not [record for record in test if record["input"].lower() in inputs]
    assert {split_of(text) for text in inputs} == {"train"}
    assert {split_of(record["input"]) for record in test} == {"test"}
    assert split_of("fig, pot, heron") == split_of("Heron, fig, pot")


def test_every_word_of_an_input_stands_behind_a_space_as_in_a_corpus(train):
    """At the beginning of a line a tokenizer cuts words otherwise, and a small model copies them badly from there."""
    for record in train:
        first = record["input"].split(" ")[0]
        assert first == "|" or first.rstrip(":") in LABELS, record["input"]
        assert body(record) == record["input"].removeprefix(f"{first} ") or first == "|"


def test_no_input_comes_twice(train):
    assert len({record["input"].lower() for record in train}) == len(train)


def test_test_records_name_other_people(train, test):
    """All but the dialect's, half of which are about the fixed town."""
    words = TEST.lexicon
    own = {name.text for name in words.given_names_test}
    others = {name.text for name in words.given_names_train} - own
    for split, mine, foreign in ((train, others, own), (test, own, others)):
        text = " ".join(record["input"] for record in split if record["task"] != "dialect")
        found = set(text.replace(".", " ").replace(",", " ").split())
        assert found & mine
        assert not found & foreign


def test_training_uses_wordings_to_be_seen_and_a_quarter_of_the_tests_new_ones(train, test):
    assert {record["wording"] for record in train} == {"seen"}
    shares = Counter((record["task"], record["wording"]) for record in test)
    assert {shares[name, "new"] for name in KINDS} == {15}
    seen = {record["instruction"] for record in train}
    assert not [r for r in test if r["wording"] == "new" and r["instruction"] in seen]


def test_the_share_of_new_wordings_can_be_set():
    for share, expected in ((0, 0), (0.5, 5), (1, 10)):
        made = items(TEST, Random(0), "polite", 10, new_wordings=share)
        assert sum(record["wording"] == "new" for record in made) == expected
    with pytest.raises(CourseError, match="share from 0 to 1"):
        items(TEST, Random(0), "polite", 10, new_wordings=2)


def test_any_beginning_of_a_mixture_has_its_shares():
    made = mixture(TRAIN, Random(0), 120, shares={"mood": 2, "sorting": 1, "dialect": 3})
    for n in range(1, 121):
        counts = Counter(record["task"] for record in made[:n])
        assert abs(counts["mood"] - n / 3) < 1
        assert abs(counts["dialect"] - n / 2) < 1
    counts = Counter(record["task"] for record in mixture(TRAIN, Random(0), 2 * len(KINDS)))
    assert set(counts.values()) == {2}
    assert {record["task"] for record in mixture(TRAIN, Random(0), 9, kinds=["mood", "rating"])} == {"mood", "rating"}


def test_the_same_seed_gives_the_same_records():
    first, second, other = (mixture(TRAIN, Random(seed), 64) for seed in (5, 5, 6))
    assert first == second != other
    assert mixture(TRAIN, Random(5), 32) == first[:32]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["poem"]}, "'poem'"),
        ({"shares": {"mood": 1, "poem": 1}}, "'poem'"),
        ({"shares": {"mood": 0}}, "above 0"),
        ({"kinds": []}, "above 0"),
        ({"kinds": ["mood", "rating"], "shares": {"mood": 1}}, "give one"),
        ({"kinds": ["mood"], "shares": {"mood": 1, "rating": 1}}, "rating: give one"),
    ],
)
def test_a_mixture_that_cannot_be_made_is_refused_in_a_sentence(options, message):
    with pytest.raises(CourseError, match=message):
        mixture(TRAIN, Random(0), 4, **options)


def test_more_records_than_there_are_inputs_are_refused():
    with pytest.raises(CourseError, match="'yes-no'"):
        items(TRAIN, Random(0), "yes-no", 50_000)


def test_texts_are_short_for_a_small_model(train, test):
    tokenizer = Tokenizer.from_file(str(asset("models/course-base/tokenizer.json")))
    texts = [f"{record['instruction']}\n\n{record['input']}\n{record['output']}" for record in (*train, *test)]
    lengths = [10 + len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    assert max(lengths) < 200
    assert sum(length < 160 for length in lengths) > 0.99 * len(lengths)


# ---- noise -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoilt(train):
    return noisy(train[:1000], Random(0))


def test_noise_is_in_exactly_the_shares_asked_for_and_says_so(train, spoilt):
    assert Counter(record["noise"] for record in spoilt) == {"": 400, "wrong": 300, "duplicate": 200, "format": 100}
    assert len(spoilt) == 1000
    for before, after in zip(train, spoilt, strict=False):
        if not after["noise"]:
            assert after == {**before, "noise": "", "detail": "", "right": before["output"]}
    for n, shares in ((7, (0.3, 0.2, 0.1)), (10, (0.25, 0.0, 0.5)), (10, (1.0, 0.0, 0.0)), (0, (0.3, 0.2, 0.1))):
        counts = Counter(record["noise"] for record in noisy(train[:n], Random(1), *shares))
        assert [counts[name] for name in ("wrong", "duplicate", "format")] == [round(share * n) for share in shares]


def test_a_wrong_answer_is_never_accidentally_right(spoilt):
    for record in spoilt:
        if record["noise"] == "wrong":
            assert checked(record) is False
            assert checked(record, record["right"]) is True


def test_every_kind_has_wrong_answers_even_when_it_stands_alone():
    for name in KINDS:
        (record,) = noisy(items(TRAIN, Random(1), name, 1), Random(2), 1, 0, 0)
        assert checked(record) is False


def test_duplicates_repeat_a_clean_record_exactly_or_nearly(spoilt):
    clean = [record for record in spoilt if not record["noise"]]
    exact = {(record["instruction"], record["input"], record["output"]) for record in clean}
    answers = [(record["input"].split(), record["output"]) for record in clean]
    details = Counter()
    for record in spoilt:
        if record["noise"] == "duplicate":
            details[record["detail"]] += 1
            is_exact = (record["instruction"], record["input"], record["output"]) in exact
            assert is_exact == (record["detail"] == "exact")
            assert (record["input"].split(), record["output"]) in answers
    assert min(details["exact"], details["near"]) > 60


def test_format_errors_keep_the_right_answer_beside_the_spoilt_one(spoilt):
    found = [record for record in spoilt if record["noise"] == "format"]
    assert {record["detail"] for record in found} == {"chatter", "cut off", "runs on", "instruction", "language"}
    for record in found:
        assert record["output"] != record["right"]
        assert checked(record, record["right"]) is True
        if record["detail"] in ("chatter", "runs on", "instruction"):
            assert record["right"] in record["output"]


def test_the_records_given_stay_as_they_are(train):
    before = json.dumps(train[:50])
    assert noisy(train[:50], Random(3)) == noisy(train[:50], Random(3))
    assert json.dumps(train[:50]) == before


@pytest.mark.parametrize("shares", [(0.6, 0.3, 0.2), (-0.1, 0.2, 0.1), (0.5, 0.5, 0.0), (float("nan"), 0.1, 0.1)])
def test_impossible_shares_of_noise_are_refused(train, shares):
    with pytest.raises(CourseError, match="leave some records clean"):
        noisy(train[:10], Random(0), *shares)


def test_noise_is_made_only_for_the_worlds_own_tasks():
    with pytest.raises(CourseError, match="'poem'"):
        noisy([{"task": "poem", "instruction": "", "input": "", "output": "x"}], Random(0))
