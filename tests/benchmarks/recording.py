"""What every recording says about itself, and where it goes."""

from __future__ import annotations

import datetime
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_lib import hardware

FOLDER = Path(__file__).parents[2] / "assets" / "recordings"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "scikit-learn", "numpy")


def about(command: str, seed: int, **more: Any) -> dict[str, Any]:
    """Hardware, versions, seed, command and day of a recording."""
    machine = hardware.detect()
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": {
            "device": machine.device_name,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "ram_gib": round(machine.ram_total / 2**30),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seed": seed,
        "command": command,
        **more,
    }


def write(name: str, content: dict[str, Any]) -> None:
    """Put a recording among the course's files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {FOLDER / name}")
