"""What litgpt could do, and what it calls the layers that its adapters stand beside: nothing here needs torch."""

from __future__ import annotations

from course_lib.errors import CourseError
from course_lib.memory.architecture import Architecture
from course_lib.memory.recipe import Recipe

METHODS = ("full", "lora", "qlora")
ADAPTABLE = ("query", "key", "value", "projection", "mlp", "head")
GROUPS = {"qv": ("query", "value"), "all-linear": ADAPTABLE}  # litgpt's "all" includes the head; peft's does not
PREFIXED = ("litgpt-2023-adapter", "litgpt-2023-adapter-v2")  # LLaMA-Adapter in the place of LoRA
SCALED = PREFIXED[1]


def adapted(recipe: Recipe) -> frozenset[str]:
    """Which of ADAPTABLE get a LoRA. Raises CourseError for a name that is none of them."""
    if recipe.method == "full" or recipe.program in PREFIXED:
        return frozenset()
    names = GROUPS.get(recipe.targets, ()) if isinstance(recipe.targets, str) else recipe.targets
    unknown = [name for name in names if name not in ADAPTABLE]
    if unknown:
        raise CourseError(f"{recipe.program} has no layer {unknown[0]!r} to adapt; choose from {', '.join(ADAPTABLE)}.")
    return frozenset(names)


def check(shape: Architecture, recipe: Recipe) -> None:
    """Raise CourseError for what litgpt of that time did not have."""
    if recipe.method not in METHODS or recipe.checkpointing or recipe.attention != "sdpa":
        raise CourseError(
            f"The program {recipe.program} trains by {', '.join(METHODS)}, with attention sdpa and no checkpointing."
        )
    if shape.learned_positions or shape.qk_norm or not shape.causal:
        raise CourseError(f"The program {recipe.program} has no models of type {shape.model_type}.")
    adapted(recipe)
