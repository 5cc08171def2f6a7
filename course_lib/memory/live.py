"""Counting while it happens: a small model really trains here, and every byte that its tensors hold is counted.

A plan is a claim about a program; here the program runs. `LiveBytes` listens to PyTorch's allocator, through which
every tensor gets its bytes and gives them back, so that at each moment it is known how many are alive, and whose they
are: weights, gradients, what the forward pass left behind. Nothing is taken from the plan: the model is built with its
weights, NF4 comes out of bitsandbytes as it reads a saved model, peft puts its adapters on, AdamW makes its state.
(Watching the operations instead of the allocator would change what is watched: while a dispatch mode is active,
autograd does not add gradients up in place.)

`compare` puts the two side by side, phase by phase and part by part:

    for row in compare(config, Recipe(method="lora", precision="fp32", seq_len=64)):
        print(row.phase, row.part, row.predicted, row.measured)

Left out: what is no tensor (the interpreter, the scratch space of matrix libraries). For that, look at the process:
`hardware.Meter`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function

from course_lib import hardware
from course_lib.errors import CourseError
from course_lib.memory.gpus import main_memory
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import Subject, subject
from course_lib.memory.trace.log import OUTSIDE, PARTS, PHASES, Log, Peak, Segment, peaks

STEPS = 2  # the second begins with the optimizer's state
NOTE = "live bytes: "
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# What a real run here can be; everything else of a recipe is planned only.
POSSIBLE: dict[str, tuple[Any, ...]] = {
    "method": ("full", "last-n", "lora", "qlora", "prompt"),
    "precision": ("fp32", "bf16", "bf16-mixed"),
    "optimizer": ("adamw", "sgd"),
    "attention": ("sdpa", "eager"),
    "program": ("transformers",),
    "chunked_loss": (0,),
    "devices": (1,),
    "offload": (False,),
    "quantize_head": (False,),
}


@dataclass(frozen=True)
class Row:
    """A part of a phase, in bytes at that phase's own peak; the part ``total`` is the phase's sum."""

    phase: str
    part: str
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share of what was measured; infinite where that is nothing."""
        return self.predicted / self.measured - 1 if self.measured else float(self.predicted > 0) and float("inf")


def compare(model: Any, recipe: Recipe, *, steps: int = STEPS) -> tuple[Row, ...]:
    """Train a small model for some steps on the processor and put the plan beside it.

    ``model`` is a transformers config, or whatever else a plan can be asked about; its weights are random. The model is
    really built, so it should be small: a few million parameters take seconds. Rows come phase by phase (load, forward,
    loss, backward, step), in each the parts in the order of `PARTS` and the total last.

    Raises CourseError for a recipe that cannot run here, such as one on several devices.
    """
    what = subject(model)
    what.check(recipe)
    measured, predicted = measure(what, recipe, steps=steps), predict(what, recipe)
    rows = []
    for phase in PHASES:
        if phase in measured and phase in predicted:
            ours, theirs = predicted[phase].parts, measured[phase].parts
            parts = [part for part in PARTS if ours.get(part) or theirs.get(part)]
            rows += [Row(phase, part, ours.get(part, 0), theirs.get(part, 0)) for part in parts]
            rows.append(Row(phase, "total", predicted[phase].bytes, measured[phase].bytes))
    return tuple(rows)


def predict(what: Subject, recipe: Recipe) -> dict[str, Peak]:
    """The trace's peak of each phase of a run on the processor."""
    from course_lib.memory import traced

    return traced.estimate(what, recipe, gpu=main_memory(hardware.detect(), 0)).phases


def measure(what: Subject, recipe: Recipe, *, steps: int = STEPS) -> dict[str, Peak]:
    """Train for some steps with random weights on random tokens, and return the counted peak of each phase."""
    for name, choices in POSSIBLE.items():
        if getattr(recipe, name) not in choices:
            raise CourseError(
                f"A real run here cannot have {name}={getattr(recipe, name)!r}; choose one of"
                f" {', '.join(map(str, choices))}, or plan it without running it."
            )
    with _quietly(), _one_thread(), torch.random.fork_rng(devices=[]):
        causal = what.architecture.causal
        model = real_model(what.config, recipe, causal=causal)
        optimizer = real_optimizer(model, recipe)
        with LiveBytes(model, adapts=recipe.adapts) as live:
            for _ in range(steps):
                for _ in range(recipe.accumulate):
                    _micro_batch(model, live, what, recipe)
                live.phase("step")
                optimizer.step()
                live.mark(_state(optimizer), "optimizer")
                optimizer.zero_grad(set_to_none=True)
    return live.peaks()


