"""Machines that tests are about, instead of the one that they run on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from course_lib.hardware import Hardware

CPU = Hardware(
    device="cpu",
    device_name="a processor",
    capability=None,
    precision="no",
    cpu="a processor",
    cpu_flags=frozenset(),
    cores=2,
    threads=2,
    ram_total=16 * 2**30,
    ram_free=12 * 2**30,
    gpu_total=None,
    gpu_free=None,
    disk_free=50 * 2**30,
    python="3.12.3",
    torch="2.13.0",
)


def gpu(capability: tuple[int, int], total: float, precision: str = "fp16") -> Hardware:
    """The same machine with a GPU of ``total`` bytes."""
    return dataclasses.replace(
        CPU,
        device="cuda",
        device_name="a GPU",
        capability=capability,
        precision=precision,
        gpu_total=int(total),
        gpu_free=int(total),
    )


T4 = gpu((7, 5), 14.56 * 2**30)


def kernel_files(root: Path, files: dict[str, str]) -> Path:
    """Files as a kernel would show them below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
    return root
