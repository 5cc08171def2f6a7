"""Splitting the training state over n devices: what each holds, what it sends, what can move to the host.

Data parallelism (DDP) copies everything n times and adds gradients up. ZeRO asks why: every device needs only a share
of the optimizer for its share of the weights. Per device, of weights W, gradients G, optimizer and master copy O:

    ddp      W + G + O          sends 2 (n-1)/n G               all-reduce
    zero1    W + G + O/n        sends (n-1)/n (G + W)           reduce-scatter, all-gather: the same volume
    zero2    W + (G + O)/n      sends (n-1)/n (G + W)
    zero3    (W + G + O)/n      sends (n-1)/n (G + 2 W)         weights gathered forward and backward: 1.5 times as much
    fsdp     as zero3

Activations are not split: each device has its own micro-batch. Sources: Rajbhandari et al. 2020 (ZeRO), Ren et al. 2021
(ZeRO-Offload), Zhao et al. 2023 (PyTorch FSDP).

Left out: buffers of a fixed size (DeepSpeed's buckets, half a billion values by default), padding to whole shares
beyond one byte, tensor and pipeline parallelism.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import amount, blocks, choice, count

SHARDINGS = ("none", "ddp", "zero1", "zero2", "zero3", "fsdp")
SPLIT: dict[str, frozenset[str]] = {  # parts of which each device holds a share
    "none": frozenset(),
    "ddp": frozenset(),
    "zero1": frozenset({"optimizer", "master"}),
    "zero2": frozenset({"optimizer", "master", "gradients"}),
    "zero3": frozenset({"optimizer", "master", "gradients", "weights"}),
    "fsdp": frozenset({"optimizer", "master", "gradients", "weights"}),
}


class Shares(NamedTuple):
    """Bytes by part that one process holds: on its device, and in the memory of its host."""

    device: dict[str, int]
    host: dict[str, int]


def sharded(
    state: Mapping[str, float], devices: int, sharding: str, *, offload: bool = False, bucket_view: bool = False
) -> Shares:
    """What one of ``devices`` processes holds of a training state of weights, gradients, optimizer, master (bytes).

    ``state``: as from `training_state`; other parts are in use while a layer runs and stay whole. Shares are rounded
    up. ``offload``: the split parts move to the host, and with them the optimizer's step. Under zero1 and zero2 the
    weights stay on the device, under zero3 and fsdp nothing stays but what `gathered_bytes` says. ``bucket_view``: DDP
    copies gradients into buckets to send them, one more copy of all of them, unless gradients are views of the buckets.
    CourseError where a host cannot help: ddp and none split nothing.

    >>> state = {"weights": 14e9, "gradients": 14e9, "optimizer": 84e9}  # 7 billion parameters, 16 bytes each
    >>> for sharding in ("zero1", "zero2", "zero3"):
    ...     print(sharding, sum(sharded(state, 8, sharding).device.values()) / 1e9, "GB")
    zero1 38.5 GB
    zero2 26.25 GB
    zero3 14.0 GB
    >>> sharded(state, 1, "zero2", offload=True)
    Shares(device={'weights': 14000000000}, host={'gradients': 14000000000, 'optimizer': 84000000000})
    """
    n = _devices(devices, sharding)
    split = SPLIT[sharding]
    if offload and not split:
        raise CourseError(
            f"sharding {sharding} leaves nothing to the host; choose zero1, zero2, zero3 or fsdp to offload."
        )
    whole = {name: count(name, size) for name, size in state.items()}
    mine = {name: blocks(size, n) if name in split else size for name, size in whole.items()}
    if sharding == "ddp" and n > 1 and not bucket_view:
        mine["buckets"] = whole.get("gradients", 0)
    on_host = split if offload else frozenset()
    return Shares(
        {name: size for name, size in mine.items() if name not in on_host},
        {name: size for name, size in mine.items() if name in on_host},
    )


def gathered_bytes(unit_parameters: float, bytes_per_value: int = 2, *, units: int = 2) -> int:
    """Bytes of the weights that zero3 and fsdp have gathered at a time: a unit in use and the next ones on their way.

    ``unit_parameters``: parameters of the largest unit that is gathered as one (a layer, the embedding);
    ``bytes_per_value``: of what it computes with; ``units``: FSDP lets at most two be there (Zhao et al. 2023, 3.4).

    >>> gathered_bytes(202_383_360) / 1e9  # GB: two layers of Llama-2-7B
    0.80953344
    """
    width = count("bytes_per_value", bytes_per_value, 1)
    return count("unit_parameters", unit_parameters) * width * count("units", units, 1)


def bytes_sent(
    sharding: str, devices: int, *, weights: float, gradients: float, accumulate: int = 1
) -> dict[str, float]:
    """Bytes that each device sends (and receives) per optimizer step, by collective.

    ``weights``, ``gradients``: bytes of all of them in the precision in which they travel; frozen weights have no
    gradients, yet zero3 gathers them. A ring moves (n-1)/n of a buffer to gather or to reduce-scatter it, twice that
    to all-reduce it. With ``accumulate`` micro-batches ddp and zero1 send gradients once at the end; zero2 after each,
    since it keeps a share only; zero3 and fsdp gather the weights for each as well. Sources: Rajbhandari et al. 2020,
    section 7; Patarasuk and Yuan 2009 (ring).

    >>> bytes_sent("ddp", 8, weights=14e9, gradients=14e9)
    {'all-reduce gradients': 24500000000.0}
    >>> sum(bytes_sent("zero3", 8, weights=14e9, gradients=14e9).values()) / 24.5e9
    1.5
    """
    n, times = _devices(devices, sharding), count("accumulate", accumulate, 1)
    part = (n - 1) / n
    w, g = part * amount("weights", weights), part * amount("gradients", gradients)
    if sharding == "none":
        return {}
    if sharding == "ddp":
        return {"all-reduce gradients": 2 * g}
    if sharding in ("zero1", "zero2"):
        return {"reduce-scatter gradients": g * (times if sharding == "zero2" else 1), "all-gather weights": w}
    return {"reduce-scatter gradients": g * times, "all-gather weights": 2 * w * times}


def offload_traffic(
    sharding: str, devices: int, *, weights: float, gradients: float, accumulate: int = 1
) -> dict[str, float]:
    """Bytes between each device and its host per optimizer step when the split parts are offloaded.

    Gradients go to the host as they are reduced, updated weights come back: once per step while the device holds all
    of them (zero1, zero2), twice per micro-batch, forward and backward, where it holds none (zero3, fsdp). Each
    process moves its share. Source: Ren et al. 2021, section 4: 4 bytes per parameter and step in 16 bits.

    >>> offload_traffic("zero2", 1, weights=14e9, gradients=14e9)
    {'to host': 14000000000.0, 'to device': 14000000000.0}
    """
    n, times = _devices(devices, sharding), count("accumulate", accumulate, 1)
    if not SPLIT[sharding]:
        raise CourseError(
            f"sharding {sharding} leaves nothing to the host; choose zero1, zero2, zero3 or fsdp to offload."
        )
    w, g = amount("weights", weights) / n, amount("gradients", gradients) / n
    whole = sharding in ("zero3", "fsdp")
    return {"to host": g * (1 if sharding == "zero1" else times), "to device": w * (2 * times if whole else 1)}


def _devices(devices: int, sharding: str) -> int:
    """The number of devices, at least one; CourseError for an unknown way to share the work, and for sharing none."""
    choice("sharding", sharding, SHARDINGS)
    n = count("devices", devices, 1)
    if sharding == "none" and n > 1:
        raise CourseError(f"{n} devices need a way to share the work: choose ddp, zero1, zero2, zero3 or fsdp.")
    return n
