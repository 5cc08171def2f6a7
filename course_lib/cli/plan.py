"""`course plan`: what a run will need, before anything is downloaded or started.

Every option but the first few is a setting of a `Recipe`, with the same name and the same default. Names are found
whatever their case, and as other libraries write them (`bfloat16`, `paged_adamw_8bit`, `zero-3`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, command
from course_lib.errors import CourseError
from course_lib.memory import recipe as recipes

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU
    from course_lib.memory.models import Preset
    from course_lib.memory.plan import Plan
    from course_lib.memory.recipe import Recipe
    from course_lib.memory.subject import Subject

DEFAULTS: dict[str, Any] = {name: field.default for name, field in recipes.Recipe.__dataclass_fields__.items()}
HERE = ("here", "this-machine")
ALIASES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "adamw-torch": "adamw-foreach",
    "adamw-torch-fused": "adamw",
    "adamw-bnb-8bit": "adamw-8bit",
    "paged-adamw-32bit": "paged-adamw",
    "flash-attention-2": "flash",
    "prompt-tuning": "prompt",
    "zero-1": "zero1",
    "zero-2": "zero2",
    "zero-3": "zero3",
}
BATCH, ADAPTERS, SAVERS, SPREAD = "What runs", "What learns", "What saves memory", "Several GPUs"


def setting(panel: str, name: str, help: str, *flags: str) -> Any:
    """The option of a recipe's setting: its choices or its default stand at the end of the help."""
    default = DEFAULTS[name]
    end = "" if isinstance(default, bool) or default is None else f" [{default}]"
    return typer.Option(*flags, help=(help + end).replace("[", r"\["), rich_help_panel=panel, show_default=False)


def one_of(choices: tuple[str, ...]) -> str:
    """Choices for a help text."""
    return ", ".join(choices)


