"""One question, one answer: what will this run need, does it fit, and if not, what to change.

Two engines answer. ``trace`` runs the model's own code on tensors that hold no numbers and is right about programs it
has never seen; ``formulas`` adds up what the code is known to keep and answers in a millisecond, which is what a
slider needs. Both give the same `Plan`, so that a notebook, the command line and the guard before training speak of
the same bytes:

    allocated  what live tensors need (``torch.cuda.max_memory_allocated``)
    segments   what PyTorch's allocator takes from the driver for that (``torch.cuda.max_memory_reserved``)
    reserved   segments and the CUDA context: what nvidia-smi shows for the process
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.memory.estimate import Estimate
from course_lib.memory.gpus import GPU
from course_lib.memory.gpus import gpu as gpu_named
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import Subject, subject

if TYPE_CHECKING:
    from course_lib.memory.advice import Advice

ENGINES = ("trace", "formulas", "both")


@dataclass(frozen=True)
class Plan:
    """What a run needs. Everything in bytes unless it says otherwise; per device where there are several."""

    model: str
    recipe: Recipe
    gpu: GPU
    engine: str
    total_params: int
    trainable_params: int
    phases: dict[str, dict[str, int]]  # live bytes by part at each phase's own peak
    peak_bytes: int
    peak_phase: str
    segments_bytes: int
    context_bytes: int
    fits: bool
    flops: float  # of one optimizer step, all devices together
    seconds: float  # of one optimizer step; of one answer for inference
    seconds_basis: str
    communicated_bytes: int = 0  # sent by each device in one optimizer step
    advice: tuple[Advice, ...] = field(default=())
    other: Plan | None = None  # the other engine's answer

    @property
    def parts(self) -> dict[str, int]:
        """Live bytes by part at the peak."""
        return self.phases[self.peak_phase]

    @property
    def reserved_bytes(self) -> int:
        """What the process holds on the device, as nvidia-smi shows it."""
        return self.segments_bytes + self.context_bytes

    @property
    def free_bytes(self) -> int:
        """What is left on the device; negative where it is not enough."""
        return self.gpu.usable - self.reserved_bytes

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "model": self.model,
            "recipe": asdict(self.recipe),
            "gpu": self.gpu.name,
            "engine": self.engine,
            "total_params": self.total_params,
            "trainable_params": self.trainable_params,
            "peak_bytes": self.peak_bytes,
            "peak_phase": self.peak_phase,
            "parts": self.parts,
            "phases": self.phases,
            "reserved_bytes": self.reserved_bytes,
            "segments_bytes": self.segments_bytes,
            "context_bytes": self.context_bytes,
            "usable_bytes": self.gpu.usable,
            "free_bytes": self.free_bytes,
            "fits": self.fits,
            "flops": self.flops,
            "seconds": self.seconds,
            "seconds_basis": self.seconds_basis,
            "communicated_bytes": self.communicated_bytes,
            "advice": [advice.to_json() for advice in self.advice],
            "other": self.other and {k: v for k, v in self.other.to_json().items() if k not in ("advice", "other")},
        }


def plan(
    model: Any,
    recipe: Recipe | None = None,
    gpu: str | GPU = "t4",
    *,
    engine: str = "trace",
    advise: bool = True,
    **options: Any,
) -> Plan:
    """Plan a run of a model (a preset, a folder, a config file, a hub id or a transformers config) on a GPU.

    ``options`` are settings of a `Recipe`. ``engine`` is trace, formulas, or both: the trace with the formulas' answer
    in ``other``. Advice is looked for where the run does not fit.

    Raises CourseError for what is not known or contradicts itself.
    """
    if engine not in ENGINES:
        raise CourseError(f"engine {engine!r} is not known; choose one of {', '.join(ENGINES)}.")
    recipe = recipe.but(**options) if recipe and options else recipe or make(options)
    card = gpu if isinstance(gpu, GPU) else gpu_named(gpu)
    what = subject(model)
    what.check(recipe)
    first = "formulas" if engine == "formulas" else "trace"
    answer = _answer(what, recipe, card, first)
    if engine == "both":
        answer = replace(answer, other=_answer(what, recipe, card, "formulas"))
    if advise and not answer.fits:
        from course_lib.memory import advice as adviser

        estimate = functools.partial(estimates(first), what, gpu=card)
        answer = replace(answer, advice=adviser.suggest(what, recipe, card, estimate))
    return answer


def make(options: dict[str, Any]) -> Recipe:
    """A recipe from settings; CourseError for a setting that does not exist."""
    unknown = sorted(set(options) - set(Recipe.__dataclass_fields__))
    if unknown:
        raise CourseError(
            f"{unknown[0]!r} is no setting of a run; choose from {', '.join(Recipe.__dataclass_fields__)}."
        )
    return Recipe(**options)


def estimates(engine: str) -> Callable[..., Estimate]:
    """The engine of that name: from a subject, a recipe and a GPU to an estimate."""
    from course_lib.memory import formulas, traced

    return formulas.estimate if engine == "formulas" else traced.estimate


def _answer(what: Subject, recipe: Recipe, card: GPU, engine: str) -> Plan:
    from course_lib.memory import cost

    found = estimates(engine)(what, recipe, gpu=card)
    phase = max(found.phases, key=lambda name: found.phases[name].bytes)
    work = cost.of_step(what.architecture, recipe, card, found.trainable_params)
    return Plan(
        model=what.name,
        recipe=recipe,
        gpu=card,
        engine=engine,
        total_params=what.parameters if what.architecture.causal else found.total_params,  # with the classifier
        trainable_params=found.trainable_params,
        phases={name: {part: size for part, size in peak.parts.items() if size} for name, peak in found.phases.items()},
        peak_bytes=found.phases[phase].bytes,
        peak_phase=phase,
        segments_bytes=found.segments,
        context_bytes=card.context,
        fits=found.fits,
        flops=work.flops,
        seconds=work.seconds,
        seconds_basis=work.basis,
        communicated_bytes=work.communicated,
    )
