"""`course data`: what a file of examples is worth before a model is tuned on it, and other formats of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli import show
from course_lib.cli.app import AsJson, app, command
from course_lib.errors import CourseError

if TYPE_CHECKING:
    from course_lib.prompts.chat import Chat
    from course_lib.records.cleaning import Cleaned
    from course_lib.records.conversations import Conversation
    from course_lib.records.exchange import Reading
    from course_lib.records.inspection import Inspection
    from course_lib.records.pricing import Price

SHOWN, SHOWN_BROKEN = 3, 20  # findings of a kind that are printed, and records that cannot be read; --json has all

group = typer.Typer(help="Examples to tune a model on: check a file, clean it, convert it.", no_args_is_help=True)
app.add_typer(group, name="data")


def option(help: str, *flags: str, **more: Any) -> Any:
    """An option without a default worth printing."""
    return typer.Option(*flags, help=help, show_default=False, **more)


File = Annotated[str, typer.Argument(help="A file of examples, or a data set's name.", show_default=False)]
Format = Annotated[str | None, option("alpaca, chat, prompt-completion or csv; without it, recognised.")]
Prompt = Annotated[str | None, option("The column or field of the questions.")]
Answer = Annotated[str | None, option("The column or field of the answers.")]
Wording = Annotated[str | None, option("A text with columns and a mark, such as 'Review: {{ text }} ||| {{ stars }}'.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that exists.")]


@command("course data check mine.jsonl --test test.jsonl --fix clean.jsonl", group=group)
def check(
    file: File,
    model: Annotated[str | None, option("Whose tokens and limit count; by default the tier's.")] = None,
    test: Annotated[str | None, option("What the model will be tested on, to find its questions here.")] = None,
    fix: Annotated[Path | None, option("Write a cleaned copy here; the file itself stays as it is.")] = None,
    force: Force = False,
    limit: Annotated[int | None, option("Tokens of a conversation at most; by default the model's.", min=1)] = None,
    near: Annotated[float, typer.Option(help="Shared word triples that make texts near-duplicates.")] = 0.7,
    gpu: Annotated[str, typer.Option(help="The GPU whose hours are told.")] = "t4",
    method: Annotated[str, typer.Option(help="full, last-n, lora or qlora, for the hours.")] = "lora",
    format: Format = None,
    prompt: Prompt = None,
    answer: Answer = None,
    template: Wording = None,
    as_json: AsJson = False,
) -> int:
    """Look a file of examples over: mistakes, lengths, duplicates, what training costs; 1 where something is to mend.

    With --fix it is 1 only where the copy still has something to mend.
    """
    from course_lib import tiers
    from course_lib.records.inspection import inspect
    from course_lib.records.pricing import price

    if not 0 < near <= 1:
        raise CourseError(f"--near must lie between 0 and 1, but it is {near}: 0.7 is usual.")
    how = How(format, prompt, answer, template)
    fix = _checked_copy(fix, force, [file, *([test] if test else [])]) if fix else None
    reading = how.read(file)
    tested = how.read(test, part="test") if test else None
    if tested and tested.faults:
        more = f"{len(tested.faults):,} records of {test} cannot be read and are not looked for"
        show.note(f"{more}; the first: {tested.faults[0]}")
    others = tested.conversations if tested else None
    name = model or tiers.current().tuned
    reader = Reader.of(name, limit)
    found = inspect(reading.conversations, reader.chat.encode, reader.limit, others, faults=reading.faults, near=near)
    cost = price(found.lengths, reader.config, gpu, method, name) if found.lengths else None
    cleaned, left = _fixed(reading, found, others, near, fix) if fix else (None, found.serious)
    remarks = reader.chat.problems(reader.vocabulary)
    if as_json:
        whole = {"file": file, "format": reading.format, "model": name, **found.to_json(), "tokenizer": remarks}
        whole["cost"] = cost.to_json() if cost else None
        if cleaned and fix:
            whole["fixed"] = {"file": str(fix), "records": len(cleaned.conversations), "done": cleaned.done}
            whole["left"] = len(left)
        show.print_json(whole)
    else:
        _report(file, reading.format, found, remarks, cost)
        if cleaned and fix:
            _say_fixed(fix, cleaned, len(left))
    return 1 if left else 0


@command("course data convert mine.csv mine.jsonl --to chat --prompt question --answer reply", group=group)
def convert(
    file: File,
    out: Annotated[Path, typer.Argument(help="The file to write; its ending says what kind.", show_default=False)],
    to: Annotated[str | None, option("alpaca, chat, prompt-completion or csv; by default as the ending says.")] = None,
    force: Force = False,
    format: Format = None,
    prompt: Prompt = None,
    answer: Answer = None,
    template: Wording = None,
    as_json: AsJson = False,
) -> int:
    """Write a file of examples in another format; nothing is lost, and what the format cannot hold is refused."""
    from course_lib.records.exchange import write_conversations

    out = _checked_copy(out, force, [file])
    reading = How(format, prompt, answer, template).read(file)
    if reading.faults:
        more = len(reading.faults) - 1
        rest = f" (and {more:,} more, which course data check tells)" if more else ""
        raise CourseError(f"{str(reading.faults[0]).rstrip('.')}{rest}.")
    write_conversations(out, reading.conversations, to, overwrite=force)
    if as_json:
        show.print_json({"file": str(out), "from": reading.format, "records": len(reading.conversations)})
    else:
        print(f"{len(reading.conversations):,} records are in {out}.")
    return 0


@dataclass(frozen=True)
class How:
    """How a file is to be read."""

    format: str | None
    prompt: str | None
    answer: str | None
    wording: str | None

    def read(self, name: str, part: str = "train") -> Reading:
        """All records of a file or of a part of a data set, and what is wrong with the others."""
        from course_lib.prompts import Template
        from course_lib.records.exchange import Reading, files_of, own_file, read_all

        names = (("prompt", self.prompt), ("completion", self.answer))
        told = {mine: theirs for mine, theirs in names if theirs}
        template = Template("--template", self.wording) if self.wording else None
        files, columns = files_of(name, "train" if own_file(name) else part, told, template)
        if not files:
            raise CourseError(f"{name} has no {part} part: name a file.")
        parts = [read_all(path, self.format, columns=columns, template=template) for path in files]
        good = [one for reading in parts for one in reading.conversations]
        return Reading(good, [fault for reading in parts for fault in reading.faults], parts[0].format)


@dataclass(frozen=True)
class Reader:
    """A model's tokenizer with its chat format, its configuration, and how many tokens it takes."""

    chat: Chat
    config: dict[str, Any]
    limit: int | None
    vocabulary: int | None

    @classmethod
    def of(cls, name: str, limit: int | None) -> Reader:
        """The reader of a model; nothing but its configuration and its tokenizer is downloaded."""
        from course_lib import hub
        from course_lib.memory.subject import subject
        from course_lib.prompts.chat import Chat

        hub.check_causal(name, json.loads(hub.config_file(name).read_text(encoding="utf-8")))
        folder = hub.tokenizer_folder(name)
        what = subject(str(folder))
        positions = what.architecture.positions or None
        if limit and positions and limit > positions:
            raise CourseError(f"--limit {limit} is beyond the {positions} tokens that {name} takes: give less.")
        return cls(Chat(hub.load_tokenizer(folder)), what.values, limit or positions, what.values.get("vocab_size"))