@command("course plan --model llama-2-7b --method qlora --gpu t4 --checkpointing")
def plan(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="A preset, a folder, a config.json, or a hub id.", show_default=False)
    ] = None,
    gpu: Annotated[str, typer.Option(help="A GPU's name, or here for what this machine has.")] = "t4",
    engine: Annotated[str, typer.Option(help="trace (exact, seconds), formulas (at once), or both.")] = "trace",
    list_names: Annotated[bool, typer.Option("--list", help="Print the presets and the GPUs, and stop.")] = False,
    as_json: AsJson = False,
    method: Annotated[str | None, setting(BATCH, "method", one_of(recipes.METHODS))] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help=f"{one_of(recipes.PRECISIONS)}; without it bf16, or fp16 on a GPU that lacks bf16.",
            rich_help_panel=BATCH,
            show_default=False,
        ),
    ] = None,
    micro_batch: Annotated[int | None, setting(BATCH, "micro_batch", "Sequences at a time on each device.")] = None,
    seq_len: Annotated[int | None, setting(BATCH, "seq_len", "Tokens of a sequence, or of a prompt.")] = None,
    new_tokens: Annotated[int | None, setting(BATCH, "new_tokens", "Tokens generated after the prompt.")] = None,
    lengths: Annotated[str | None, setting(BATCH, "lengths", "Of batches: fixed, or varying up to --seq-len.")] = None,
    accumulate: Annotated[int | None, setting(BATCH, "accumulate", "Micro-batches of one optimizer step.")] = None,
    optimizer: Annotated[str | None, setting(BATCH, "optimizer", one_of(recipes.OPTIMIZERS))] = None,
    attention: Annotated[str | None, setting(BATCH, "attention", one_of(recipes.ATTENTIONS))] = None,
    autocast: Annotated[
        bool | None, setting(BATCH, "autocast", "By default where 16-bit computing meets fp32 weights that learn.")
    ] = None,
    upcast_logits: Annotated[
        bool | None, setting(BATCH, "upcast_logits", "A float32 copy of the logits for the loss, or none.")
    ] = None,
    program: Annotated[str | None, setting(BATCH, "program", f"Whose code runs: {one_of(recipes.PROGRAMS)}.")] = None,
    rank: Annotated[int | None, setting(ADAPTERS, "rank", "Of LoRA and QLoRA.")] = None,
    targets: Annotated[
        str | None, setting(ADAPTERS, "targets", "all-linear, qv, or names of layers separated by commas.")
    ] = None,
    lora_dropout: Annotated[float | None, setting(ADAPTERS, "lora_dropout", "From 0 to below 1.")] = None,
    adapter_precision: Annotated[
        str | None, setting(ADAPTERS, "adapter_precision", "fp32, or same as the weights below.")
    ] = None,
    blocks: Annotated[int | None, setting(ADAPTERS, "blocks", "How many blocks last-n trains.")] = None,
    prompt_tokens: Annotated[int | None, setting(ADAPTERS, "prompt_tokens", "Vectors of prompt tuning.")] = None,
    checkpointing: Annotated[
        bool | None,
        setting(SAVERS, "checkpointing", "Keep a block's input, compute its rest again.", "--checkpointing"),
    ] = None,
    chunked_loss: Annotated[
        int | None, setting(SAVERS, "chunked_loss", "Tokens whose logits exist at a time; 0 for all.")
    ] = None,
    double_quantization: Annotated[
        bool | None, setting(SAVERS, "double_quantization", "QLoRA's scales in 8 bits, or in 32.")
    ] = None,
    quantize_head: Annotated[
        bool | None, setting(SAVERS, "quantize_head", "QLoRA quantizes the output layer too.", "--quantize-head")
    ] = None,
    offload: Annotated[
        bool | None, setting(SAVERS, "offload", "Keep the sharded state in main memory.", "--offload")
    ] = None,
    devices: Annotated[int | None, setting(SPREAD, "devices", "How many GPUs.")] = None,
    sharding: Annotated[str | None, setting(SPREAD, "sharding", one_of(recipes.SHARDINGS))] = None,
) -> int:
    """Say what a run needs: memory by part and phase, whether it fits, how long a step takes, what to change."""
    if list_names:
        return _list(as_json)
    if not model:
        raise CourseError(
            "Missing --model: name a preset such as llama-2-7b (`course plan --list` shows them), a folder, a"
            " config.json or a hub id."
        )
    given = {name: value for name, value in context.params.items() if name in DEFAULTS and value is not None}
    with _own_words(), _patience(engine):
        answer = _answer(model, gpu, spelled(engine), given)
    if as_json:
        show.print_json(answer.to_json())
    else:
        from course_lib.memory import report

        report.render(answer, show.console())
    return 0


def _answer(model: str, gpu: str, engine: str, given: dict[str, Any]) -> Plan:
    from course_lib.memory import gpus
    from course_lib.memory.plan import ENGINES
    from course_lib.memory.plan import plan as planned
    from course_lib.memory.subject import subject

    if engine not in ENGINES:
        raise CourseError(f"engine {engine!r} is not known; choose one of {', '.join(ENGINES)}.")
    card = gpus.this_machine() if spelled(gpu) in HERE else gpus.gpu(gpu)
    what = subject(model)
    return planned(what, read_settings(given, what, card), card, engine=engine)


def read_settings(given: dict[str, Any], what: Subject, card: GPU) -> Recipe:
    """A recipe from what was given, the rest by default: the precision by the card, the length within the model's."""
    values: dict[str, Any] = {
        name: spelled(value) if isinstance(value, str) else value for name, value in given.items()
    }
    if "targets" in given and values["targets"] not in recipes.TARGET_WORDS:
        values["targets"] = given["targets"]  # names of layers are as the model spells them
    values.setdefault("precision", usual_precision(card, values.get("method", DEFAULTS["method"])))
    longest = what.architecture.positions
    if longest and "seq_len" not in given:
        added = values.get("prompt_tokens", DEFAULTS["prompt_tokens"]) if values.get("method") == "prompt" else 0
        values["seq_len"] = max(1, min(DEFAULTS["seq_len"], longest - values.get("new_tokens", 0) - added))
    return recipes.Recipe(**values)


