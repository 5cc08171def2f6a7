"""The closed-form engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from course_lib.memory.architecture import Architecture
from course_lib.memory.allocator import workspace_bytes
from course_lib.memory.estimate import Estimate
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.litgpt import LitBlock, LitPhases, LitState, in_litgpt
from course_lib.memory.formulas.phases import Moment, Phases
from course_lib.memory.formulas.state import State
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import Subject
from course_lib.memory.trace.log import Peak

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU


def estimate(subject: Subject, recipe: Recipe, *, gpu: GPU) -> Estimate:
    """The bytes that a run of the model needs on the GPU, from formulas; takes a few milliseconds."""
    moments, state = _run(subject.architecture, recipe, gpu.capability if gpu.is_cuda else (8, 0))
    if gpu.is_cuda:
        workspace = workspace_bytes(gpu.capability) * (2 if recipe.trains else 1)
        for name, moment in moments.items():
            if name != "load":
                moment["workspace"] = workspace
    found = {name: Peak(sum(parts.values()), parts) for name, parts in moments.items()}
    top = max(peak.bytes for peak in found.values())
    limit = gpu.usable - gpu.context if gpu.is_cuda else gpu.usable
    return Estimate("formulas", found, top, state.total, state.trainable, top <= limit)


def _run(model: Architecture, recipe: Recipe, capability: tuple[int, int]) -> tuple[dict[str, Moment], State]:
    if recipe.program == "transformers":
        block = Block(model, recipe, capability)
        state = State(block)
        return Phases(block, state).moments(), state
    lit = LitBlock(in_litgpt(model), recipe, capability)
    state = LitState(lit)
    return LitPhases(lit, state).moments(), state
