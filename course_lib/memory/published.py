"""Measurements that other people published, as questions to the planner.

A planner that agrees with its own author proves little. `assets/published_peak_memory.csv` holds what others measured
on real GPUs with real models, one run to a row, with where it was published; the columns are described in the file of
that name ending in .md. A row becomes a `Measured`: a model, a GPU, a `Recipe`, and the bytes that came out. The error
of a prediction p of a measurement m is p/m - 1, so -2% says that the run needed a little more than was promised.

    >>> next(row for row in rows() if row.model == "llama-2-13b").bytes
    38120000000

A row is *complete* when its source says everything that decides memory: which weights learn, in which precision, with
which optimizer, how many tokens at a time. The others are kept, with what is missing in their notes, but no bound is
set on them. Nothing here is fitted: every setting of a recipe is read from the source's own configuration or code.

Left out: which peak of several runs was published (the sources give one figure), and rounding to 10 MB.
"""

from __future__ import annotations

import csv
import functools
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from course_lib.assets import asset
from course_lib.memory.recipe import Recipe

GB = 10**9
FILE = "published_peak_memory.csv"
METHODS = {
    "full": "full",
    "full-finetuning": "full",
    "lora": "lora",
    "qlora-nf4": "qlora",
    "qlora-nf4-dq": "qlora",
    "prompt_tuning": "prompt",
}
PRECISIONS = {"bf16-true": "bf16", "bf16-mixed": "bf16-mixed", "bf16": "bf16", "bf16 base, fp32 adapter": "bf16"}
OPTIMIZERS = {"AdamW": "adamw-foreach", "PagedAdamW": "paged-adamw"}  # torch takes foreach where nobody chooses
TARGETS: dict[str, str | tuple[str, ...]] = {
    "q+v": "qv",
    "all+head": "all-linear",
    "down+gate+up": ("down_proj", "gate_proj", "up_proj"),
}


@dataclass(frozen=True)
class Measured:
    """One published run. ``bytes`` is None where it ran out of memory, ``recipe`` where the planner cannot say it."""

    model: str  # a preset's name
    gpu: str  # a GPU's name
    recipe: Recipe | None
    bytes: int | None
    reserved: bool  # what the allocator held, instead of what live tensors needed
    complete: bool
    group: str  # rows of one program and one table
    method: str  # as its source calls it
    source: str
    note: str

    @property
    def title(self) -> str:
        """Model, method, rank, batch and length, for a table."""
        if self.recipe is None:
            return f"{self.model} {self.method}"
        rank = f" r{self.recipe.rank}" if self.recipe.method in ("lora", "qlora") else ""
        mixed = " mixed" if self.recipe.autocasts else ""
        return f"{self.model} {self.method}{rank}{mixed} {self.recipe.micro_batch}x{self.recipe.seq_len}"

    def predict(self, engine: str = "trace") -> int:
        """What the planner says about this run, in bytes of the kind that was measured."""
        from course_lib.memory.plan import plan

        answer = plan(self.model, self.recipe, self.gpu, engine=engine, advise=False)
        return answer.segments_bytes if self.reserved else answer.peak_bytes

    def as_transformers(self) -> int:
        """What the planner would say if it were not told whose program ran and took it for transformers and peft."""
        from course_lib.memory.plan import plan

        assert self.recipe is not None
        targets = self.recipe.targets if isinstance(self.recipe.targets, str) else "all-linear"
        recipe = self.recipe.but(program="transformers", targets=targets)
        answer = plan(self.model, recipe, self.gpu, advise=False)
        return answer.segments_bytes if self.reserved else answer.peak_bytes


@dataclass(frozen=True)
class Missed:
    """A prediction in bytes beside its measurement; ``error`` is the signed share by which it is off."""

    row: Measured
    predicted: int

    @property
    def error(self) -> float:
        """How far off, as a share of what was measured; below 0 where too little was predicted."""
        assert self.row.bytes is not None
        return self.predicted / self.row.bytes - 1


@dataclass(frozen=True)
class Summary:
    """How far off a set of predictions is: absolute errors as shares, and the row of the worst."""

    rows: int
    median: float
    worst: float
    worst_row: str

    @classmethod
    def of(cls, errors: Sequence[Missed]) -> Summary:
        """Of at least one prediction."""
        worst = max(errors, key=lambda one: abs(one.error))
        median = statistics.median(abs(one.error) for one in errors)
        return cls(len(errors), median, abs(worst.error), worst.row.title)


@functools.cache
def rows() -> tuple[Measured, ...]:
    """Every published row, in the order of the file."""
    with asset(FILE).open(encoding="utf-8", newline="") as file:
        return tuple(_measured(row) for row in csv.DictReader(file))


def complete() -> tuple[Measured, ...]:
    """The rows on which bounds are set: training runs that are fully described."""
    return tuple(row for row in rows() if row.complete)


def errors(
    engine: str | Callable[[Measured], int] = "trace", of: Iterable[Measured] | None = None
) -> tuple[Missed, ...]:
    """Predictions of the complete rows (or of those given) by the planner's engine of that name, or by a function."""
    predict = engine if callable(engine) else functools.partial(Measured.predict, engine=engine)
    return tuple(Missed(row, predict(row)) for row in (complete() if of is None else of) if row.bytes is not None)


def by_group(errors: Sequence[Missed]) -> dict[str, Summary]:
    """The summary of each group of rows, and of all of them under "all"."""
    groups = {row.row.group: [one for one in errors if one.row.group == row.row.group] for row in errors}
    return {name: Summary.of(found) for name, found in {**groups, "all": list(errors)}.items()}


def _measured(row: dict[str, str]) -> Measured:
    return Measured(
        model=row["preset"],
        gpu=row["card"],
        recipe=_recipe(row),
        bytes=None if row["peak"] == "OOM" else round(float(row["peak"]) * GB),
        reserved=row["metric"].startswith("max_reserved"),
        complete=row["complete"] == "yes",
        group=row["group"],
        method=row["method"],
        source=row["source"],
        note=row["notes"],
    )


def _recipe(row: dict[str, str]) -> Recipe | None:
    """The run as the planner says it; None where the planner has no such method, or where a length is missing."""
    if row["complete"] != "yes" and row["peak"] != "OOM":
        return None
    method = METHODS[row["method"]]
    recipe = Recipe(
        method=method,
        precision=PRECISIONS[row["precision"]],
        optimizer=OPTIMIZERS[row["optimizer_ran"]],
        micro_batch=int(row["micro_batch"]),
        seq_len=int(row["seq_ran"]),
        accumulate=int(row["accumulate"]),
        checkpointing=row["grad_ckpt"] == "yes",
        autocast=row["precision"].endswith("mixed"),
        program=row["program"],
    )
    if method == "prompt":
        return recipe.but(prompt_tokens=int(row["prompt_tokens"]))
    if method == "full":
        return recipe
    return recipe.but(
        rank=int(row["lora_rank"]),
        targets=TARGETS[row["targets"]],
        lora_dropout=float(row["dropout"]),
        adapter_precision=row["adapter_precision"],
        double_quantization=row["method"].endswith("dq"),
        quantize_head=row["quantize_head"] == "yes",
    )