def _micro_batch(model: Any, live: LiveBytes, what: Subject, recipe: Recipe) -> None:
    live.phase("forward")
    ids = torch.randint(0, what.architecture.vocab, (recipe.micro_batch, recipe.seq_len))
    labels = ids.clone() if what.architecture.causal else torch.zeros(recipe.micro_batch, dtype=torch.long)
    with _autocast(recipe):
        loss = model(input_ids=ids, labels=labels).loss
    live.phase("backward")
    loss.backward()
    live.mark([p.grad for p in model.parameters() if p.grad is not None], "gradients")


class LiveBytes:
    """Counts what PyTorch's allocator gives out and takes back while it is active, by phase and part.

    Begins with the tensors of ``model`` in the phase ``load``. `phase` begins another one; where the model's output
    layer begins its work in a forward phase, the phase ``loss`` begins by itself. What is allocated belongs to the part
    that its phase is known for, until `mark` says that some tensors belong to another. When it ends, ``log`` has the
    events and `peaks` the most bytes of each phase. The garbage collector rests meanwhile: it would free at moments
    that have nothing to do with the program. For tensors on the processor; the profiler must not be in use otherwise.
    """

    PART: ClassVar = {
        "load": "weights",
        "forward": "activations",
        "loss": "logits",
        "backward": "temporary",
        "step": "temporary",
    }

    def __init__(self, model: nn.Module, *, adapts: bool = False) -> None:
        self.model, self.adapts = model, adapts
        self.log = Log()
        self._notes: list[str | tuple[list[int], str]] = []  # a phase that begins, or addresses and their part
        self._open = ExitStack()

    def __enter__(self) -> LiveBytes:
        output = _output_layer(self.model)
        with ExitStack() as stack:
            if output is not None:
                stack.callback(output.register_forward_pre_hook(lambda *_: self._output()).remove)
            stack.enter_context(_no_collection())
            stack.enter_context(patch.dict(os.environ, {"KINETO_LOG_LEVEL": "99"}))  # or it says that it starts
            self._profile = stack.enter_context(profile(activities=[ProfilerActivity.CPU], profile_memory=True))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._open.__exit__(*failure)
        if failure[0] is None:
            self._read()

    def phase(self, name: str) -> None:
        """Begin a phase: forward, backward or step."""
        self._note(name)

    def mark(self, tensors: Iterable[Tensor], part: str) -> None:
        """Say to which part these tensors, alive now, belong."""
        self._note(([tensor.untyped_storage().data_ptr() for tensor in tensors], part))

    def peaks(self) -> dict[str, Peak]:
        """The most bytes alive in each phase, by part."""
        return peaks(self.log)[0]

    def _output(self) -> None:
        phases = [note for note in self._notes if isinstance(note, str)]
        if phases and phases[-1] == "forward":  # and not where it is computed again
            self.phase("loss")

    def _note(self, note: str | tuple[list[int], str]) -> None:
        with record_function(f"{NOTE}{len(self._notes)}"):
            self._notes.append(note)

    def _read(self) -> None:
        """Make the log from what the profiler saw."""
        alive = self._load()
        phase, start = "load", 0
        for event in _in_time(self._profile):
            if event.name.startswith(NOTE):
                note = self._notes[int(event.name.removeprefix(NOTE))]
                if isinstance(note, str):
                    self.log.segments.append(Segment(phase, OUTSIDE, "", start, len(self.log.events)))
                    phase, start = note, len(self.log.events)
                    continue
                for address in note[0]:
                    if address in alive:
                        self.log.parts[alive[address]] = note[1]
            elif event.extra_fields.alloc_size > 0:
                alive[event.extra_fields.ptr] = self.log.add(event.extra_fields.alloc_size, self.PART[phase])
            elif event.extra_fields.ptr in alive:  # nothing that somebody else had before
                self.log.free(alive.pop(event.extra_fields.ptr))
        self.log.segments.append(Segment(phase, OUTSIDE, "", start, len(self.log.events)))

    def _load(self) -> dict[int, int]:
        """Enter the model's tensors into the log; the number of each by its address."""
        numbers: dict[int, int] = {}
        for tensor in held(self.model):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in numbers:
                part = "adapters" if self.adapts and tensor.requires_grad else "weights"
                numbers[storage.data_ptr()] = self.log.add(storage.nbytes(), part)
        return numbers


