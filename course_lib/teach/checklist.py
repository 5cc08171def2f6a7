"""Six questions to ask of a model, answered from its files, before anything runs and without a network.

    task        config.json        what the architecture does: continue a text, turn it into vectors, or rewrite it
    size        weights            the header of a safetensors file lists every tensor
    licence     the model card     or the course's table of sources
    data        the model card     what it was trained on
    orders      the tokenizer      a chat format is the trace of instruction tuning
    evaluated   the model card     a table of results

A card says what its author says, and silence is an answer too: "not stated". Left out: whether any of it is true, and
whether the model is good at *your* task, which is what the rest of lesson 02 measures.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

from course_lib import hub

SILENT = "not stated"
RESULTS = r"\b(right|accuracy|score|f1|perplexity|result|benchmark)"
Row = dict[str, str]


def checklist(name: str) -> list[Row]:
    """One row for each question: model, question, answer, source (the file, or "nowhere").

    Raises CourseError when the model cannot be had.
    """
    folder = hub.model_folder(name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = _text(folder / "README.md")
    found = {
        "What is it for?": (_task(config), "config.json"),
        "How large is it?": _size(folder),
        "May I use it?": _licence(name, card),
        "Trained on what?": (_sentence(card, r"trained|training data|\*\*Data\*\*|corpus|dataset"), "README.md"),
        "Does it take orders?": _orders(folder),
        "Measured how?": (_table(card), "README.md"),
    }
    return [
        {
            "model": Path(name).name,
            "question": question,
            "answer": answer,
            "source": "nowhere" if answer == SILENT else at,
        }
        for question, (answer, at) in found.items()
    ]


def _task(config: dict[str, object]) -> str:
    names = config.get("architectures")
    kind = str(names[0]) if isinstance(names, list) and names else ""
    if config.get("is_encoder_decoder"):
        return f"writes a text about a text that it has read ({kind}: encoder and decoder)"
    if kind.endswith(("ForCausalLM", "LMHeadModel")):
        return f"continues a text ({kind}: decoder)"
    return f"turns a text into vectors ({kind}: encoder)" if kind else SILENT


def _size(folder: Path) -> tuple[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return SILENT, ""
    count = sum(_elements(path) for path in files)
    size = sum(path.stat().st_size for path in files)
    return f"{count:,} parameters, {size / 1e6:,.0f} MB on disk", files[0].name


def _elements(path: Path) -> int:
    """How many numbers a safetensors file holds, from its header (8 bytes of length, then JSON)."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for tensor, about in header.items():
        if tensor != "__metadata__" and not tensor.endswith("position_ids"):
            size = 1
            for length in about["shape"]:
                size *= length
            total += size
    return total


def _licence(name: str, card: str) -> tuple[str, str]:
    if found := re.search(r"^license:\s*(\S+)", card, re.MULTILINE):
        return found[1], "README.md"
    return (hub.MODELS[name].license, "the course's table") if name in hub.MODELS else (SILENT, "")


def _orders(folder: Path) -> tuple[str, str]:
    """A chat format in the tokenizer's files."""
    for path in (folder / "chat_template.jinja", folder / "tokenizer_config.json"):
        text = _text(path)
        if text and (path.suffix == ".jinja" or '"chat_template"' in text):
            return "yes: it has a chat format", path.name
    return "no chat format: it continues or encodes", "tokenizer_config.json"


def _sentence(card: str, about: str) -> str:
    """The first line of the card's text that speaks of something, shortened."""
    for line in _body(card).splitlines():
        if re.search(about, line, re.IGNORECASE) and len(line.split()) > 5 and not line.startswith(("|", "#", "```")):
            plain = re.sub(r"[*`\[\]]|\(http\S+\)", "", line).lstrip("- ").strip()
            return plain if len(plain) <= 120 else plain[:117].rsplit(" ", 1)[0] + " ..."
    return SILENT


def _table(card: str) -> str:
    """The rows of the first table that has results in it, by its heading; a table of data sets is none."""
    lines = _body(card).splitlines()
    for at, line in enumerate(lines):
        if line.startswith("|") and re.search(RESULTS, line, re.IGNORECASE):
            rows = len(list(itertools.takewhile(lambda row: row.startswith("|"), lines[at:]))) - 2
            return f"a table of {rows} results" if rows > 0 else SILENT
    return SILENT


def _body(card: str) -> str:
    """The card without its header."""
    return re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
