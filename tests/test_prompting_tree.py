"""The puzzle and the search, on a writer that proposes from a list."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from course_lib.errors import CourseError
from course_lib.prompting import best_of, puzzle, tree_of_thoughts
from course_lib.prompts import task
from rule_writer import RuleWriter

STEPS = task("puzzle/steps").main
RECORD = {"numbers": "8, 3 and 5", "goal": "23"}  # 5 * 3 = 15. 15 + 8 = 23.


def test_a_step_must_be_true_use_what_is_left_and_go_on_from_the_result() -> None:
    begun = puzzle.start(RECORD).take(" 5 * 3 = 15.")
    assert begun is not None
    assert (begun.result, begun.left, begun.written) == (15, (8,), " 5 * 3 = 15.")
    ended = begun.take("15 + 8 = 23")
    assert ended is not None
    assert ended.solved
    for wrong in ("5 * 3 = 16", "5 * 4 = 20", "5 + 5 = 10", "3 - 5 = -2", "5 / 1 = 5", "5 * 3", "so 5 * 3 = 15", ""):
        assert puzzle.start(RECORD).take(wrong) is None, wrong
    for wrong in ("8 + 3 = 11", "15 + 15 = 30", "15 * 8 = 120", "15 + 3 = 18"):
        assert begun.take(wrong) is None, wrong


def test_a_number_that_equals_the_result_is_still_there_once() -> None:
    state = puzzle.start({"numbers": "2, 4 and 6", "goal": "12"}).take("2 + 4 = 6")
    assert state is not None
    after = state.take("6 + 6 = 12")
    assert after is not None
    assert after.solved
    assert after.take("12 + 6 = 18") is None


@pytest.mark.parametrize("count", [2, 3, 4])
def test_puzzles_are_solved_by_few_of_all_ways(count: int) -> None:
    for record in puzzle.items(Random(count), 20, count):
        state = puzzle.start(record)
        numbers = state.left
        assert len(numbers) == count
        assert puzzle.solves(record, record["steps"])
        # the second route: every order of the numbers with every choice of signs, worked out in plain Python
        reached = set()
        for order in itertools.permutations(numbers):
            for signs in itertools.product("+-*", repeat=count - 1):
                value, inside = order[0], True
                for sign, number in zip(signs, order[1:], strict=True):
                    value = {"+": value + number, "-": abs(value - number), "*": value * number}[sign]
                    inside = inside and value <= puzzle.MOST
                if inside and value == state.goal:
                    reached.add((order, signs))
        assert reached
        ends = list(state.ends())
        assert 1 <= sum(end.solved for end in ends) <= max(1, puzzle.FEW[count] * len(ends))


def test_the_same_seed_makes_the_same_puzzles() -> None:
    assert puzzle.items(Random(7), 5) == puzzle.items(Random(7), 5)
    assert puzzle.items(Random(7), 3)[0] == {"numbers": puzzle.items(Random(7), 3)[0]["numbers"], **RECORDED}


RECORDED = {name: puzzle.items(Random(7), 1)[0][name] for name in ("goal", "steps")}


@pytest.mark.parametrize("record", [{}, {"numbers": "3", "goal": "9"}, {"numbers": "3 and 4", "goal": "many"}])
def test_a_record_that_is_no_puzzle_is_refused(record: dict[str, str]) -> None:
    with pytest.raises(CourseError, match="A puzzle has numbers"):
        puzzle.start(record)


def proposer(first: list[str], then: dict[str, list[str]]) -> RuleWriter:
    """Proposes ``first`` at the beginning, and behind a step the list for its result."""

    def rule(prompt: str, sample: int) -> str:
        written = prompt.rpartition("Steps:")[2]
        some = then.get(written.rstrip(".").split()[-1], [""]) if written.strip() else first
        return some[sample % len(some)]

    return RuleWriter(rule)


def test_the_search_finds_what_the_first_try_does_not() -> None:
    writer = proposer(
        [" 8 + 3 = 11.", " 5 * 3 = 15.", " nonsense."], {"11": [" 11 + 5 = 16."], "15": [" 15 + 8 = 23."]}
    )
    answer = tree_of_thoughts(writer, STEPS, [RECORD], width=2, tries=3)[0]
    assert answer.text == "5 * 3 = 15. 15 + 8 = 23."
    assert answer.detail["solved"]
    assert answer.detail["levels"][0] == ["5 * 3 = 15.", "8 + 3 = 11."]  # 15 is nearer to 23 than 11
    assert answer.detail["legal"] == pytest.approx((2 + 3 + 3) / 9)
    assert answer.calls == 9  # three proposals at the beginning and from each of two states


def test_the_model_may_choose_among_the_allowed_steps_instead_of_writing() -> None:
    liked = {" 3 * 5 = 15.": -1.0, " 15 + 8 = 23.": -1.0}
    writer = RuleWriter(likes=lambda prompt, step: liked.get(step, -9.0))
    answer = tree_of_thoughts(writer, STEPS, [RECORD], width=1, tries=1, propose="choose", value="likelihood")[0]
    assert answer.text == "3 * 5 = 15. 15 + 8 = 23."
    options = [puzzle.start(RECORD).options, puzzle.State(23, (8,), 15).options]
    assert " 3 * 5 = 15." in options[0]
    assert set(options[1]) == {" 15 + 8 = 23.", " 8 + 15 = 23.", " 15 - 8 = 7."}
    assert answer.calls == sum(map(len, options))
    # a step has five words; the prompt has 10 words with the beginning, and 15 with the first step
    assert (answer.tokens_in, answer.tokens_out) == (10 + 15 + 5 * answer.calls, 0)


def test_states_with_the_same_future_are_kept_once() -> None:
    writer = proposer([" 5 * 3 = 15.", " 3 * 5 = 15.", " 8 + 3 = 11."], {"15": [""], "11": [""]})
    levels = tree_of_thoughts(writer, STEPS, [RECORD], width=2, tries=3)[0].detail["levels"]
    assert levels[0] == ["5 * 3 = 15.", "8 + 3 = 11."]


def test_what_is_not_kept_is_lost() -> None:
    writer = proposer([" 8 * 3 = 24.", " 5 * 3 = 15."], {"24": [" 24 + 5 = 29."], "15": [" 15 + 8 = 23."]})
    answer = tree_of_thoughts(writer, STEPS, [RECORD], width=1, tries=2)[0]
    assert not answer.detail["solved"]
    assert answer.text == "8 * 3 = 24. 24 + 5 = 29."


def test_a_search_without_any_allowed_step_ends_without_an_answer() -> None:
    answer = tree_of_thoughts(proposer([" well."], {}), STEPS, [RECORD], tries=2)[0]
    assert (answer.text, answer.detail["solved"], answer.calls) == ("", False, 2)


def test_records_are_searched_together_and_apart() -> None:
    writer = proposer([" 5 * 3 = 15.", " 2 * 9 = 18."], {"15": [" 15 + 8 = 23."], "18": [" 18 - 4 = 14."]})
    answers = tree_of_thoughts(writer, STEPS, [RECORD, {"numbers": "4, 2 and 9", "goal": "14"}], tries=2)
    assert [answer.text for answer in answers] == ["5 * 3 = 15. 15 + 8 = 23.", "2 * 9 = 18. 18 - 4 = 14."]
    assert len(writer.decodings) == 2


def test_whole_solutions_are_sampled_and_checked() -> None:
    texts = [" 8 + 3 = 11. 11 + 5 = 16.", " 5 * 3 = 15. 15 + 8 = 23.", " 5 * 3 = 15."]
    answer = best_of(RuleWriter(lambda prompt, sample: texts[sample] + "\n"), STEPS, [RECORD], n=3)[0]
    assert answer.detail == {"examples": 0, "solved": True, "right": 1}
    assert puzzle.solves(RECORD, answer.text)
    missed = best_of(RuleWriter(lambda prompt, sample: texts[0]), STEPS, [RECORD], n=2)[0]
    assert not missed.detail["solved"]
    assert not puzzle.solves(RECORD, missed.text)


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"tries": 0}, {"temperature": 0.0}, {"value": "guess"}, {"propose": "sing"}]
)
def test_a_search_that_searches_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CourseError):
        tree_of_thoughts(RuleWriter(), STEPS, [RECORD], **wrong)
