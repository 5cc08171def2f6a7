"""The device, the precision that suits it, and everything else about this machine in one value.

bf16 has the range of float32 in half the bytes, and training in it is about twice as fast where the hardware multiplies
it. On GPUs that means compute capability 8.0 and above; a T4 (7.5) *reports* bf16 and emulates it, so its precision is
fp16. On CPUs it takes the instructions AVX512-BF16 or AMX-BF16 (x86) or BF16 (ARM); a CPU with AVX512 alone accepts
bf16, too, and is several times slower with it than with float32. So capability and instruction flags decide, never the
library's answer.

Left out: several GPUs (the current one is described), instruction flags on anything but Linux (taken as absent).
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from course_lib.errors import CourseError
from course_lib.hardware import limits

PRECISIONS = {"no": "float32", "fp16": "float16", "bf16": "bfloat16"}
CPU_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
CPU_FLAGS = CPU_BF16 | {"avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_int8", "asimd", "sve"}


@dataclass(frozen=True)
class Hardware:
    """One machine as one process may use it. Sizes are in bytes; ``precision`` is one of Accelerate's words."""

    device: str  # "cpu", "cuda" or "mps"
    device_name: str
    capability: tuple[int, int] | None  # of a CUDA device
    precision: str  # "no", "fp16" or "bf16"
    cpu: str
    cpu_flags: frozenset[str]  # only those that decide something
    cores: int  # usable: affinity and quota
    threads: int  # for one operation of this process
    ram_total: int
    ram_free: int
    gpu_total: int | None
    gpu_free: int | None
    disk_free: int
    python: str
    torch: str
    gpu_problem: str = ""  # why a GPU that is there cannot be used

    @property
    def dtype(self) -> str:
        """The name of the type that autocast computes in, for example "bfloat16"."""
        return PRECISIONS[self.precision]


def detect(folder: str | Path = ".") -> Hardware:
    """This machine now; ``folder`` is where free disk space is asked for.

    What cannot change is found out once per process, so that later calls cost milliseconds. ``COURSE_PRECISION``
    overrides the precision. Raises CourseError when that variable asks for something impossible.
    """
    found, (cpu, flags) = _device(), _processor()
    ram_total, ram_free = limits.memory()
    gpu_free, gpu_total = _gpu_memory() if found.kind == "cuda" else (None, None)
    return Hardware(
        device=found.kind,
        device_name=found.name or cpu,
        capability=found.capability,
        precision=precision(found.kind, found.capability, flags, os.environ),
        cpu=cpu,
        cpu_flags=flags,
        cores=limits.cores(),
        threads=limits.threads(),
        ram_total=ram_total,
        ram_free=ram_free,
        gpu_total=gpu_total,
        gpu_free=gpu_free,
        disk_free=limits.disk_free(folder),
        python=platform.python_version(),
        torch=_torch_version(),
        gpu_problem=found.problem,
    )


def describe(hardware: Hardware) -> list[tuple[str, str]]:
    """The machine as rows of a name and a value, for people."""
    rows = [("Device", f"{hardware.device_name} ({hardware.device})")]
    if hardware.capability:
        rows.append(("Compute capability", "{}.{}".format(*hardware.capability)))
    if hardware.gpu_total is not None and hardware.gpu_free is not None:
        rows.append(("GPU memory", f"{gib(hardware.gpu_free)} free of {gib(hardware.gpu_total)}"))
    mixed = "no mixed precision" if hardware.precision == "no" else f"mixed precision {hardware.precision}"
    threads = f"{hardware.threads} thread" + "s" * (hardware.threads != 1)
    return [
        *rows,
        ("Computes in", f"{hardware.dtype} ({mixed})"),
        ("Processor", hardware.cpu),
        ("Instructions", " ".join(sorted(hardware.cpu_flags)) or "not known"),
        ("Cores", f"{hardware.cores} usable, {threads} for one operation"),
        ("Memory", f"{gib(hardware.ram_free)} free of {gib(hardware.ram_total)}"),
        ("Disk", f"{gib(hardware.disk_free)} free"),
        ("Python", hardware.python),
        ("PyTorch", hardware.torch),
    ]


