"""The engine of closed formulas: what a run keeps, added up from the shape of its model, in a millisecond.

`arithmetic` says what one tensor, one layer, one optimizer takes. A plan needs the peak, and a peak is a moment: this
package knows which moments can be the fullest, and adds each of them up.

    widths    how many bytes a number takes, by where it lives
    kernels   which attention runs
    kept      what one block keeps for its backward pass
    block     its fullest moments, forward and backward
    state     weights, adapters, gradients, optimizer, block by block
    phases    from one block to the moments of load, forward, loss, backward and step
    share     what of a moment one device holds, where several share the work
    litgpt    the same for the program with which most published figures were measured

The trace runs the model's own code instead, knows nothing of this, and is right about models that nobody described
here; over 27 presets, five methods, with and without checkpointing, the two differ by less than 1% nine times out of
ten. What an allocator holds on top depends on the order of thousands of requests, which no sum knows: see `allowance`.

Left out: MoE, several GPUs' pipelines, kernels that are not those of transformers and PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from course_lib.memory.allocator import workspace_bytes
from course_lib.memory.architecture import Architecture
from course_lib.memory.estimate import Estimate
from course_lib.memory.formulas import litgpt
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.phases import Phases
from course_lib.memory.formulas.share import Moment
from course_lib.memory.formulas.state import State
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import Subject
from course_lib.memory.trace.log import Peak

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU

# Of gradients, of activations, of logits and temporary tensors: see `allowance`.
FIXED, VARYING = (1 / 6, 1 / 16, 1 / 4), (1 / 4, 0.0, 1.0)
SEGMENTS = 12 << 20  # bytes: a segment of either size, partly empty


def estimate(what: Subject, recipe: Recipe, *, gpu: GPU) -> Estimate:
    """The bytes that a run of the model needs on the GPU, from formulas.

    Segments are the peak and an `allowance`. Near the limit an allocator gives its cache back and tries again, so a run
    fits where the peak and half of the allowance do.
    """
    capability = gpu.capability if gpu.is_cuda else None
    run = _phases(what.architecture, recipe, capability)
    moments, state = run.moments(), run.state
    if gpu.is_cuda:
        workspace = workspace_bytes(gpu.capability) * (2 if recipe.trains else 1)
        for name in set(moments) - {"load"}:
            moments[name]["workspace"] = workspace
    found = {name: Peak(sum(parts.values()), parts) for name, parts in moments.items()}
    top = max(peak.bytes for peak in found.values())
    if not gpu.is_cuda:
        return Estimate("formulas", found, top, state.total, state.trainable, top <= gpu.usable)
    more, limit = allowance(moments, recipe.lengths), gpu.usable - gpu.context
    fits = top + more // 2 <= limit
    segments = min(top + more, limit) if fits else top + more
    return Estimate("formulas", found, segments, state.total, state.trainable, fits)


def allowance(moments: Mapping[str, Moment], lengths: str = "fixed") -> int:
    """Bytes that PyTorch's allocator holds besides live tensors, because what was freed does not fit what is asked for.

    Replays of 640 traced runs (27 presets; full, last-n, LoRA, QLoRA, prompts, inference) through `allocator` say how
    many: on average a sixth of the gradients, which take the place of activations of other sizes, a sixteenth of the
    activations, a quarter of logits and temporary tensors, which are large and few. With the peak that gives the
    replayed segments within 2.5% in the median and 7% in nine of ten runs; the worst was 22% too many, 14% too few.
    Where batches differ in length, it is a quarter of the gradients, and as much again as all temporary tensors, for
    each new longest batch finds pieces a little too small (30 runs: 4% in the median). With a capacity just large
    enough, half of it was left. ``moments``: the fullest of each phase.

    >>> allowance({"loss": {"logits": 4_000_000_000}}) / 1e9
    1.012582912
    """
    gradients, activations, passing = VARYING if lengths == "varying" else FIXED
    most = {part: max(moment.get(part, 0) for moment in moments.values()) for part in ("gradients", "activations")}
    brief = max(moment.get("logits", 0) + moment.get("temporary", 0) for moment in moments.values())
    return SEGMENTS + round(gradients * most["gradients"] + activations * most["activations"] + passing * brief)


def _phases(model: Architecture, recipe: Recipe, capability: tuple[int, int] | None) -> Phases:
    """A run. Weights that are gathered block by block arrive in the precision of the products: nothing is cast."""
    gathered = recipe.but(precision=recipe.compute) if recipe.sharding in ("zero3", "fsdp") else recipe
    if recipe.program != "transformers":
        return litgpt.phases(model, gathered, recipe, capability)
    block = Block(model, gathered, capability)
    return Phases(block, State(block), recipe)
