"""Matrices of stages and tasks from models that know exactly which tasks they know."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.instruct.asking import Messages
from course_lib.instruct.forgetting import Matrix, evaluate, matrix
from course_lib.metrics.classification import paired_test
from course_lib.metrics.interval import paired_difference
from course_lib.teach.tables import table

TASKS = ("animals", "sums", "words")
TESTS = {
    task: [{"instruction": f"{task}?", "input": str(k), "output": f"{task} {k}", "metric": "exact"} for k in range(20)]
    for task in TASKS
}
Model = Callable[[Sequence[Messages]], list[str]]


def knows(**shares: int) -> Model:
    """A model that has the first so many of the 20 answers of each task."""

    def answers(prompts: Sequence[Messages]) -> list[str]:
        asked = [prompt[-1]["content"].split("?\n\n") for prompt in prompts]
        return [f"{task} {k}" if int(k) < shares.get(task, 0) else "no idea" for task, k in asked]

    return answers


def course_of_training() -> Matrix:
    models = {
        "base": knows(words=10),
        "after animals": knows(animals=18, words=8),
        "after sums": knows(animals=12, sums=16, words=4),
    }
    return matrix(models, TESTS, trained_on={"after animals": ["animals"], "after sums": ["sums"]})


def test_the_matrix_has_a_row_for_each_stage_and_a_column_for_each_task() -> None:
    rows, columns, values = course_of_training().heat()
    assert rows == ["base", "after animals", "after sums"]
    assert columns == list(TASKS)
    assert values == [[0.0, 0.0, 0.5], [0.9, 0.0, 0.4], [0.6, 0.8, 0.2]]


def test_what_is_forgotten_is_the_difference_from_when_it_was_learned_to_the_end() -> None:
    found = course_of_training()
    animals = found.forgotten("animals")
    assert (animals.first, animals.last) == ("after animals", "after sums")
    assert (animals.before, animals.after) == (0.9, 0.6)
    assert animals.forgotten == pytest.approx(0.3)
    assert animals.low < 0.3 < animals.high
    assert animals.p == pytest.approx(2 / 2**6)  # six items changed, all to the worse
    assert found.forgotten("words").first == "base"  # nobody trained it
    assert found.forgotten("words").forgotten == pytest.approx(0.3)
    assert found.forgotten("sums").forgotten == 0
    assert found.forgotten("sums").p == 1


def test_stages_are_compared_item_by_item() -> None:
    # Both models know 10 of 20, but not the same ones: the averages hide what the items show.
    def other(prompts: Sequence[Messages]) -> list[str]:
        asked = [prompt[-1]["content"].split("?\n\n") for prompt in prompts]
        return [f"{task} {k}" if int(k) >= 10 else "no idea" for task, k in asked]

    found = matrix({"one": knows(animals=10), "same": knows(animals=10), "other": other}, {"animals": TESTS["animals"]})
    same, changed = found.forgotten("animals", "one", "same"), found.forgotten("animals", "one", "other")
    assert same.forgotten == changed.forgotten == 0
    assert same.high - same.low < 0.5 * (changed.high - changed.low)
    one, two = found.stage("one").scores["animals"], found.stage("other").scores["animals"]
    assert (changed.forgotten, changed.low, changed.high, changed.p) == tuple(paired_difference(one, two))
    assert changed.p == paired_test([1] * 20, [int(s) for s in one], [int(s) for s in two])


def test_any_two_stages_can_be_compared() -> None:
    changes = course_of_training().changes(before="base", after="after animals")
    assert [row["task"] for row in changes] == list(TASKS)
    assert [row["forgotten"] for row in changes] == pytest.approx([-0.9, 0, 0.1])


def test_backward_transfer_by_hand() -> None:
    # Lopez-Paz and Ranzato: the mean over the stages before the last of R[last, i] - R[i, i]
    models = {"1": knows(animals=20), "2": knows(animals=14, sums=16), "3": knows(animals=12, sums=18, words=20)}
    found = matrix(models, TESTS, trained_on={"1": ["animals"], "2": ["sums"], "3": ["words"]})
    assert found.backward_transfer() == pytest.approx(((12 - 20) / 20 + (18 - 16) / 20) / 2)
    mixed = matrix(models, TESTS, trained_on={"1": ["animals", "sums"], "3": ["words", "animals"]})
    assert mixed.backward_transfer() == pytest.approx(((12 - 20) / 20 + (18 - 0) / 20) / 2)
    assert matrix(models, TESTS).backward_transfer() is None
    assert matrix(models, TESTS, trained_on={"3": ["words"]}).backward_transfer() is None


def test_an_assistant_is_asked_every_record_once_and_all_together() -> None:
    calls: list[tuple[int, dict[str, Any]]] = []

    class Assistant:
        def answer(self, prompts: Sequence[Messages], **options: Any) -> list[str]:
            calls.append((len(prompts), options))
            return knows(sums=20)(prompts)

        def scores(self, pairs: Sequence[tuple[Messages, str]]) -> list[float]:
            raise AssertionError("nobody asks")

    stage = evaluate("now", Assistant(), TESTS, trained_on=["sums"], max_new=7, batch_size=3)
    assert calls == [(60, {"max_new": 7, "batch_size": 3})]
    assert [stage.mean(task) for task in TASKS] == [0, 1, 0]
    assert (stage.name, stage.trained_on) == ("now", ("sums",))


def test_records_count_for_the_task_they_are_tested_as_and_are_scored_by_their_metric() -> None:
    records = [{"task": "other", "instruction": "What?", "output": "fig plum", "metric": "f1"}]
    stage = evaluate("now", lambda prompts: ["fig pear"] * len(prompts), {"mine": records})
    assert stage.scores == {"mine": [0.5]}


def test_stages_tested_on_other_items_do_not_make_a_matrix() -> None:
    fewer = {**TESTS, "sums": TESTS["sums"][:-1]}
    stages = evaluate("a", knows(), TESTS), evaluate("b", knows(), fewer)
    with pytest.raises(CourseError, match="'b' was tested on other items than 'a'"):
        Matrix(stages)


def test_mistakes_are_named() -> None:
    found = course_of_training()
    with pytest.raises(CourseError, match="choose one of animals, sums, words"):
        found.forgotten("fish")
    with pytest.raises(CourseError, match="no stage 'x'; choose one of base, after animals"):
        found.forgotten("sums", before="x")
    with pytest.raises(CourseError, match="at least one stage"):
        Matrix(())
    with pytest.raises(CourseError, match="same name among base, base"):
        Matrix((found.stages[0],) * 2)
    with pytest.raises(CourseError, match="nothing to test in sums"):
        evaluate("now", knows(), {**TESTS, "sums": []})
    with pytest.raises(CourseError, match="nothing to test in no tasks"):
        evaluate("now", knows(), {})


def test_a_matrix_is_recorded_and_read_again() -> None:
    found = course_of_training()
    plain = json.loads(json.dumps(found.to_json()))
    assert Matrix.from_json(plain) == found
    assert plain["backward_transfer"] == pytest.approx(-0.3)


def test_its_rows_make_a_table() -> None:
    found = course_of_training()
    columns = {"stage": "Stage", **{task: (task, "{:.0%}") for task in found.tasks}}
    shown = str(table(found.rows(), columns, caption="Forgetting"))
    assert shown.splitlines()[-1].split() == ["after", "sums", "60%", "80%", "20%"]
