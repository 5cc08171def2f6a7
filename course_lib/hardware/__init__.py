"""What this machine is, asked once and answered without wishful thinking.

Three answers decide how a run behaves, and libraries get each of them wrong somewhere:

* precision (`machine`): bf16 pays where the processor multiplies it in hardware, and elsewhere it is emulated, several
  times slower than float32; libraries call both "supported".
* cores, threads and memory (`limits`): a container may see 64 cores and be allowed 2, and whoever exceeds its memory
  limit is killed, whatever the machine has free.
* what a piece of work cost (`meter`): the peak counts, not what happens to be allocated at the end.
"""

from course_lib.hardware.limits import cores, disk_free, memory, number, threads, use_threads
from course_lib.hardware.machine import (
    PRECISIONS,
    Hardware,
    autocast,
    describe,
    detect,
    device,
    fast_bf16,
    gib,
    in_colab,
    in_notebook,
    precision,
    processor,
)
from course_lib.hardware.meter import Meter

__all__ = [
    "PRECISIONS",
    "Hardware",
    "Meter",
    "autocast",
    "cores",
    "describe",
    "detect",
    "device",
    "disk_free",
    "fast_bf16",
    "gib",
    "in_colab",
    "in_notebook",
    "memory",
    "number",
    "precision",
    "processor",
    "threads",
    "use_threads",
]
