"""Word problems: every answer is right by a third route, every wording can be told, and train and test stay apart."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from course_lib.errors import CourseError
from course_lib.world import problem_sums, problems
from course_lib.world.place import Place
from course_lib.world.problem_scenes import SCENES
from course_lib.world.problem_stories import STORIES

ALL = [story for stories in STORIES.values() for story in stories]


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.build()


def documents(place: Place, n: int, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    return [problems.document(place, rng) for _ in range(n)]


def rounded(place: Place, n: int, **options: int) -> list[problems.Problem]:
    rng = random.Random(7)
    return [problems.sample(place, rng, **options) for _ in range(n)]


def test_every_printed_step_holds_and_uses_numbers_that_are_known_by_then(place):
    for problem in rounded(place, 3000):
        known = set(re.findall(r"\d+", problem.question))
        for step in problem.steps:
            left, sign, right, _, result = step.split()
            assert {left, right} <= known, problem
            value = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
            assert int(result) * int(right) == int(left) if sign == "/" else int(result) == value[sign], problem
            known.add(result)
        assert problem.answer == problem.steps[-1].split()[-1]


def test_every_number_of_a_question_is_needed(place):
    for problem in rounded(place, 1000):
        assert set(re.findall(r"\d+", problem.question)) <= set(re.findall(r"\d+", problem.working))


def test_numbers_in_the_text_are_2_to_60_and_results_1_to_99(place):
    for problem in rounded(place, 3000):
        assert all(2 <= int(number) <= 60 for number in re.findall(r"\d+", problem.question)), problem
        assert all(1 <= int(step.split()[-1]) <= 99 for step in problem.steps), problem


def test_a_story_worked_by_hand_gives_its_answer():
    story = {story.name: story for story in ALL}["change_shared"]
    # 30 kori, 3 pots for 4 kori each: 12 spent, 18 left, shared among 6 children: 3 each
    assert story.programme == "a*b c-1 2/d"
    assert story.rule(a=3, b=4, c=30, d=6) == 3
    heaps = {story.name: story for story in ALL}["heaps"]
    assert heaps.rule(a=20, b=10, c=6, d=4, e=5) == 30  # 30 - 6 = 24, 6 bundles of 4, 5 kori each


@pytest.mark.parametrize("story", ALL, ids=lambda story: story.name)
def test_rule_and_programme_of_a_story_agree(story):
    rng = random.Random(1)
    for _ in range(200):
        numbers, equations, answer = problem_sums.run(rng, story.programme)
        assert story.rule(**numbers) == answer
        assert len(equations) == story.n_steps


@pytest.mark.parametrize("story", ALL, ids=lambda story: story.name)
def test_every_wording_of_a_story_tells_each_number_once_and_names_its_person(story):
    letters = sorted(set(re.findall("[a-e]", story.programme)))
    for wording in story.wordings:
        assert sorted(re.findall(r"\{([a-e])\}", wording)) == letters, wording
        assert "{n}" in wording
        assert wording.endswith("?")


def test_there_are_more_than_thirty_patterns_with_two_wordings_each():
    assert len(ALL) + len(SCENES) >= 50
    assert all(len(story.wordings) >= 2 for story in ALL)
    assert all(len(part) >= 2 for scene in SCENES for part in (scene.opening, scene.plus, scene.minus, scene.question))


def test_no_brace_is_left_and_sentences_begin_with_a_capital(place):
    for problem in rounded(place, 4000):
        assert not re.search(r"[{}]|  ", problem.question), problem
        assert not re.search(r"[.?] [a-z]", problem.question), problem
        assert problem.question.isascii()
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", problem.question), problem


def test_every_pattern_is_told(place):
    told = {problem.story for problem in rounded(place, 4000)}
    assert told == {one.name for one in (*ALL, *SCENES)}


def test_a_wrong_rule_is_noticed(place):
    wrong = replace(STORIES[1][0], rule=lambda a, b: a * b + 1)
    with pytest.raises(AssertionError, match="buy"):
        problems._from_story(place, random.Random(0), wrong)


@pytest.mark.parametrize(
    ("question", "steps", "answer"),
    [
        ("Ama had 3 pots and got 4.", ("3 + 4 = 8",), 8),  # the sum is wrong
        ("Ama had 3 pots and got 4.", ("3 + 4 = 7",), 8),  # the answer is not the last result
        ("Ama had 3 pots, 5 cups and got 4.", ("3 + 4 = 7",), 7),  # the 5 is not used
    ],
)
def test_a_problem_that_does_not_read_back_is_noticed(question, steps, answer):
    with pytest.raises(AssertionError):
        problems._checked(question, steps, answer, "by hand")


def test_counting_gives_what_arithmetic_gives():
    assert problem_sums.counted(7, "+", 8) == 15
    assert problem_sums.counted(15, "-", 8) == 7
    assert problem_sums.counted(7, "*", 8) == 56
    assert problem_sums.counted(56, "/", 8) == 7
    assert problem_sums.counted(57, "/", 8) == -1  # not exact


def test_the_numbers_of_steps_come_in_their_shares(place):
    found = Counter(len(problem.steps) for problem in rounded(place, 6000))
    for n, share in ((1, 0.25), (2, 0.35), (3, 0.30), (4, 0.10)):
        assert abs(found[n] / 6000 - share) < 0.03


def test_steps_can_be_asked_for_and_others_are_refused(place):
    for n in (1, 2, 3, 4):
        assert {len(problem.steps) for problem in rounded(place, 100, steps=n)} == {n}
    with pytest.raises(CourseError, match="7 steps"):
        problems.sample(place, random.Random(0), steps=7)


def test_documents_are_the_same_for_the_same_seed(place):
    assert documents(place, 50) == documents(Place.build(), 50)
    assert documents(place, 50) != documents(place, 50, seed=4)


def test_a_document_keeps_to_one_layout(place):
    for text in documents(place, 600):
        if "\n\n" in text:
            shapes = {re.sub(r"[^:\n]+(?=\n|$)", "", re.sub(r": .*", ":", part)) for part in text.split("\n\n")}
            assert len(shapes) == 1, text
            assert ("=" in text) == all("=" in part for part in text.split("\n\n")), text


def test_documents_are_mostly_in_the_two_usual_layouts_and_some_are_only_sums(place):
    texts = documents(place, 2000)
    worked = sum(text.startswith("Question: ") and "\nSteps: " in text for text in texts) / 2000
    bare = sum(text.startswith("Question: ") and "\nSteps: " not in text for text in texts) / 2000
    sums = sum(text[0].isdigit() and "?" not in text for text in texts) / 2000
    assert 0.45 < worked < 0.57
    assert 0.27 < bare < 0.37
    assert 0.04 < sums < 0.08


def test_documents_have_a_length_that_fits_the_context(place):
    for text in documents(place, 1000):
        assert 110 <= len(text) <= 1700
        assert text == text.strip()


def test_lists_of_sums_are_right_and_have_all_four_signs():
    rng, signs = random.Random(2), Counter()
    for _ in range(200):
        text = problem_sums.sums(rng)
        found = problem_sums.STEP.findall(text)
        assert len(found) >= 8
        assert re.sub(r"\d+ [-+*/] \d+ = \d+", "", text).strip(",. \n") == ""
        for left, sign, right, result in found:
            signs[sign] += 1
            assert problem_sums.counted(int(left), sign, int(right)) == int(result)
            assert 0 <= int(result) <= 99
    assert min(signs[sign] for sign in "+-*/") > 300


def test_items_are_distinct_flat_records_with_the_steps_asked_for():
    found = problems.items(Place.build(split="test"), random.Random(1), 300, steps=3)
    assert len({item["question"] for item in found}) == 300
    assert all(set(item) == {"question", "steps", "answer", "n_steps", "story"} for item in found)
    assert all(item["n_steps"] == "3" and item["steps"].count("=") == 3 for item in found)
    assert all(item["steps"].endswith(f"= {item['answer']}.") for item in found)


def test_no_problem_of_the_test_split_names_a_person_of_the_train_split(place):
    train = {name.text for name in place.lexicon.given_names_train}
    test = {name.text for name in place.lexicon.given_names_test}
    for item in problems.items(Place.build(split="test"), random.Random(1), 500):
        words = set(re.findall(r"[A-Z][a-z]+", item["question"]))
        assert words & test
        assert not words & train, item


def test_made_up_journeys_leave_the_fixed_villages_alone(place):
    fixed = re.compile("|".join(rf"\b{village.name}\b" for village in place.villages))
    assert not any(fixed.search(problem.question) for problem in rounded(place, 2000))
