"""What to change so that a run fits: the shortest list first, and what changes nothing that is learned before the rest.

Three kinds of change, from harmless to serious:

    the same result     micro-batches with accumulation, checkpointing, a chunked loss: time instead of memory
    nearly the same     an 8-bit optimizer, 16-bit weights, sharding over devices (more money)
    another run         LoRA, QLoRA, shorter sequences: something else is learned

All sets of one change are tried, then of two, and so on, with the formulas, which cost a millisecond; the first that
fit are confirmed by the caller's engine, which may be the trace. If nothing fits, the smallest GPU that would is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_lib.memory.estimate import Estimate
from course_lib.memory.recipe import Recipe

if TYPE_CHECKING:
    from course_lib.memory.gpus import GPU
    from course_lib.memory.subject import Subject

CHUNK = 256  # tokens per chunk of logits: small against a vocabulary, large enough for fast products
SHORTEST = 128  # tokens: shorter sequences are no advice
LARGEST_SET = 5
WANTED = 3  # pieces of advice
TRIALS = 8  # sets that the formulas like and the engine is asked about

Change = tuple[str, dict[str, Any], int]  # the words, the settings, how serious it is


@dataclass(frozen=True)
class Advice:
    """A list of changes, and the peaks of the run with all of them."""

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
    """The shortest lists of changes that make the run fit, the least serious first; one that says what GPU would do.

    ``estimate`` is the engine that has the last word.
    """
    from course_lib.memory import formulas

    found: list[Advice] = []
    trials, wanted = 0, WANTED if recipe.lengths == "fixed" else 1  # many lengths are many traces
    for changes in _sets(what, recipe):
        if trials == TRIALS or len(found) == wanted or (found and len(changes) > len(found[0].changes)):
            break
        changed = recipe.but(**{name: value for _, settings, _ in changes for name, value in settings.items()})
        if not formulas.estimate(what, changed, gpu=gpu).fits:
            continue
        trials += 1
        answer = estimate(changed)
        if answer.fits:
            found.append(_advice(changes, answer, gpu))
    return tuple(found) or _larger(what, recipe, gpu)


def _sets(what: Subject, recipe: Recipe) -> Iterator[tuple[Change, ...]]:
    """All sets of changes that do not contradict each other, short and harmless ones first."""
    choices = list(_changes(what, recipe))
    for size in range(1, LARGEST_SET + 1):
        sets = [s for s in itertools.combinations(choices, size) if _compatible(s)]
        yield from sorted(sets, key=lambda s: (max(c[2] for c in s), sum(c[2] for c in s)))


def _compatible(changes: tuple[Change, ...]) -> bool:
    names = [name for _, settings, _ in changes for name in settings]
    return len(names) == len(set(names))


def _changes(what: Subject, recipe: Recipe) -> Iterator[Change]:
    """The possible changes, and how serious each is (1: the same result, 2: nearly, 3 and 4: another run)."""
    if recipe.micro_batch > 1:
        times = recipe.micro_batch * recipe.accumulate
        if recipe.trains:
            settings = {"micro_batch": 1, "accumulate": times}
            yield f"take micro-batches of 1 and accumulate {times}", settings, 1
        else:
            yield "answer one request at a time", {"micro_batch": 1}, 1
    if recipe.trains and not recipe.checkpointing:
        yield "switch checkpointing on (about a third more time)", {"checkpointing": True}, 1
    if recipe.trains and what.architecture.causal and not recipe.chunked_loss and recipe.program == "transformers":
        yield f"compute the loss in chunks of {CHUNK} tokens", {"chunked_loss": CHUNK}, 1
    if recipe.attention == "eager":
        yield "use fused attention", {"attention": "sdpa"}, 1
    if recipe.trains and recipe.optimizer in ("adamw", "adamw-foreach", "sgd"):
        yield "use 8-bit AdamW", {"optimizer": "adamw-8bit"}, 2
    if recipe.held == "fp32":
        narrow = recipe.compute if recipe.compute != "fp32" else "bf16"
        yield f"hold the weights in {narrow}", {"precision": narrow}, 2
    if recipe.devices == 1 and recipe.method != "inference":
        for devices in (2, 4, 8):
            yield f"spread it over {devices} devices with FSDP", {"devices": devices, "sharding": "fsdp"}, 2
    if recipe.method in ("full", "last-n"):
        yield "train LoRA adapters only", {"method": "lora"}, 3
    if recipe.method in ("full", "last-n", "lora", "prompt"):
        yield "train LoRA adapters on NF4 weights (QLoRA)", {"method": "qlora"}, 3
    length = recipe.seq_len // 2
    while length >= SHORTEST:
        yield f"cut sequences to {length} tokens", {"seq_len": length}, 4
        length //= 2


def _advice(changes: tuple[Change, ...], answer: Estimate, gpu: GPU) -> Advice:
    settings = {name: value for _, settings, _ in changes for name, value in settings.items()}
    peak = max(p.bytes for p in answer.phases.values())
    return Advice(tuple(words for words, _, _ in changes), settings, peak, answer.segments + gpu.context, answer.fits)


def _larger(what: Subject, recipe: Recipe, gpu: GPU) -> tuple[Advice, ...]:
    """The GPU with the least memory on which the run fits as it is, by the formulas."""
    from course_lib.memory import formulas
    from course_lib.memory.gpus import gpus

    for card in sorted(gpus().values(), key=lambda card: card.usable):
        if card.usable <= gpu.usable:
            continue
        answer = formulas.estimate(what, recipe, gpu=card)
        if answer.fits:
            words: Change = (f"take a larger GPU, for example {card.title}", {"gpu": card.name}, 2)
            return (_advice((words,), answer, card),)
    return ()