def _in_time(profiled: profile) -> list[Any]:
    """Allocations, frees and notes in the order in which they happened."""
    found = []
    seen: Any = profiled.profiler
    waiting = list(seen.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        if event.tag == _EventType.Allocation or event.name.startswith(NOTE):
            found.append(event)
        waiting += event.children
    return sorted(found, key=lambda event: event.start_time_ns)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other make a small model slow where other programs want the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def held(model: nn.Module) -> Iterator[Tensor]:
    """The tensors of a model: parameters, buffers, and what belongs to weights quantized by bitsandbytes."""
    yield from model.parameters()
    yield from model.buffers()
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        while state is not None:  # the scales of the scales are a state within the state
            yield from (tensor for tensor in (state.absmax, state.code, state.offset) if isinstance(tensor, Tensor))
            state = getattr(state, "state2", None)


# -- the real thing ----------------------------------------------------------------------------------------------------


def real_model(config: Any, recipe: Recipe, *, causal: bool) -> Any:
    """A model with random weights, prepared for training as a person would do it."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    dtype = DTYPES[recipe.held]
    model = kind.from_config(config, dtype=dtype, attn_implementation=recipe.attention)
    if recipe.method == "qlora":
        model = _in_four_bits(model, kind, recipe, dtype)
    model.config.use_cache = False
    if recipe.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model = _choose(model, recipe)
    return model.train()


def _in_four_bits(model: Any, kind: Any, recipe: Recipe, dtype: torch.dtype) -> Any:
    """The same model as bitsandbytes loads it: saved, and read again in NF4."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=recipe.double_quantization,
        bnb_4bit_compute_dtype=DTYPES[recipe.compute],
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return kind.from_pretrained(
            folder,
            quantization_config=settings,
            dtype=dtype,
            device_map="cpu",
            attn_implementation=recipe.attention,
        )


def _choose(model: Any, recipe: Recipe) -> Any:
    """Mark what learns, or put on what learns."""
    if recipe.method == "full":
        return model
    if recipe.method == "last-n":
        depth = model.config.num_hidden_layers
        blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)
        model.requires_grad_(False)
        for part in [*blocks[-recipe.blocks :], *[m for m in [getattr(model, "classifier", None)] if m is not None]]:
            part.requires_grad_(True)
        return model
    import peft

    settings: Any
    if recipe.method == "prompt":
        settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=recipe.prompt_tokens)
        return peft.get_peft_model(model, settings)
    # peft knows by itself what queries and values are called in a model.
    targets = {"qv": None, "all-linear": "all-linear"}[recipe.targets] if isinstance(recipe.targets, str) else None
    settings = peft.LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        lora_dropout=recipe.lora_dropout,
        target_modules=targets if isinstance(recipe.targets, str) else list(recipe.targets),
    )
    return peft.get_peft_model(model, settings, autocast_adapter_dtype=recipe.adapter_precision == "fp32")


def real_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over what learns."""
    learned = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(learned, lr=1e-3, momentum=0.9, fused=True)
    return torch.optim.AdamW(learned, lr=1e-3, fused=True)


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]


def _output_layer(model: Any) -> nn.Module | None:
    """The module that makes logits."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name in ("classifier", "score"):
        if isinstance(getattr(inner, name, None), nn.Module):
            return getattr(inner, name)
    return inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None


def _autocast(recipe: Recipe) -> AbstractContextManager[object]:
    return torch.autocast("cpu", DTYPES[recipe.compute]) if recipe.autocasts else contextlib.nullcontext()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the libraries' progress bars and remarks about a model that nobody will use."""
    from transformers.utils import logging

    from course_lib.memory.trace.build import quietly

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), quietly():
            warnings.simplefilter("ignore")
            yield
    finally:
        if bars:
            logging.enable_progress_bar()
