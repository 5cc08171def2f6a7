"""What a model forgets while it learns: every task, before and after every stage of training.

A model that is tuned on one task often gets worse at others, those of earlier stages included (catastrophic
forgetting). A single number after training cannot show that; a matrix does: a row for each stage, a column for each
task, all on the same test items. So two stages are compared item by item, which is far sharper than comparing two
averages: what the items differ in cancels out.

    forgotten(task) = mean score when it was learned - mean score at the end

**Backward transfer** is the same in one number (Lopez-Paz & Ranzato 2017): over the tasks that a stage before the last
trained, the mean of score at the end minus score when it was learned. Below 0 is forgetting; above 0, later stages
helped.

Left out: what the model knew but no test asks for. A task that is not in the matrix can be forgotten unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from course_lib.errors import CourseError
from course_lib.instruct.asking import Asked, Messages, Record, messages
from course_lib.metrics.interval import paired_difference
from course_lib.metrics.report import TaskReport

Answering = Asked | Callable[[Sequence[Messages]], Sequence[str]]  # an assistant, or any function of the prompts


@dataclass(frozen=True)
class Stage:
    """A model at one time: its scores on every task, and the tasks it was just trained on (before training: none)."""

    report: TaskReport
    trained_on: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the stage is called: "base", "after headlines"."""
        return self.report.name

    @cached_property
    def scores(self) -> dict[str, list[float]]:
        """The scores of the items of every task."""
        found: dict[str, list[float]] = {task: [] for task in self.report.tasks}
        for task, score in zip(self.report.tasks, self.report.scores, strict=True):
            found[task].append(score)
        return found

    def mean(self, task: str) -> float:
        """The mean score of a task."""
        return sum(self.scores[task]) / len(self.scores[task])


@dataclass(frozen=True)
class Forgotten:
    """One task at two stages. ``forgotten`` is before minus after, with its paired 95% interval and p-value."""

    task: str
    first: str
    last: str
    before: float
    after: float
    forgotten: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Matrix:
    """Stages in the order of training, all tested on the same items.

    Raises CourseError when there is no stage, one was tested on other items, or two have the same name.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise CourseError("A matrix of forgetting needs at least one stage: evaluate the model before training.")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise CourseError(f"Two stages have the same name among {', '.join(names)}: give each its own.")
        for stage in self.stages:
            if stage.report.items != self.stages[0].report.items:
                raise CourseError(
                    f"The stage {stage.name!r} was tested on other items than {names[0]!r}: test all on the same ones."
                )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the order of the tests."""
        return tuple(self.stages[0].scores)

    def stage(self, name: str) -> Stage:
        """A stage by name. Raises CourseError naming those there are."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise CourseError(f"There is no stage {name!r}; choose one of {', '.join(one.name for one in self.stages)}.")

    def learned(self, task: str) -> Stage:
        """The first stage that was trained on this task; the first of all where none was.

        Raises CourseError for a task that was not tested.
        """
        if task not in self.tasks:
            raise CourseError(f"The task {task!r} was not tested; choose one of {', '.join(self.tasks)}.")
        return next((stage for stage in self.stages if task in stage.trained_on), self.stages[0])

    def forgotten(self, task: str, before: str = "", after: str = "") -> Forgotten:
        """How much of a task was lost between two stages: by default from when it was learned to the last."""
        learned = self.learned(task)
        first, last = self.stage(before) if before else learned, self.stage(after) if after else self.stages[-1]
        lost = paired_difference(first.scores[task], last.scores[task])
        return Forgotten(task, first.name, last.name, first.mean(task), last.mean(task), *lost)

    def changes(self, before: str = "", after: str = "") -> list[dict[str, Any]]:
        """`forgotten` of every task as rows of a table."""
        return [asdict(self.forgotten(task, before, after)) for task in self.tasks]

    def backward_transfer(self) -> float | None:
        """Lopez-Paz & Ranzato's number, below 0 where later stages cost earlier tasks.

        None when no stage before the last says that it was trained on one of the tasks.
        """
        last = self.stages[-1]
        trained = {task for stage in self.stages[:-1] for task in stage.trained_on}
        changes = [last.mean(task) - self.learned(task).mean(task) for task in self.tasks if task in trained]
        return sum(changes) / len(changes) if changes else None

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a table: the stage and the mean score of every task."""
        return [{"stage": stage.name, **{task: stage.mean(task) for task in self.tasks}} for stage in self.stages]

    def heat(self) -> tuple[list[str], list[str], list[list[float]]]:
        """Names of the rows (stages) and columns (tasks), and the mean scores: what a heatmap is drawn from."""
        values = [[stage.mean(task) for task in self.tasks] for stage in self.stages]
        return [stage.name for stage in self.stages], list(self.tasks), values

    def to_json(self) -> dict[str, Any]:
        """The report of every stage, what was forgotten, backward transfer; `from_json` reads it."""
        stages = [{"trained_on": list(stage.trained_on), "report": stage.report.to_json()} for stage in self.stages]
        return {"stages": stages, "forgotten": self.changes(), "backward_transfer": self.backward_transfer()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Matrix:
        """The matrix that `to_json` wrote."""
        return cls(
            tuple(Stage(TaskReport.from_json(one["report"]), tuple(one["trained_on"])) for one in content["stages"])
        )


def evaluate(
    name: str,
    model: Answering,
    tests: Mapping[str, Sequence[Record]],
    *,
    trained_on: Sequence[str] = (),
    max_new: int = 64,
    batch_size: int = 32,
) -> Stage:
    """Ask ``model`` every record of ``tests`` (by task), all together, and score each answer by the record's metric.

    Raises CourseError when there is no task or a task has no records.
    """
    empty = [task for task, some in tests.items() if not some]
    if empty or not tests:
        raise CourseError(f"There is nothing to test in {', '.join(empty) or 'no tasks'}: give each task some records.")
    records = [{**record, "task": task} for task, some in tests.items() for record in some]
    prompts = [messages(record) for record in records]
    answers: Sequence[str]
    if isinstance(model, Asked):
        answers = model.answer(prompts, max_new=max_new, batch_size=batch_size)
    else:
        answers = model(prompts)
    return Stage(TaskReport.of(records, answers, name), tuple(trained_on))


def matrix(
    models: Mapping[str, Answering],
    tests: Mapping[str, Sequence[Record]],
    *,
    trained_on: Mapping[str, Sequence[str]] | None = None,
    max_new: int = 64,
    batch_size: int = 32,
) -> Matrix:
    """All stages at once: models by name, in the order of training; ``trained_on`` has the tasks of each.

    Where the models do not fit into memory together, `evaluate` each after its training and make a `Matrix` of them.
    """
    known = trained_on or {}
    return Matrix(
        tuple(
            evaluate(name, model, tests, trained_on=known.get(name, ()), max_new=max_new, batch_size=batch_size)
            for name, model in models.items()
        )
    )
