"""Proposals, filters and yields with an assistant whose knowledge and mistakes are known."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.instruct.asking import Messages
from course_lib.instruct.assistant import Assistant
from course_lib.instruct.proposals import (
    META,
    ORDER,
    Candidate,
    answered,
    meta_records,
    propose,
    read_task,
    sample,
    written_task,
)
from course_lib.instruct.selfinstruct import Recipe, funnel, new_ones, self_instruct
from course_lib.metrics.classification import wilson_interval
from course_lib.world.instructions import checked, mixture
from course_lib.world.place import Place

SEEDS = [
    {"task": "double", "instruction": "Double it.", "input": "900", "output": "1800", "metric": "numeric"},
    {"task": "reverse", "instruction": "Write it backwards.", "input": "abc", "output": "cba", "metric": "exact"},
]


class Doubler:
    """Proposes to double a number below 100. Knows how if the last digit is below 7; is unsure of 7 and 8, and wrong;
    is sure of 9, and wrong. As with the real one, the same prompt with the same seed gets the same answer."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.prompts: list[list[str]] = []

    def answer(self, prompts: Sequence[Messages], **options: Any) -> list[str]:
        self.calls.append(options)
        self.prompts.append([prompt[-1]["content"] for prompt in prompts])
        return [self._reply(prompt[-1]["content"], options) for prompt in prompts]

    def scores(self, pairs: Sequence[tuple[Messages, str]]) -> list[float]:
        raise AssertionError("nobody asks")

    def _reply(self, prompt: str, options: dict[str, Any]) -> str:
        drawn = options.get("temperature", 0) > 0
        dice = random.Random(repr((prompt, options.get("seed"))) if drawn else prompt)
        if "of the kind" in prompt:
            return f"Instruction: Double it.\nInput: {dice.randrange(100)}"
        number = int(prompt.split()[-1])
        if number % 10 < 7:
            return str(2 * number)
        return str(number + 1) if number % 10 == 9 else str(1000 + dice.randrange(10**6))


def double(record: dict[str, Any]) -> bool | None:
    """The check of a caller who can double."""
    return record["output"] == str(2 * int(record["input"])) if record["input"].isdigit() else None


def candidate(given: str, output: str = "x y", votes: int = 5, instruction: str = "Say this again.") -> Candidate:
    return Candidate(
        "kind", written_task({"instruction": instruction, "input": given}), instruction, given, output, votes
    )


# Proposing


def test_records_of_proposing_are_read_back_as_the_tasks_they_were_made_of() -> None:
    records = mixture(Place.build(), random.Random(0), 160)
    made = meta_records(records)
    assert len(made) == 160
    for one, record in zip(made, records, strict=True):
        assert read_task(one["output"]) == (record["instruction"], record["input"])
        assert (one["task"], one["instruction"]) == (META, ORDER.format(kind=record["task"]))


def test_a_task_without_input_is_written_and_read_without_one() -> None:
    (made,) = meta_records([{"task": "t", "instruction": "Name a fish."}])
    assert made["output"] == "Instruction: Name a fish."
    assert read_task(made["output"]) == ("Name a fish.", "")


def test_a_record_that_contains_the_marks_of_the_form_is_left_out() -> None:
    marked = {"task": "t", "instruction": "Copy.\nInput: nothing", "input": "x"}
    assert meta_records([marked, {"task": "t", "instruction": "Copy.", "input": "x\nInput: y"}]) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Double it.",
        "Instruction:",
        "Instruction: \nInput: 3",
        "So: Instruction: x",
        "Instruction: x\nInput: y\nInput: z",
    ],
)
def test_what_is_not_in_the_form_is_no_task(text: str) -> None:
    assert read_task(text) is None


def test_kinds_are_asked_for_in_turn_and_every_proposal_has_a_draw_of_its_own() -> None:
    model = Doubler()
    found = propose(model, SEEDS, 40)
    assert [one.kind for one in found[:3]] == ["double", "reverse", "double"]
    assert len({one.input for one in found}) > 20
    assert all(len(set(call)) == len(call) for call in model.prompts)  # the same prompt twice would be answered alike
    assert len({call["seed"] for call in model.calls}) == len(model.calls) == 20


