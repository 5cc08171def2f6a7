"""`course finetune` and `course generate`: from a file of examples to a model that answers, as lesson 04 shows it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, command
from course_lib.errors import CourseError

if TYPE_CHECKING:
    from course_lib.instruct.finetune import Done

DATA, LEARNS, HOW = "Data", "What learns", "How"


def option(panel: str, help: str, *flags: str, **limits: Any) -> Any:
    """An option of one panel of the help, without a default in it."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, show_default=False, **limits)


@command("course finetune --data mine.jsonl --model course-base --method lora --out build/mine")
def finetune(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="A file of examples (`course data check` reads it), or a hub id.")],
    out: Annotated[Path, typer.Option(help="The folder of the run: checkpoints, figures, the model.")],
    model: Annotated[str, typer.Option(help="A short name, a folder or a hub id.")] = "course-base",
    method: Annotated[str, typer.Option(help="full, last-n, lora or qlora.")] = "lora",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, to the same bits.")] = False,
    ignore_memory: Annotated[bool, typer.Option("--ignore-memory", help="Try what should not fit.")] = False,
    as_json: AsJson = False,
    test: Annotated[str | None, option(DATA, "A file to test on; without it a part of --data is held out.")] = None,
    test_share: Annotated[float, option(DATA, "The part that is held out [0.1, at most 200 examples].")] = 0.1,
    items: Annotated[int, option(DATA, "Test questions answered before and after [100]; 0: none.", min=0)] = 100,
    max_train: Annotated[int, option(DATA, "Learn from that many examples at most; 0: all.", min=0)] = 0,
    format: Annotated[
        str | None, option(DATA, "alpaca, chat, prompt-completion or csv; without it, recognised.")
    ] = None,
    prompt: Annotated[str | None, option(DATA, "The column or field of the questions.")] = None,
    answer: Annotated[str | None, option(DATA, "The column or field of the answers.")] = None,
    rank: Annotated[int | None, option(LEARNS, "Of LoRA and QLoRA [8].")] = None,
    alpha: Annotated[float | None, option(LEARNS, "LoRA is scaled by alpha / rank [16].")] = None,
    dropout: Annotated[float | None, option(LEARNS, "Of LoRA [0].")] = None,
    targets: Annotated[
        str | None, option(LEARNS, "Layers that get LoRA: all-linear, qv, or names with commas.")
    ] = None,
    blocks: Annotated[int | None, option(LEARNS, "How many blocks last-n trains [2].")] = None,
    epochs: Annotated[int | None, option(HOW, "Passes over the examples [3].")] = None,
    learning_rate: Annotated[float | None, option(HOW, "Without it, what suits method and model.")] = None,
    batch_size: Annotated[int | None, option(HOW, "Examples of one step [16].")] = None,
    micro_batch: Annotated[int | None, option(HOW, "Examples at a time; a divisor of --batch-size.")] = None,
    max_length: Annotated[int | None, option(HOW, "Tokens; longer questions are cut, answers never.")] = None,
    optimizer: Annotated[str | None, option(HOW, "adamw or adamw-8bit [8 bits on a GPU].")] = None,
    checkpointing: Annotated[
        bool | None,
        option(HOW, "Keep each block's input, compute the rest again.", "--checkpointing/--no-checkpointing"),
    ] = None,
    seed: Annotated[int | None, option(HOW, "Decides the split, the order and the first adapter.", min=0)] = None,
    save_every: Annotated[int, option(HOW, "Steps between checkpoints; 0: one after each epoch.", min=0)] = 0,
) -> int:
    """Tune a model on your examples: checked, planned, measured before and after, safe to interrupt."""
    from course_lib import hardware
    from course_lib.instruct.finetune import Job
    from course_lib.instruct.finetune import finetune as run
    from course_lib.instruct.settings import Tuning

    names = Tuning.__dataclass_fields__
    given = {name: value for name, value in context.params.items() if name in names and value is not None}
    columns = {name: value for name, value in (("prompt", prompt), ("completion", answer)) if value}
    job = Job(
        data, model, out, Tuning(**given), test, test_share, items, max_train, format, columns or None, save_every,
        "ignore" if ignore_memory else "check",
    )  # fmt: skip
    hardware.use_threads()
    try:
        done = run(job, resume, show.note)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted; the same command with --resume goes on in {out}.") from None
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename or out})"
        raise CourseError(
            f"The run could not go on: {why}. When that is mended, the same command with --resume goes on in {out}."
        ) from error
    if as_json:
        show.print_json(done.report)
    else:
        _report(done)
    return 0


def _report(done: Done) -> None:
    from course_lib.metrics.report import TaskReport, compare

    if done.report["before"] and done.report["after"]:
        before, after = (TaskReport.from_json(done.report[name]) for name in ("before", "after"))
        rows = [
            [one.task, f"{one.second:.1%}", f"{one.first:.1%}", f"{one.low:+.1%} to {one.high:+.1%}", str(one.n)]
            for one in compare(after, before)
        ]
        columns = ["Measured by", "Before", "After", "Difference", "Items"]
        show.show_table("Answers to held-out questions", columns, rows, columns[1:])
    print(f"course generate --model {done.folder}")


@command('course generate --model build/mine/model "Name the town\'s market."')
def generate(
    prompts: Annotated[
        list[str], typer.Argument(help="Questions; - reads one per line from standard input.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="A folder from `course finetune`, a short name or a hub id.")],
    system: Annotated[str, typer.Option(help="A system message before each question.", show_default=False)] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Continue the text as it is, without a chat template.")
    ] = False,
    max_new: Annotated[int, typer.Option(help="Tokens of an answer at most.", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.", min=0.0)] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 0,
    as_json: AsJson = False,
) -> int:
    """Ask a model: a tuned one, or any that continues texts."""
    from course_lib import hardware
    from course_lib.generate import Decoding
    from course_lib.instruct.assistant import Assistant

    if prompts == ["-"]:
        prompts = sys.stdin.read().splitlines()
    prompts = [prompt for prompt in prompts if prompt.strip()]
    if not prompts:
        raise CourseError("There is no question: give one, or - and lines on standard input.")
    if plain and system:
        raise CourseError("A text that is continued as it is has no system message: leave out --plain or --system.")
    hardware.use_threads()
    assistant = Assistant.from_name(model)
    if plain:
        answers = assistant.continue_(prompts, Decoding(max_new=max_new, temperature=temperature, seed=seed))
    else:
        before = [{"role": "system", "content": system}] if system else []
        asked = [[*before, {"role": "user", "content": prompt}] for prompt in prompts]
        answers = assistant.answer(asked, max_new=max_new, temperature=temperature, seed=seed)
    if as_json:
        show.print_json([{"prompt": prompt, "answer": answer} for prompt, answer in zip(prompts, answers, strict=True)])
        return 0
    for prompt, answer in zip(prompts, answers, strict=True):
        print(f"{prompt}\n{answer}\n" if len(prompts) > 1 else answer)
    return 0