def usual_precision(card: GPU, method: str) -> str:
    """bf16 where the card has it in hardware, fp16 on older ones, fp32 in main memory.

    Weights that learn are not held in fp16, which loses small updates and which PyTorch's gradient scaler refuses.
    """
    if not card.is_cuda:
        return "fp32"
    if card.capability >= (8, 0):
        return "bf16"
    return "fp16-mixed" if method in ("full", "last-n") else "fp16"


def spelled(name: str) -> str:
    """A name as the course spells it.

    >>> spelled("BFloat16"), spelled("paged_adamw_8bit"), spelled("QLoRA")
    ('bf16', 'paged-adamw-8bit', 'qlora')
    """
    plain = name.strip().lower().replace("_", "-")
    return ALIASES.get(plain, plain)


@contextlib.contextmanager
def _own_words() -> Iterator[None]:
    """Name settings in a mistake's sentence as they are typed here: `seq_len` is `--seq-len`."""
    try:
        yield
    except CourseError as error:
        names = "|".join(name for name in DEFAULTS if "_" in name)
        sentence = re.sub(rf"\b({names})\b", lambda found: "--" + found[0].replace("_", "-"), str(error))
        raise CourseError(re.sub(r"\bdevices=", "--devices ", sentence)) from error


@contextlib.contextmanager
def _patience(engine: str) -> Iterator[None]:
    """Somebody who looks at a terminal is told that the trace takes seconds."""
    screen = show.console(stderr=True)
    if screen.is_terminal and spelled(engine) != "formulas":
        with screen.status("Running the model's own code on tensors without numbers ..."):
            yield
    else:
        yield


def _list(as_json: bool) -> int:
    """The presets and the GPUs."""
    from course_lib.memory.gpus import gpus
    from course_lib.memory.models import presets

    models, cards = presets().values(), gpus().values()
    if as_json:
        show.print_json({"models": [_of_model(one) for one in models], "gpus": [_of_gpu(one) for one in cards]})
        return 0
    rows = [[one.name, one.title, f"{one.parameters:,}", f"{one.architecture.positions:,}"] for one in models]
    show.show_table("Models", ("name", "title", "parameters", "tokens"), rows, numbers=("parameters", "tokens"))
    columns = ("name", "title", "free GB", "GB/s", "fp16", "bf16", "$/h")
    rows = [
        [one.name, one.title, f"{one.free / 1e9:.1f}", f"{one.bandwidth / 1e9:,.0f}", *_rates(one)] for one in cards
    ]
    show.show_table("GPUs", columns, rows, numbers=columns[2:])
    show.console().print("free: what is there for tensors, in 10^9 bytes; fp16, bf16: TFLOP/s; here: this machine.")
    return 0


def _rates(card: GPU) -> list[str]:
    figures = (f"{card.fp16 / 1e12:.0f}", f"{card.bf16 / 1e12:.0f}", f"{card.dollars_per_hour:.2f}")
    return [text if float(text) else "-" for text in figures]


def _of_model(preset: Preset) -> dict[str, Any]:
    names = ("name", "title", "hub_id", "parameters", "source")
    return {name: getattr(preset, name) for name in names} | {"positions": preset.architecture.positions}


def _of_gpu(card: GPU) -> dict[str, Any]:
    names = ("name", "title", "bandwidth", "fp32", "fp16", "bf16", "watts", "dollars_per_hour", "source")
    sizes = {"memory_bytes": card.memory, "usable_bytes": card.usable, "context_bytes": card.context}
    return {name: getattr(card, name) for name in names} | sizes | {"capability": list(card.capability)}
