"""The trace engine: the log of a run, its peaks once the optimizer has its state, and the allocator that serves it.

Peaks of live bytes are those of the longest batch. What the allocator *holds* depends on history as well: when batches
have many lengths, every new longest one finds pieces that are a little too small, and takes more from the driver. So
with ``lengths="varying"`` a short history of lengths is replayed before the longest batch comes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from course_lib.memory.allocator import OutOfMemory, replay, workspace_bytes
from course_lib.memory.estimate import Estimate
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import Subject
from course_lib.memory.trace.log import Log, Peak, peaks

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU

STEPS = 3  # training steps replayed: what the first one cut up shows in the second
SHARES = (0.35, 0.6, 0.85)  # lengths of batches before the longest comes, as shares of it
HISTORY = 12  # batches of these lengths, in random order (seed 0)


def estimate(what: Subject, recipe: Recipe, *, gpu: GPU, whole: bool = False) -> Estimate:
    """The bytes that a run of the model needs on the GPU, from its traced log; ``whole`` traces every block."""
    log = _log(what, recipe, gpu, whole)
    first, alive = peaks(log)
    again, _ = peaks(steady(log), alive)
    found = {name: max(top, again.get(name, top), key=lambda peak: peak.bytes) for name, top in first.items()}
    total, learned = log.parameters
    if not gpu.is_cuda:
        top = max(peak.bytes for peak in found.values())
        return Estimate("trace", found, top, total, learned, top <= gpu.usable)
    workspace = workspace_bytes(gpu.capability) * (2 if recipe.trains else 1)
    found = {
        name: peak if name == "load" else Peak(peak.bytes + workspace, {**peak.parts, "workspace": workspace})
        for name, peak in found.items()
    }
    logs = [log]
    if recipe.trains and recipe.lengths == "varying":
        lengths = [max(1, round(share * recipe.seq_len)) for share in SHARES]
        shorter = [_log(what, recipe.but(seq_len=length), gpu, whole) for length in lengths]
        logs = [*random.Random(0).choices(shorter, k=HISTORY), log]
    segments, fits = reserved(logs, recipe, gpu)
    return Estimate("trace", found, segments, total, learned, fits)


def _log(what: Subject, recipe: Recipe, gpu: GPU, whole: bool) -> Log:
    from course_lib.memory.sharding import share
    from course_lib.memory.trace import trace

    card = gpu.capability if gpu.is_cuda else None
    # Weights that are gathered block by block are gathered as the products need them: autocast has nothing to do.
    traced = recipe.but(precision=recipe.compute) if recipe.sharding in ("zero3", "fsdp") else recipe
    return share(trace(what.config, traced, causal=what.architecture.causal, whole=whole, capability=card), recipe)


def steady(log: Log) -> Log:
    """The same log as a later step goes: everything is loaded, and the optimizer has its state."""
    later = Log(log.sizes, log.parts, counts=log.counts)
    for segment in log.segments:
        if segment.phase == "load":
            continue
        start = len(later.events)
        events = log.events[segment.start : segment.end]
        later.events += [e for e in events if e < 0 or log.parts[e] != "optimizer"]
        later.segments.append(replace(segment, start=start, end=len(later.events)))
    return later


def reserved(logs: Sequence[Log], recipe: Recipe, gpu: GPU) -> tuple[int, bool]:
    """Bytes of the allocator's segments after steps of these logs, and whether the GPU has them.

    With no limit the allocator keeps what it once took. Near the limit it gives its cache back and tries again, so a
    run may fit although it would like to hold more.
    """
    sizes, events = history([*logs, *[logs[-1]] * (STEPS - 1)] if recipe.trains else logs[-1:])
    # Every thread takes a workspace with its first matrix product: the forward pass one, the backward pass another.
    starts = [next((s.start for s in logs[0].segments if s.phase == name), None) for name in ("backward", "forward")]
    for start in starts:
        if start is not None:
            events.insert(start, len(sizes))
            sizes.append(workspace_bytes(gpu.capability))
    free = replay(sizes, events).peak_reserved
    limit = gpu.usable - gpu.context
    if free <= limit:
        return free, True
    try:
        replay(sizes, events, capacity=limit)
    except OutOfMemory:
        return free, False
    return limit, True


def history(logs: Sequence[Log]) -> tuple[list[int], list[int]]:
    """Sizes and events of a load, a first step and further steps, whose logs differ in the length of their batches.

    What stays (weights, optimizer state) is the same storage in all of them, though each log numbers it by itself.
    """
    first = logs[0]
    sizes, events, stays = list(first.sizes), list(first.events), sorted(peaks(first)[1])
    placed: dict[int, tuple[dict[int, int], list[int]]] = {}
    for log in logs[1:]:
        if id(log) not in placed:
            same = dict(zip(sorted(peaks(log)[1]), stays, strict=True))
            numbers = [same.get(n, n + len(sizes)) for n in range(len(log.sizes))]
            sizes += log.sizes
            placed[id(log)] = (dict(enumerate(numbers)), steady(log).events)
        numbers_of, again = placed[id(log)]
        events += [numbers_of[e] if e >= 0 else ~numbers_of[~e] for e in again]
    return sizes, events
