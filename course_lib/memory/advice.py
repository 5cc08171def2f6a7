"""What to change so that a run fits: short lists of changes, and what changes nothing that is learned before the rest.

Every change has a price, from harmless to serious:

    1  the same result    micro-batches with accumulation, checkpointing, a chunked loss, a fused kernel
    2  nearly the same    an 8-bit optimizer, 16-bit weights, sharding over devices (for money)
    3  another method     LoRA, QLoRA: fewer weights learn
    4  other data         sequences cut to half, and one more for each further half

Sets of changes are tried from cheap to dear with the formulas, which cost half a millisecond; the first that fit are
confirmed by the caller's engine, which may be the trace. What adds a change to a list that fits already is no news. If
no list helps, the smallest GPU on which the run would fit is named, or else how many of this one.

Left out: changes of the model, quantization below 4 bits, offloading to the host.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.memory.estimate import Estimate
from course_lib.memory.recipe import Recipe

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU
    from course_lib.memory.subject import Subject

CHUNK = 256  # tokens per chunk of logits: small against a vocabulary, large enough for fast products
SHORTEST = 128  # tokens: shorter sequences are no advice
LARGEST_SET = 5
WANTED = 3  # pieces of advice
TRIALS = 6  # sets that the formulas like and the engine is asked about
FEW, MANY = (2, 4, 8), (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # devices

Change = tuple[str, dict[str, Any], int]  # the words, the settings, the price
Fits = Callable[[Recipe], bool]


@dataclass(frozen=True)
class Advice:
    """A list of changes, and the peaks of the run with all of them, in bytes per device."""

    changes: tuple[str, ...]
    settings: dict[str, Any]  # of the recipe, or {"gpu": name}
    peak_bytes: int
    reserved_bytes: int
    fits: bool

    @property
    def text(self) -> str:
        """One sentence."""
        words = " and ".join(self.changes)
        verdict = "fits" if self.fits else "is still too much"
        return f"{words[0].upper()}{words[1:]}: {self.reserved_bytes / 1e9:.1f} GB, which {verdict}."

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "changes": list(self.changes),
            "settings": self.settings,
            "peak_bytes": self.peak_bytes,
            "reserved_bytes": self.reserved_bytes,
            "fits": self.fits,
            "text": self.text,
        }


def suggest(what: Subject, recipe: Recipe, gpu: GPU, estimate: Callable[[Recipe], Estimate]) -> tuple[Advice, ...]:
    """Up to three lists of changes that make the run fit, the cheapest first; else what hardware would do.

    ``estimate`` is the engine that has the last word. Never raises; empty if nothing helps.
    """
    fits = functools.partial(_by_formulas, what, gpu)
    found: list[Advice] = []
    trials, wanted = 0, WANTED if recipe.lengths == "fixed" else 1  # many lengths are many traces
    for changes in _sets(what, recipe, gpu):
        if trials >= TRIALS or len(found) == wanted:
            break
        names = {name for _, settings, _ in changes for name in settings}
        if any(names >= one.settings.keys() for one in found) or not _allowed(recipe, changes, fits):
            continue
        relaxed = _relaxed(recipe, changes, fits)
        for tried in (relaxed, changes) if relaxed != changes else (changes,):
            trials += 1
            try:
                answer = estimate(_changed(recipe, tried))
            except CourseError:
                continue
            if answer.fits:
                found.append(_advice(tried, answer, gpu))
                break
    return tuple(found) or _larger(what, recipe, gpu) or _more(what, recipe, gpu)


# -- sets of changes ---------------------------------------------------------------------------------------------------


def _sets(what: Subject, recipe: Recipe, gpu: GPU) -> Iterator[tuple[Change, ...]]:
    """All sets of changes that do not contradict each other, the cheapest first."""
    choices = list(_changes(what, recipe, gpu))
    sets = itertools.chain.from_iterable(itertools.combinations(choices, size) for size in range(1, LARGEST_SET + 1))
    yield from sorted(filter(_compatible, sets), key=lambda s: (sum(c[2] for c in s), max(c[2] for c in s)))


def _compatible(changes: tuple[Change, ...]) -> bool:
    names = [name for _, settings, _ in changes for name in settings]
    return len(names) == len(set(names))


def _changed(recipe: Recipe, changes: tuple[Change, ...]) -> Recipe:
    return recipe.but(**{name: value for _, settings, _ in changes for name, value in settings.items()})


def _allowed(recipe: Recipe, changes: tuple[Change, ...], fits: Fits) -> bool:
    """Whether a run with the changes exists and fits, by the formulas."""
    try:
        return fits(_changed(recipe, changes))
    except CourseError:  # not every program can do everything
        return False


def _relaxed(recipe: Recipe, changes: tuple[Change, ...], fits: Fits) -> tuple[Change, ...]:
    """The same changes with the largest micro-batch that fits as well."""
    sizes = [size for size in range(recipe.micro_batch // 2, 1, -1) if recipe.micro_batch % size == 0]
    for i, (_, settings, _) in enumerate(changes):
        for size in sizes if settings.get("micro_batch") == 1 else ():
            larger = (*changes[:i], _split(recipe, size), *changes[i + 1 :])
            if _allowed(recipe, larger, fits):
                return larger
    return changes


def _by_formulas(what: Subject, gpu: GPU, recipe: Recipe) -> bool:
    from course_lib.memory import formulas

    what.check(recipe)
    return formulas.estimate(what, recipe, gpu=gpu).fits


# -- the changes -------------------------------------------------------------------------------------------------------


def _changes(what: Subject, recipe: Recipe, gpu: GPU) -> Iterator[Change]:
    """The possible changes, each with its price."""
    if recipe.micro_batch > 1:
        yield _split(recipe, 1)
    if recipe.trains:
        yield from _slower(what, recipe)
    if recipe.attention == "eager":
        yield "use fused attention", {"attention": "sdpa"}, 1
    yield from _nearly_the_same(recipe, gpu)
    if recipe.method in ("full", "last-n"):
        yield "train LoRA adapters only", {"method": "lora"}, 3
    if recipe.method in ("full", "last-n", "lora", "prompt"):
        yield "train LoRA adapters on NF4 weights (QLoRA)", {"method": "qlora"}, 3
    length, price = recipe.seq_len // 2, 4
    while length >= SHORTEST:
        yield f"cut sequences to {length} tokens", {"seq_len": length}, price
        length, price = length // 2, price + 1


def _split(recipe: Recipe, size: int) -> Change:
    """Smaller micro-batches; in training so many more of them that a step sees the same tokens."""
    if not recipe.trains:
        return f"answer {size} at a time" if size > 1 else "answer one request at a time", {"micro_batch": size}, 1
    times = recipe.accumulate * recipe.micro_batch // size
    return f"take micro-batches of {size} and accumulate {times}", {"micro_batch": size, "accumulate": times}, 1


def _slower(what: Subject, recipe: Recipe) -> Iterator[Change]:
    if not recipe.checkpointing:
        yield "switch checkpointing on (about a third more time)", {"checkpointing": True}, 1
    if what.architecture.causal and not recipe.chunked_loss and recipe.program == "transformers":
        yield f"compute the loss in chunks of {CHUNK} tokens", {"chunked_loss": CHUNK}, 1


def _nearly_the_same(recipe: Recipe, gpu: GPU) -> Iterator[Change]:
    if recipe.trains and recipe.optimizer in ("adamw", "adamw-foreach", "sgd"):
        yield "use 8-bit AdamW", {"optimizer": "adamw-8bit"}, 2
    if recipe.held == "fp32":
        usual = "bf16" if gpu.bf16 or not gpu.is_cuda else "fp16"
        narrow = recipe.compute if recipe.compute != "fp32" else usual
        if narrow == "bf16" or recipe.adapts or not recipe.trains:  # weights in fp16 do not learn: gradients vanish
            yield f"hold the weights in {narrow}", {"precision": narrow}, 2
    if recipe.devices == 1 and recipe.trains and gpu.is_cuda and recipe.program == "transformers":
        for devices in FEW:
            yield f"spread it over {devices} devices with FSDP", {"devices": devices, "sharding": "fsdp"}, 2


# -- other hardware ----------------------------------------------------------------------------------------------------


def _larger(what: Subject, recipe: Recipe, gpu: GPU) -> tuple[Advice, ...]:
    """The GPU with the least memory on which the run fits as it is, by the formulas."""
    from course_lib.memory import formulas
    from course_lib.memory.gpus import gpus

    for card in sorted(gpus().values(), key=lambda card: card.usable):
        if card.usable > gpu.usable:
            answer = formulas.estimate(what, recipe, gpu=card)
            if answer.fits:
                words: Change = (f"take a larger GPU, for example {card.title}", {"gpu": card.name}, 2)
                return (_advice((words,), answer, card),)
    return ()


def _more(what: Subject, recipe: Recipe, gpu: GPU) -> tuple[Advice, ...]:
    """The least devices over which the run fits with everything that does not change its result."""
    from course_lib.memory import formulas

    if not gpu.is_cuda or not recipe.trains:
        return ()
    changes = [change for change in _changes(what, recipe, gpu) if change[2] == 1]
    for devices in MANY:
        words = f"spread it over {devices} devices with FSDP"
        spread: tuple[Change, ...] = (*changes, (words, {"devices": devices, "sharding": "fsdp"}, 2))
        try:
            answer = formulas.estimate(what, _changed(recipe, spread), gpu=gpu)
        except CourseError:
            continue
        if answer.fits:
            return (_advice(spread, answer, gpu),)
    return ()


def _advice(changes: tuple[Change, ...], answer: Estimate, gpu: GPU) -> Advice:
    settings = {name: value for _, settings, _ in changes for name, value in settings.items()}
    peak = max(p.bytes for p in answer.phases.values())
    return Advice(tuple(words for words, _, _ in changes), settings, peak, answer.segments + gpu.context, answer.fits)