def _checked_copy(out: Path, force: bool, sources: Sequence[str]) -> Path:
    """The file to write; refuses to write over what is read, and over anything without being told to."""
    out = out.expanduser()
    for source in sources:
        path = Path(source).expanduser()
        if out.resolve() == path.resolve() or (out.exists() and path.exists() and out.samefile(path)):
            raise CourseError(f"{out} is the file that is read, which stays as it is: choose another name.")
    if out.exists() and not force:
        raise CourseError(f"{out} exists already: choose another name, or add --force to write over it.")
    return out


def _fixed(
    reading: Reading, found: Inspection, test: list[Conversation] | None, near: float, out: Path
) -> tuple[Cleaned, list[Any]]:
    """Write the cleaned copy; what it still has to mend."""
    from course_lib.records.cleaning import fix
    from course_lib.records.exchange import write_conversations
    from course_lib.records.rows import is_table

    # Of prompt and completion as texts, the space between the two belongs to one of them.
    cleaned = fix(reading.conversations, test, near=near, trim=reading.format != "prompt-completion")
    if reading.faults:
        cleaned.done["broken"] = len(reading.faults)
    if not cleaned.conversations:
        raise CourseError("Nothing would be left of the file, so no copy is written: see what is wrong without --fix.")
    format = "prompt-completion" if reading.format == "csv" and not is_table(out) else reading.format
    write_conversations(out, cleaned.conversations, format, overwrite=True)
    places = {one.where for one in cleaned.conversations}
    return cleaned, [one for one in found.serious if not one.fixable and one.where in places]


