"""Everything that the traps look at, as one value whose parts can be replaced."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from course_lib import hub
from course_lib.hardware import Hardware
from course_lib.tiers import Tier

DISTRIBUTION = "course-lib"


def installed(name: str) -> str | None:
    """The installed version of a distribution, None without one."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> list[str]:
    """What the installed course asks for, extras included; nothing when it is run without being installed."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def kernel_python() -> str | None:
    """The interpreter of Jupyter's kernel "python3"; None without Jupyter or without such a kernel in one piece."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return None
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv
    except (NoSuchKernel, OSError, ValueError):
        return None
    # Where a kernel only says "python", Jupyter puts its own interpreter.
    plain = {"python", "python{}".format(*sys.version_info), "python{}.{}".format(*sys.version_info)}
    return sys.executable if not command or command[0] in plain else shutil.which(command[0]) or command[0]


def bf16_reported() -> bool:
    """Whether torch calls bf16 supported on its GPU, emulation included."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def downloaded(tier: Tier) -> bool:
    """Whether a tier's models and data are on this disk: installed, part of the course, or in the hub's cache."""
    data = [name for name in (tier.sentiment, tier.problems, tier.instructions) if name in hub.DATA]
    return all(map(hub.model_held, (tier.encoder, tier.writer, tier.base))) and all(map(hub.data_held, data))


@dataclass(frozen=True)
class Surroundings:
    """Everything that the traps look at."""

    hardware: Hardware
    tier: Tier
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    executable: str = sys.executable
    prefix: str = sys.prefix
    python: tuple[int, int] = sys.version_info[:2]
    version: Callable[[str], str | None] = installed  # of a distribution
    requirements: Callable[[], list[str]] = requirements
    kernel_python: Callable[[], str | None] = kernel_python
    bf16_reported: Callable[[], bool] = bf16_reported
    downloaded: Callable[[Tier], bool] = downloaded
    reachable: Callable[[], bool] = hub.reachable
    model_folder: Callable[[str], Path] = hub.model_folder

    def pip(self, *arguments: str) -> str:
        """A command line for the pip of this very interpreter."""
        return shlex.join([self.executable, "-m", "pip", *arguments])
