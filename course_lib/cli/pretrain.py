"""`course pretrain`: a base model from nothing, as lesson 02 shows it in small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, command
from course_lib.errors import CourseError


@command("course pretrain course-base-small --out build/my-gpt")
def pretrain(
    name: Annotated[str, typer.Argument(help="course-base-small or course-base.")] = "course-base-small",
    out: Annotated[
        Path | None,
        typer.Option(help="Where model and checkpoints go; the same command continues there.", show_default=False),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Read only this many tokens, for a shorter run.", min=1, show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the documents, the first weights and the order.", min=0)] = 0,
    precision: Annotated[str, typer.Option(help="auto, no (float32), bf16 or fp16.")] = "auto",
    plan: Annotated[bool, typer.Option("--plan", help="Say what the run will take, and stop.")] = False,
    items: Annotated[int, typer.Option(help="Questions to a row of the table at the end; 0: no table.", min=0)] = 200,
    as_json: AsJson = False,
) -> int:
    """Train a base model on the course's own corpus, then measure what it can do: hours on two cores."""
    from course_lib import hardware
    from course_lib import pretrain as room
    from course_lib.pretrain.card import finish

    if name not in room.RECIPES:
        raise CourseError(f"There is no recipe {name!r}; choose {' or '.join(room.RECIPES)}.")
    recipe = replace(room.RECIPES[name], seed=seed)
    recipe = replace(recipe, tokens=tokens) if tokens else recipe
    folder = out or Path("build") / name
    hardware.use_threads()
    ahead = room.outlook(recipe, folder, precision)
    show.note(
        f"{name}: {ahead.parameters:,} parameters, {ahead.tokens:,} tokens in {ahead.rows:,} rows, {ahead.steps:,}"
        f" steps, {ahead.flops:.1e} FLOPs; about {show.duration(ahead.seconds)} on this machine."
    )
    if plan:
        return 0
    try:
        done = room.pretrain(recipe, folder, precision=precision, progress=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted; the checkpoints are in {folder}, where the same command continues."
        ) from None
    room.save(done, folder / "model")
    record = finish(done, folder, items)
    if as_json:
        show.print_json(record)
    else:
        show.note(f"The model is in {folder / 'model'}, with its card in README.md.")
        print((folder / "model" / "README.md").read_text(encoding="utf-8"))
    return 0


@command("course evaluate build/my-gpt/model")
def evaluate(
    model: Annotated[str, typer.Argument(help="course-base-small, course-base or a folder.")] = "course-base",
    items: Annotated[int, typer.Option(help="Questions to a row.", min=10)] = 200,
    as_json: AsJson = False,
) -> int:
    """Measure what a base model can do: the table of its model card."""
    from course_lib import hardware
    from course_lib.generate import Writer
    from course_lib.pretrain.evaluate import evaluate as measure

    hardware.use_threads()
    table = measure(Writer.from_name(model), items)
    print(json.dumps(table.to_json(), indent=2) if as_json else table.markdown())
    return 0
