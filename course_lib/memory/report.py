"""A plan in words and figures: what it is about, what fills the memory, whether it fits, what to change.

`verdict` is the one sentence that matters, `line` fits the beginning of a run, `phases` and `engines` are the tables,
and `render` prints all of it on 80 columns. Sizes are written in GB of 10^9 bytes, or in MB of 10^6 where a whole plan
is smaller than that, always with their unit.

Left out: drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from course_lib.memory.trace.log import PARTS, PHASES

if TYPE_CHECKING:
    from rich.console import Console

    from course_lib.memory.plan import Plan
    from course_lib.memory.recipe import Recipe

GB, MB = 10**9, 10**6
TITLES = {"kv_cache": "keys, values"}
SAID = ("method", "precision", "micro_batch", "seq_len", "new_tokens", "optimizer", "attention", "devices", "sharding")
DETAILS = {
    "lora": ("rank", "targets", "adapter_precision"),
    "qlora": ("rank", "targets", "adapter_precision", "double_quantization"),
    "last-n": ("blocks",),
    "prompt": ("prompt_tokens", "adapter_precision"),
}
Rows = list[list[str]]


def amount(size: float) -> str:
    """A number of bytes with its unit.

    >>> amount(15_634_000_000), amount(136_300_000), amount(2_500_000)
    ('15.63 GB', '136 MB', '2.5 MB')
    """
    if abs(size) >= GB:
        return f"{size / GB:,.2f} GB"
    return f"{size / MB:,.{0 if abs(size) >= 10 * MB else 1}f} MB"


def duration(seconds: float) -> str:
    """A time that people can read.

    >>> duration(0.0123), duration(12.3), duration(4000)
    ('12 ms', '12 s', '1.1 h')
    """
    for unit, name in ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.2g} {name}" if seconds < 10 * unit else f"{seconds / unit:,.0f} {name}"
    return f"{seconds * 1e6:.2g} µs"


def operations(flops: float) -> str:
    """A number of floating-point operations.

    >>> operations(4.2e13)
    '42 TFLOP'
    """
    for unit, name in ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if flops >= unit:
            return f"{flops / unit:.2g} {name}" if flops < 100 * unit else f"{flops / unit:,.0f} {name}"
    return f"{flops / 1e6:,.2g} MFLOP"


# -- sentences ---------------------------------------------------------------------------------------------------------


def verdict(plan: Plan) -> str:
    """Whether it fits, in one sentence with what is left or what is missing."""
    card, usable = plan.gpu.title, amount(plan.gpu.usable)
    if not plan.fits:
        missing = max(0, plan.reserved_bytes - plan.gpu.usable)
        return f"Does not fit {card}: {amount(plan.reserved_bytes)} are {amount(missing)} more than its {usable}."
    if plan.free_bytes <= 0:
        return (
            f"Fits {card} just so: PyTorch has to give memory back to the driver and take it again to stay within"
            f" {usable}, which costs time."
        )
    return f"Fits {card}: {amount(plan.free_bytes)} of its {usable} stay free."


def line(plan: Plan) -> str:
    """A plan in one line, for the beginning of a run."""
    return (
        f"{plan.model}, {plan.recipe.method}: {amount(plan.peak_bytes)} at the peak ({plan.peak_phase}),"
        f" {amount(plan.reserved_bytes)} for the process. {verdict(plan)}"
    )


def parameters(plan: Plan) -> str:
    """How many there are and how many of them learn."""
    share = plan.trainable_params / plan.total_params
    if not plan.recipe.trains:
        learn = "none learns"
    elif share >= 1 and not plan.recipe.adapts:
        learn = "all learn" if share == 1 else f"all learn, and {plan.trainable_params - plan.total_params:,} new ones"
    else:
        learn = f"{plan.trainable_params:,} learn ({share:.2%})"
    return f"{plan.total_params:,} parameters, {learn}"


def settings(recipe: Recipe) -> str:
    """What is run, in words: the method with what belongs to it, the batch, then whatever else was chosen."""
    batch = f"{recipe.micro_batch} × {recipe.seq_len} tokens"
    if recipe.new_tokens:
        batch += f" and {recipe.new_tokens} new ones"
    words = [recipe.method, *(_setting(recipe, name) for name in DETAILS.get(recipe.method, ()))]
    words += [recipe.precision, batch, *([recipe.optimizer] if recipe.trains else []), f"{recipe.attention} attention"]
    if recipe.devices > 1:
        words.append(f"{recipe.sharding} over {recipe.devices} GPUs")
    known = {*SAID, *DETAILS.get(recipe.method, ())}
    return ", ".join(words + [_setting(recipe, name) for name in recipe.settings() if name not in known])


def _setting(recipe: Recipe, name: str) -> str:
    value, words = getattr(recipe, name), name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if isinstance(value, tuple):
        value = "+".join(value)
    if name == "adapter_precision":
        return f"adapters in {recipe.learned}"
    return str(value) if name == "targets" else f"{words} {value}"


def notes(plan: Plan) -> list[str]:
    """What the figures alone do not say."""
    recipe, said = plan.recipe, []
    if recipe.method in ("full", "last-n") and recipe.precision == "fp16":
        said.append(
            "Weights that are trained in fp16 lose small updates, and PyTorch's gradient scaler refuses them;"
            " fp16-mixed keeps them in fp32."
        )
    if plan.engine == "formulas" and recipe.program != "transformers":
        said.append(f"The formulas describe transformers' layers, the trace those of {recipe.program}.")
    return said


# -- tables ------------------------------------------------------------------------------------------------------------


def phases(plan: Plan) -> tuple[list[str], Rows]:
    """Live bytes of each part at the peak of each phase: the head of the table, with its unit, and its rows."""
    names = [name for name in PHASES if name in plan.phases]
    unit, title = (GB, "GB") if plan.peak_bytes >= GB else (MB, "MB")
    held = {part for phase in plan.phases.values() for part in phase}
    parts = [part for part in PARTS if part in held] + sorted(held.difference(PARTS))
    rows = [
        [TITLES.get(part, part)] + [_cell(plan.phases[name].get(part, 0), unit) for name in names] for part in parts
    ]
    rows.append(["all", *(_cell(sum(plan.phases[name].values()), unit) for name in names)])
    return [title, *names], rows


def _cell(size: int, unit: int) -> str:
    if not size:
        return "-"
    return f"{size / unit:,.2f}" if size >= unit / 200 else "< 0.01"


def engines(plan: Plan) -> tuple[list[str], Rows]:
    """Both engines side by side: parts at the peak, then what the process holds, and by how much they differ."""
    assert plan.other
    both = (plan, plan.other)
    parts = [part for part in PARTS if any(part in one.parts for one in both)]
    lines = [(TITLES.get(part, part), [one.parts.get(part, 0) for one in both]) for part in parts]
    lines += [("live at the peak", [one.peak_bytes for one in both])]
    lines += [("the process holds", [one.reserved_bytes for one in both])]
    unit, title = (GB, "GB") if plan.peak_bytes >= GB else (MB, "MB")
    rows = [[name, *(_cell(size, unit) for size in sizes), _difference(*sizes)] for name, sizes in lines]
    rows.append(["peak in", *(one.peak_phase for one in both), ""])
    rows.append(["fits", *("yes" if one.fits else "no" for one in both), ""])
    return [f"{title} at the peak", plan.engine, plan.other.engine, "difference"], rows


def _difference(first: int, second: int) -> str:
    share = f"{second / first - 1:+.1%}" if first else "-"
    return "0.0%" if share in ("+0.0%", "-0.0%") else share


def advice(plan: Plan) -> tuple[list[str], Rows]:
    """Lists of changes, any of which helps: in words and as options of `course plan`, with the peak that it gives."""
    rows = []
    for one in plan.advice:
        words = f"{' and '.join(one.changes)}\n{options(one.settings)}"
        fits = "fits" if one.fits else "too much"
        rows.append([words, amount(one.peak_bytes), amount(one.reserved_bytes), fits])
    return ["change", "peak", "process", ""], rows


def options(settings: Mapping[str, Any]) -> str:
    """Settings as they are typed.

    >>> options({"micro_batch": 1, "checkpointing": True, "targets": ("q_proj", "v_proj")})
    '--micro-batch 1 --checkpointing --targets q_proj,v_proj'
    """
    words = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, ",".join(value) if isinstance(value, tuple) else str(value)]
    return " ".join(words)


def figures(plan: Plan) -> Rows:
    """Name and text of what is said below the table of parts."""
    each = " on each GPU" if plan.recipe.devices > 1 else ""
    held = f"{amount(plan.reserved_bytes)}{each}"
    if plan.gpu.is_cuda:
        held += f" in nvidia-smi: {amount(plan.segments_bytes)} PyTorch, {amount(plan.context_bytes)} CUDA context"
    else:
        held += f" of main memory: {amount(plan.context_bytes)} of it Python and its libraries"
    rows = [["peak", f"{amount(plan.peak_bytes)} of live tensors{each}, in phase {plan.peak_phase}"], ["process", held]]
    answers = "answer" if plan.recipe.micro_batch == 1 else f"{plan.recipe.micro_batch} answers"
    per = "optimizer step" if plan.recipe.trains else answers
    if plan.seconds:
        work = f"{duration(plan.seconds)} per {per} of {operations(plan.flops)}"
        rows.append(["time", f"{work}: {plan.seconds_basis}"])
    if plan.communicated_bytes:
        rows.append(["network", f"{amount(plan.communicated_bytes)} sent by each GPU per {per}"])
    return rows


# -- the whole ---------------------------------------------------------------------------------------------------------


def render(plan: Plan, console: Console) -> None:
    """Print a plan for people, within 80 columns."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text.assemble((plan.model, "bold"), f" on {plan.gpu.title}"))
    console.print(Text(parameters(plan)))
    console.print(Text(settings(plan.recipe)))
    _print(console, f"Live tensors at the peak of each phase, by the {plan.engine}", *phases(plan), last=True)
    grid = Table.grid(padding=(0, 2))
    for name, text in figures(plan):
        grid.add_row(Text(name, style="bold"), Text(text))
    console.print(grid)
    if plan.other:
        _print(console, "Both engines", *engines(plan))
    console.print(Text(verdict(plan), style="bold green" if plan.fits else "bold red"))
    for note in notes(plan):
        console.print(Text(f"Note: {note}"))
    if plan.advice:
        _print(console, "What would help", *advice(plan))
    elif not plan.fits:
        console.print(Text("No change that is known here makes it fit."))


def _print(console: Console, title: str, head: Sequence[str], rows: Rows, *, last: bool = False) -> None:
    """A table whose first column is text, under its title; with ``last``, the last row stands apart."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for place, row in enumerate(rows):
        if last and place == len(rows) - 1:
            table.add_section()
        table.add_row(*(Text(cell) for cell in row))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()
