"""What an executed cell leaves behind, brought into a form that two runs on one machine agree on.

Taken out: widgets (their text and HTML stay), progress bars, standard error, execution counts and timings. What cannot
be mended, such as a path of this machine in a committed output, is named by `blemishes`.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

WIDGET = "application/vnd.jupyter.widget-view+json"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
BAR = re.compile(r"\d+%\|.*\|\s*\d+/|\?it/s\]")


def clean(notebook: Any) -> None:
    """Make the outputs of an executed notebook deterministic, in place."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.metadata.pop("execution", None)
        spoken = [output for output in cell.outputs if output.get("name") != "stderr"]
        cell.outputs = [kept for output in _merged(spoken) if (kept := _clean(output))]


def _clean(output: Any) -> Any | None:
    """One output without what must not be kept; None when nothing is left."""
    if output.output_type == "error":
        output.traceback = [ESCAPES.sub("", line) for line in output.traceback]
        return output
    if output.output_type == "stream":
        output.text = as_printed(output.text)
        return output if output.text else None
    if "execution_count" in output:
        output.execution_count = None
    if output.data.pop(WIDGET, None) is not None and set(output.data) == {"text/plain"}:
        return None  # a bare widget: its text is the name of a class
    output.metadata.pop(WIDGET, None)
    if BAR.search(_text(output.data.get("text/plain", ""))):
        return None
    return output if output.data else None


def _merged(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of printed text become one: where the kernel cuts them depends on timing."""
    result: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and result and result[-1].output_type == "stream":
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def as_printed(text: str) -> str:
    """What a terminal shows in the end: a carriage return goes back to the start of the line and writes over it.

    >>> as_printed("loss 0.9\\rloss 0.12\\n")
    'loss 0.12\\n'
    """
    lines = []
    for line in ESCAPES.sub("", text).split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append((shown.rstrip() if "\r" in line else shown, "\r" in line))
    # A bar that has wiped itself leaves an empty line that was never printed as one.
    kept = [shown for shown, redrawn in lines if not (redrawn and (not shown or BAR.search(shown)))]
    return "\n".join(kept)


def blemishes(notebook: Any) -> list[str]:
    """What must not be in a committed notebook, each with its cell: an error, an address, a path of this machine."""
    here = {str(Path.home()), str(Path.cwd()), tempfile.gettempdir() + "/"} - {"/"}
    found = []
    if "widgets" in notebook.metadata:
        found.append("the notebook's metadata hold widget state")
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            text = _everything(output)
            if output.output_type == "error":
                found.append(f"cell {number} ends in {output.ename}: {output.evalue}")
            elif WIDGET in output.get("data", {}):
                found.append(f"cell {number} holds a widget")
            elif ADDRESS.search(text):
                found.append(f"cell {number} shows an address in memory: {ADDRESS.findall(text)[0]}")
            elif paths := sorted(path for path in here if path in text):
                found.append(f"cell {number} shows a path of this machine: {paths[0]}")
    return found


def _everything(output: Any) -> str:
    parts = [output.get("text", ""), *(value for kind, value in output.get("data", {}).items() if "image/" not in kind)]
    # An embedded picture is letters too, and long enough to hold any address by chance.
    return "\n".join(re.sub(r"data:[\w/+;]+base64,[\w/+=]+", "", _text(part)) for part in parts)


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