def gib(size: float) -> str:
    """Bytes for people.

    >>> gib(3 * 2**30)
    '3.0 GiB'
    """
    return f"{size / 2**30:.1f} GiB"


def in_colab(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is Google Colab. Looking for its package instead would raise where there is no ``google`` at all."""
    return any(name.startswith("COLAB_") for name in environment)


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


# -- precision -------------------------------------------------------------------------------------------------------


def precision(
    device: str, capability: tuple[int, int] | None, flags: Collection[str], environment: Mapping[str, str]
) -> str:
    """The mixed precision that is fast here, or what ``COURSE_PRECISION`` says."""
    wanted = environment.get("COURSE_PRECISION", "").strip().lower()
    if not wanted:
        slow = "fp16" if device == "cuda" else "no"
        return "bf16" if fast_bf16(device, capability, flags) else slow
    if wanted not in PRECISIONS:
        raise CourseError(f"COURSE_PRECISION must be one of {', '.join(PRECISIONS)}, not {wanted!r}.")
    if wanted == "fp16" and device != "cuda":
        raise CourseError("COURSE_PRECISION=fp16 needs a CUDA GPU; unset it or set it to no.")
    return wanted


def fast_bf16(device: str, capability: tuple[int, int] | None, flags: Collection[str]) -> bool:
    """Whether this device multiplies bf16 in hardware."""
    if device == "cuda":
        return capability is not None and capability >= (8, 0)
    return device == "cpu" and not CPU_BF16.isdisjoint(flags)


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager[object]:
    """A context in which torch computes in mixed precision on ``device``; for "no" it changes nothing."""
    if precision not in PRECISIONS:
        raise CourseError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}.")
    if precision == "no":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, dtype=getattr(torch, PRECISIONS[precision]))


# -- device ----------------------------------------------------------------------------------------------------------


class _Device(NamedTuple):
    kind: str
    name: str = ""
    capability: tuple[int, int] | None = None
    problem: str = ""


@functools.cache
def _device() -> _Device:
    return find_device()


def device() -> str:
    """The device to compute on, "cpu", "cuda" or "mps": all that most code wants to know, and free to ask."""
    return _device().kind


def find_device(root: Path = limits.ROOT, environment: Mapping[str, str] = os.environ) -> _Device:
    """The device to compute on; a GPU counts only if it really computes."""
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch warns about a driver that it cannot use
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    problem = next((str(warning.message) for warning in caught), "")
    if available:
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
        try:
            torch.ones(2, device="cuda").sum().item()
            return _Device("cuda", name, (major, minor))
        except RuntimeError as error:  # a build without kernels for this GPU sees it and fails on first use
            problem = f"{name}: {error}"
    elif not problem and nvidia_present(root, environment):
        build = "finds no driver for it" if torch.version.cuda else "was built without CUDA"
        problem = f"there is an NVIDIA GPU, but this torch ({torch.__version__}) {build}"
    problem = problem.strip().partition("\n")[0]
    return _Device("mps" if torch.backends.mps.is_available() else "cpu", problem=problem)


def nvidia_present(root: Path, environment: Mapping[str, str]) -> bool:
    """Whether the kernel shows an NVIDIA GPU that nobody has hidden from CUDA."""
    hidden = environment.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    return not hidden and any((root / "dev").glob("nvidia[0-9]*"))


def _gpu_memory() -> tuple[int, int]:
    """Free and total bytes of the GPU."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return int(free), int(total)


@functools.cache
def _torch_version() -> str:
    import torch

    return str(torch.__version__)


@functools.cache
def _processor() -> tuple[str, frozenset[str]]:
    return processor()


def processor(root: Path = limits.ROOT) -> tuple[str, frozenset[str]]:
    """The processor's name and those of its instruction flags that decide something."""
    name, flags = "", frozenset[str]()
    for line in limits.text(root / "proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and not name:
            name = value
        elif key in ("flags", "Features"):  # on x86 and on ARM; every core repeats them
            flags = CPU_FLAGS & frozenset(value.split())
            break
    return name or platform.processor() or platform.machine(), flags