def _report(file: str, format: str, found: Inspection, remarks: list[str], cost: Price | None) -> None:
    from rich.markup import escape

    from course_lib.records.inspection import KINDS

    screen = show.console()
    turns = ", ".join(f"{number:,} with {count} answer{'s' * (count > 1)}" for count, number in found.turns.items())
    roles = ", ".join(f"{number:,} {role}" for role, number in found.roles.items())
    screen.print(f"[bold]{escape(file)}[/bold] ({format}): {found.records:,} records ({turns}); messages: {roles}.")
    rows = [
        [KINDS[kind].title, f"{count:,}", "to mend" if KINDS[kind].serious else "remark", _remedy(kind)]
        for kind, count in found.counts().items()
    ]
    if rows:
        show.show_table("Found", ("what", "records", "kind", "--fix"), rows, numbers=("records",))
    else:
        screen.print("Nothing was found that has to be mended.")
    for kind, count in found.counts().items():
        shown = SHOWN_BROKEN if kind in ("broken", "roles") else SHOWN
        for problem in found.of(kind)[:shown]:
            screen.print(f"  {problem}", markup=False, soft_wrap=True)
        if count > shown:
            screen.print(f"  ... and {count - shown:,} more: {KINDS[kind].title} (--json has all)", markup=False)
    for remark in remarks:
        screen.print(f"Tokenizer: {remark}", markup=False, soft_wrap=True)
    if found.lengths and cost:
        _say_cost(found.lengths.to_json(), cost)


def _remedy(kind: str) -> str:
    from course_lib.records.inspection import KINDS

    if not KINDS[kind].fixable:
        return ""
    return "trims" if kind == "white space" else "drops"


def _say_cost(lengths: dict[str, Any], cost: Price) -> None:
    from rich.markup import escape

    took = show.duration(3600 * cost.hours)
    lines = [
        f"Tokens ({cost.model}): median {lengths['median']:,}, 95% up to {lengths['p95']:,}, longest"
        f" {lengths['max']:,}; the limit is {lengths['limit'] or 'not known'}, {lengths['cut']:,} would be cut.",
        f"One epoch: {cost.tokens:,} tokens, {cost.learned:,} of them learned ({cost.learned / cost.tokens:.0%});"
        f" random batches of {cost.batch} would be {cost.padding:.0%} padding, packed rows none.",
        f"Cost of it: {cost.flops:.2g} FLOPs with {cost.method}, {took} on a {cost.gpu} packed,"
        f" {cost.padded_hours / cost.hours:.2f} times that padded. Assumed: {cost.basis}.",
    ]
    for line in lines:
        show.console().print(escape(line), soft_wrap=True)


def _say_fixed(out: Path, cleaned: Cleaned, left: int) -> None:
    from course_lib.records.inspection import KINDS

    done = [
        f"{count:,} {KINDS[kind].title} {'trimmed' if kind == 'white space' else 'dropped'}"
        for kind, count in cleaned.done.items()
    ]
    rest = f"{left:,} to mend by hand" if left else "nothing left to mend"
    said = "; ".join(done) or "nothing had to be changed"
    show.console().print(
        f"{out}: {len(cleaned.conversations):,} records ({said}); {rest}.", markup=False, soft_wrap=True
    )