def test_the_same_seed_proposes_the_same_and_another_seed_something_else() -> None:
    first, again, other = (propose(Doubler(), SEEDS, 30, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert len({(a.input, b.input) for a, b in zip(first, other, strict=True) if a.input == b.input}) < 5
    assert not {call["seed"] for call in _calls(seed=1)} & {call["seed"] for call in _calls(seed=2)}


def _calls(seed: int) -> list[dict[str, Any]]:
    model = Doubler()
    propose(model, SEEDS, 30, seed=seed)
    return model.calls


def test_a_model_that_never_learned_to_propose_is_shown_seeds_of_the_kind() -> None:
    model = Doubler()
    propose(model, [*SEEDS, {**SEEDS[0], "input": "800"}], 4, examples=2)
    shown = [prompt for call in model.prompts for prompt in call]
    about = [prompt for prompt in shown if "kind double" in prompt]
    assert all("Input: 900" in prompt and "Input: 800" in prompt and "abc" not in prompt for prompt in about)
    assert all("Input: abc" in prompt for prompt in shown if prompt not in about)


def test_answers_are_counted_that_repeat_the_likeliest_one() -> None:
    found = answered(Doubler(), [candidate("12"), candidate("19"), candidate("17"), Candidate("k", "???")], samples=4)
    assert [(one.output, one.votes) for one in found[:2]] == [("24", 4), ("20", 4)]
    assert found[2].votes == 0
    assert found[3] == Candidate("k", "???")


def test_equal_prompts_are_drawn_with_different_seeds_and_answers_keep_their_places() -> None:
    class Echo:
        def answer(self, prompts: Sequence[Messages], **options: Any) -> list[str]:
            return [f"{prompt[0]['content']} {options['seed'] % 100}" for prompt in prompts]

    prompts = [[{"role": "user", "content": text}] for text in ("a", "b", "a", "a", "b")]
    found = sample(Echo(), prompts, max_new=4, temperature=1, seed=3, batch_size=2)
    assert found == ["a 0", "b 0", "a 1", "a 2", "b 1"]


# Filters


def test_every_filter_takes_what_it_is_for_and_is_counted_in_order_and_alone() -> None:
    long = " ".join(map(str, range(200)))
    some = [
        candidate("a b c d"),  # stays
        Candidate("kind", "I would like to"),  # form
        candidate("a b c d e f", output=long),  # length, of the answer
        candidate(long),  # length, of the task
        candidate("g h i", output="  "),  # answer: empty
        candidate("k l m", output="no no no"),  # answer: again and again
        candidate("n o p", output="N o  p"),  # echo of the input
        candidate("q r s", output="say this again."),  # echo of the instruction
        candidate("t u v", votes=2),  # agreement
        candidate("a b c d x"),  # new: 4 of the words of the first, F = 8 / 9
        candidate("900"),  # new: the input of a seed
        candidate("a b c d", votes=0),  # agreement, and alone also not new
        candidate("w x"),  # stays
    ]
    found = funnel(some, SEEDS)
    assert [(step.name, step.left, step.rejected, step.alone) for step in found.steps] == [
        ("form", 12, 1, 1), ("length", 10, 2, 2), ("answer", 8, 2, 2), ("echo", 6, 2, 2), ("agreement", 4, 2, 2),
        ("new", 2, 2, 4),
    ]  # fmt: skip
    assert [record["input"] for record in found.records] == ["a b c d", "w x"]
    assert found.share.value == pytest.approx(2 / 13)
    assert [row["left"] for row in found.rows()] == [13, 12, 10, 8, 6, 4, 2]


def test_what_a_rejected_candidate_said_does_not_make_a_later_one_old() -> None:
    found = funnel([candidate("a b c d", votes=0), candidate("a b c d")], SEEDS)
    assert len(found.records) == 1


@pytest.mark.parametrize("output", ["yes yes yes", "the red the red the red", "so a b c d a b c d a b c d"])
def test_an_answer_that_repeats_itself_is_rejected(output: str) -> None:
    assert funnel([candidate("a", output=output)], SEEDS).records == ()
    assert funnel([candidate(output, output="a")], SEEDS).records == ()  # so is a task


@pytest.mark.parametrize("output", ["yes yes", "ha hat hath", "1 2 1 2", "a b c a b d a b e", "11 1 1"])
def test_an_answer_that_only_looks_like_repeating_stays(output: str) -> None:
    assert len(funnel([candidate("a", output=output)], SEEDS).records) == 1


def test_near_copies_are_those_of_seeds_of_accepted_ones_and_of_the_test_set() -> None:
    # ROUGE-L: 4 words of 4 and 5 in order is 8 / 9, 2 of 4 and 4 is 0.5, all 4 backwards is 0.25
    assert new_ones(["a b c d", "d c b a", "a b x y", "a b c d e"], []) == [0, 1, 2]
    assert new_ones(["a b c d"], ["a b c d e"]) == []
    assert new_ones(["a b c d", "a b c d e", "A  b c d"], [], near=1.0) == [0, 1]
    test = [{"instruction": "Say this again.", "input": "a b c"}]
    assert funnel([candidate("a b c")], SEEDS, apart=test).records == ()


def test_tasks_without_input_are_compared_by_their_instruction() -> None:
    some = [candidate("", instruction="Name a fish."), candidate("", instruction="Name a fish")]
    assert len(funnel(some, SEEDS).records) == 1


# Quality


def test_the_filters_take_what_the_model_is_unsure_of_and_leave_what_it_is_sure_and_wrong_about() -> None:
    some = [candidate(str(k), instruction="Double it.") for k in range(1, 101)]
    found = funnel(answered(Doubler(), some), SEEDS, recipe=Recipe(words=(1, 9)), check=double)
    assert (found.before.value, found.before.n) == (0.7, 100)
    assert [step.rejected for step in found.steps] == [0, 0, 0, 0, 20, 0]  # those that end in 7 or 8
    assert (found.after.value, found.after.n) == (70 / 80, 80)
    assert (found.after.low, found.after.high) == pytest.approx(wilson_interval(70, 80))


def test_all_in_one_gives_records_ready_for_training_the_same_for_the_same_seed() -> None:
    recipe = Recipe(words=(1, 9), seed=5)
    found = self_instruct(Doubler(), SEEDS[:1], 120, recipe=recipe, check=double)
    assert found == self_instruct(Doubler(), SEEDS[:1], 120, recipe=recipe, check=double)
    assert 30 < len(found.records) < 70
    assert len({record["input"] for record in found.records}) == len(found.records)
    assert found.records[0].keys() == {"task", "instruction", "input", "output", "metric", "source"}
    assert found.records[0]["metric"] == "numeric"
    assert 1 > found.after.value > found.before.value
    assert found != self_instruct(Doubler(), SEEDS[:1], 120, recipe=Recipe(words=(1, 9), seed=6), check=double)


def test_what_cannot_be_checked_counts_neither_as_right_nor_as_wrong() -> None:
    found = funnel([candidate("a b"), candidate("4", "8"), candidate("5", "8")], SEEDS, check=double)
    assert (found.before.value, found.before.n) == (0.5, 2)
    assert funnel([candidate("a b")], SEEDS, check=double).after is None
    assert funnel([candidate("4", "8")], SEEDS).before is None
    assert [(row["left"], row["checked"]) for row in found.rows()][:2] == [(3, 0), (3, 2)]


def test_the_worlds_own_check_fits() -> None:
    records = mixture(Place.build(), random.Random(1), 64)
    right = [Candidate(r["task"], written_task(r), r["instruction"], r["input"], r["output"], 5) for r in records]
    wrong = [Candidate(**{**vars(one), "output": "purple"}) for one in right[:16]]
    found = funnel([*right, *wrong], [], recipe=Recipe(near=2.0), check=checked)
    known = sum(checked(one.record) is False for one in wrong)
    assert 8 < known <= 16
    assert found.before.value == pytest.approx(64 / (64 + known))
    assert funnel(right, records, check=checked).records == ()  # all of them are copies of the seeds


def test_a_yield_is_plain_values() -> None:
    found = self_instruct(Doubler(), SEEDS, 20, recipe=Recipe(words=(1, 9)), check=double)
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["steps"] == found.rows()
    assert plain["n"] == 20
    assert plain["records"] == list(found.records)
    nothing = funnel([Candidate("k", "no")], SEEDS, check=double)
    assert json.loads(json.dumps(nothing.to_json()))["after"] is None


def test_without_samples_nothing_has_to_agree() -> None:
    model = Doubler()
    found = self_instruct(model, SEEDS[:1], 5, recipe=Recipe(words=(1, 9), samples=0, agree=0))
    assert len(found.records) >= 1
    assert len(model.calls) == 5 + 1


def test_an_assistant_can_be_asked_for_tasks() -> None:
    assistant = Assistant.from_name("course-base-small")
    records = mixture(Place.build(), random.Random(2), 3)
    recipe = Recipe(examples=1, samples=2, agree=1, max_new=8, answer_max_new=4)
    found = self_instruct(assistant, records, 6, recipe=recipe, check=checked)
    assert found == self_instruct(assistant, records, 6, recipe=recipe, check=checked)
    assert len({one.written for one in found.candidates}) == 6  # no task is drawn twice with the same dice


def test_mistakes_are_named() -> None:
    with pytest.raises(CourseError, match="Of 2 samples, 3 cannot agree"):
        Recipe(samples=2)
    with pytest.raises(CourseError, match="needs some seed records"):
        propose(Doubler(), [], 3)
    with pytest.raises(CourseError, match="set one above 0"):
        propose(Doubler(), SEEDS, 3, temperature=0)
    with pytest.raises(CourseError, match="add the field task"):
        meta_records([{"instruction": "x"}])
    with pytest.raises(CourseError, match="needs an instruction"):
        meta_records([{"task": "t", "output": "x"}])
