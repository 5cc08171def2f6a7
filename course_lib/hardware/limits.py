"""How much of this machine one process may use: cores, threads, memory, disk.

A container sees the whole machine and is allowed a part of it. The part is written in the files of its control groups
(cgroups, version 1 or 2): a quota of CPU time per period, and a number of bytes beyond which a process is killed. A
group's limit holds for everything inside, so the least of all groups from the innermost to the outermost counts.

    cores   = min(affinity mask, quota / period)
    threads = min(cores, physical cores) / processes on this machine, at most OMP_NUM_THREADS
    free    = min(available memory, limit - used + cached files)

Threads beyond the physical cores share their arithmetic units and wait for each other at every barrier. All files are
read below ``root``, so that a test can put any machine there. Left out: limits of Windows and macOS.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from course_lib.errors import CourseError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
ROOT = Path("/")


def cores(root: Path = ROOT, cpus: Collection[int] | None = None) -> int:
    """How many cores this process may keep busy; ``cpus`` replaces its affinity mask."""
    quotas = [_quota(group) for group in _groups("cpu", root)]
    # Rounded down: with a quota of 1.5 cores a second thread is stopped half of the time, and the first waits for it.
    return max(1, int(min([len(_affinity() if cpus is None else cpus), *quotas])))


def threads(root: Path = ROOT, cpus: Collection[int] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """How many threads one operation of this process should use.

    One per usable physical core, shared out among the processes that a launcher has started on this machine, and not
    more than ``OMP_NUM_THREADS`` where that is set.
    """
    cpus = _affinity() if cpus is None else cpus
    processes = number(environment, "LOCAL_WORLD_SIZE") or number(environment, "WORLD_SIZE") or 1
    share = max(1, min(cores(root, cpus), _physical(cpus, root)) // processes)
    return min(share, number(environment, "OMP_NUM_THREADS") or share)


def use_threads(n: int | None = None) -> int:
    """Let torch compute with ``n`` threads, at most one per usable core, and take two brakes off its processor path.

    Denormal numbers (below 1e-38) become zero: they take many times longer than others, and no model needs them. Freed
    memory is kept for the next tensor. Returns the number of threads. Raises CourseError for ``n`` below 1.
    """
    if n is not None and n < 1:
        raise CourseError(f"The number of threads must be at least 1, not {n}.")
    import torch

    chosen = threads() if n is None else min(n, cores())
    torch.set_num_threads(chosen)
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    return chosen


def _keep_freed_memory() -> None:
    """Stop glibc from handing large blocks back after each use: every step would get them anew, page by page."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no mallopt
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def memory(root: Path = ROOT, machine: tuple[int, int] | None = None) -> tuple[int, int]:
    """Bytes of main memory that this process may use, and how many of them are free.

    ``machine`` is what the whole machine has (total, free); by default it is asked.
    """
    if machine is None:
        import psutil

        whole = psutil.virtual_memory()
        machine = (int(whole.total), int(whole.available))
    allowed = [machine, *(found for group in _groups("memory", root) if (found := _memory_limit(group)))]
    return min(total for total, _ in allowed), min(free for _, free in allowed)


def disk_free(folder: str | Path = ".") -> int:
    """Free bytes where ``folder`` is, or will be once it is made."""
    path = Path(folder).absolute()
    existing = next(p for p in (path, *path.parents) if p.exists())
    return shutil.disk_usage(existing).free


def number(environment: Mapping[str, str], name: str) -> int | None:
    """An environment variable as a number above 0; None if it is absent or something else.

    >>> number({"OMP_NUM_THREADS": "4,2"}, "OMP_NUM_THREADS")  # a list is one number per level of nesting
    4
    """
    value = environment.get(name, "").partition(",")[0].strip()
    return int(value) if value.isdecimal() and int(value) > 0 else None


def text(path: Path) -> str:
    """What a file of the kernel says; nothing where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _affinity() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _physical(cpus: Collection[int], root: Path) -> int:
    """How many different physical cores these logical ones belong to."""
    topology = root / "sys/devices/system/cpu"
    siblings = {text(topology / f"cpu{cpu}/topology/thread_siblings_list") for cpu in cpus}
    if "" not in siblings:
        return len(siblings)
    import psutil

    return min(len(cpus), psutil.cpu_count(logical=False) or len(cpus))


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's control groups with this controller, from the innermost to the outermost.

    Inside a container the path that the kernel names need not exist, because only the container's own group is mounted:
    then the outermost folder is the right one, and it is always among these.
    """
    mounts = root / "sys/fs/cgroup"
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        names = (controller, controllers) if controllers else (".", "unified")
        for top in dict.fromkeys(mounts / name for name in names):
            folder = top / path.lstrip("/")
            yield from (f for f in (folder, *folder.parents) if f.is_relative_to(top) and f.is_dir())


def _quota(group: Path) -> float:
    """The cores that a control group may use."""
    quota, _, period = text(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = text(group / "cpu.cfs_quota_us"), text(group / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return float("inf")  # "max", -1, or no such controller
    return int(quota) / int(period)


def _memory_limit(group: Path) -> tuple[int, int] | None:
    """Total and free bytes of a control group with a limit."""
    limit = text(group / "memory.max") or text(group / "memory.limit_in_bytes")
    if not limit.isdecimal():
        return None  # "max", or no such controller
    used = text(group / "memory.current") or text(group / "memory.usage_in_bytes") or "0"
    counters = dict(line.split(maxsplit=1) for line in text(group / "memory.stat").splitlines())
    # The kernel gives up cached files before it kills anyone, so they count as free.
    cached = int(counters.get("total_inactive_file", counters.get("inactive_file", 0)))
    return int(limit), max(0, min(int(limit), int(limit) - int(used) + cached))
