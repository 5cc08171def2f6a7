"""What a piece of work costs: wall time, CPU time of all threads, and the peak of memory.

Memory is measured by its high-water mark, because a run dies at its peak, not at its average. Linux keeps the mark of a
process's resident memory and sets it back on request (``/proc/self/clear_refs``); where that is not permitted, a thread
looks every few milliseconds and may miss a short peak. For GPU memory torch keeps such a mark.

There is one mark per process but meters may be nested or overlap: whoever sets the mark back first hands what it showed
to every meter that is open. So each meter sees the highest mark of its own time.

Left out: memory and CPU time of child processes, GPU memory that was not allocated through torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Protocol, Self

from course_lib.hardware import machine

MARK_RESET = b"5"  # set the high-water mark back to what is resident now; see clear_refs in proc(5)
INTERVAL = 0.01  # seconds between two looks of the sampling thread


class Meter:
    """Measures a ``with`` block; the figures are there when it ends, also when it fails.

    ``wall_seconds``, ``cpu_seconds`` (all threads of this process), ``ram_peak_bytes`` (largest resident memory of the
    process, interpreter and libraries included; exact to about a megabyte), ``ram_start_bytes`` (the same at the start)
    and ``peak_bytes``: on a CUDA machine the most bytes that tensors took on the GPU, elsewhere ``ram_peak_bytes``.
    Garbage of earlier work is collected first and counts for nobody. Meters may be nested and used in several threads,
    each object once.
    """

    def __init__(self) -> None:
        self.wall_seconds = self.cpu_seconds = 0.0
        self.peak_bytes = self.ram_peak_bytes = self.ram_start_bytes = 0
        self._gpu = False

    def __enter__(self) -> Self:
        _release()
        self._gpu = _cuda_in_use()
        self.ram_start_bytes = _ram().start(self)
        if self._gpu:
            _gpu().start(self)
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._gpu:
            _synchronize()  # kernels that are only queued belong to this block
        self.wall_seconds, self.cpu_seconds = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.ram_peak_bytes = _ram().stop(self)
        self.peak_bytes = _gpu().stop(self) if self._gpu else self.ram_peak_bytes


class Gauge(Protocol):
    """A high-water mark that can be read and set back to the present level."""

    def read(self) -> int:
        """The highest level since the last reset, in bytes."""
        ...

    def reset(self) -> None:
        """Begin anew at the present level."""
        ...

    def close(self) -> None:
        """Stop looking."""
        ...


class Watch:
    """One gauge shared by all open meters."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.peaks: dict[int, int] = {}  # by meter
        self.lock = threading.Lock()

    def start(self, meter: object) -> int:
        """Begin to watch for ``meter``; returns the present level in bytes."""
        with self.lock:
            self._hand_over()
            self.gauge.reset()
            self.peaks[id(meter)] = level = self.gauge.read()
            return level

    def stop(self, meter: object) -> int:
        """The peak since ``start``, in bytes."""
        with self.lock:
            self._hand_over()
            peak = self.peaks.pop(id(meter))
            if not self.peaks:
                self.gauge.close()
            return peak

    def _hand_over(self) -> None:
        if self.peaks:
            mark = self.gauge.read()
            self.peaks = {meter: max(peak, mark) for meter, peak in self.peaks.items()}


class HighWater:
    """The kernel's mark of this process's resident memory. Raises OSError where it cannot be had."""

    def read(self) -> int:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise OSError("this kernel keeps no high-water mark")

    def reset(self) -> None:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, MARK_RESET)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing to end."""


class Sampled:
    """Resident memory, looked at every ``INTERVAL`` by a thread that lives while a meter is open."""

    def __init__(self) -> None:
        import psutil

        self.process = psutil.Process()
        self.peak = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None

    def read(self) -> int:
        with self.lock:
            self.peak = max(self.peak, int(self.process.memory_info().rss))
            return self.peak

    def reset(self) -> None:
        with self.lock:
            self.peak = 0
        if self.thread is None:
            self.ended.clear()
            self.thread = threading.Thread(target=self._look, name="memory meter", daemon=True)
            self.thread.start()

    def close(self) -> None:
        self.ended.set()
        if self.thread:
            self.thread.join()
        self.thread = None

    def _look(self) -> None:
        while not self.ended.wait(INTERVAL):
            self.read()


class GpuAllocated:
    """Torch's mark of the bytes that tensors take on the GPU."""

    def read(self) -> int:
        import torch

        return int(torch.cuda.max_memory_allocated())

    def reset(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()

    def close(self) -> None:
        """Nothing to end."""


@functools.cache
def _ram() -> Watch:
    return Watch(ram_gauge())


@functools.cache
def _gpu() -> Watch:
    return Watch(GpuAllocated())


def ram_gauge() -> Gauge:
    """The kernel's mark where it may be reset, sampling elsewhere."""
    gauge = HighWater()
    try:
        gauge.reset()
        gauge.read()
    except OSError:
        return Sampled()
    return gauge


def _cuda_in_use() -> bool:
    """Whether there is GPU memory to measure; torch is not imported for the question."""
    if "torch" not in sys.modules or machine.device() != "cuda":
        return False
    _synchronize()
    return True


def _synchronize() -> None:
    import torch

    torch.cuda.synchronize()


def _release() -> None:
    """Give memory that nobody uses back to the system, so that it is not counted as used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
