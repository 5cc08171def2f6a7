"""How a model is tuned: what learns, in which numbers, how long.

What learns is one of four methods:

    full     every weight
    last-n   the last blocks of the model
    lora     two thin matrices beside each linear layer, W x + (alpha / r) B A x (Hu et al. 2021)
    qlora    the same on a base in 4 bits (Dettmers et al. 2023)

In which numbers follows from the hardware and not from taste (`numbers`): weights that learn are held in float32
always, because the step of an optimizer is smaller than what 16 bits can add to a weight; weights that do not learn are
held in what the device computes in.

Left out: schedules and optimizers other than AdamW in 32 and in 8 bits (`course_lib.train`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from course_lib import hardware
from course_lib.errors import CourseError
from course_lib.hardware import Hardware
from course_lib.memory.recipe import Recipe

METHODS = ("full", "last-n", "lora", "qlora")
# The wider a model, the smaller its steps. 1e-3 was better than half of it for the course's base model (256 wide); the
# power leads from there to what is usual for models of 1 to 7 billion weights (4e-5 to 2e-5 for all weights, 2e-4 to
# 8e-5 for adapters).
RATE, WIDTH, POWER = 1e-3, 256, 1.5
ADAPTER_FACTOR = 5  # adapters take larger steps (Schulman et al. 2025, "LoRA without regret", have ten times)
LARGE = 5 * 10**8  # parameters from which on memory is spared on a GPU
LEAST = {"epochs": 1, "batch_size": 1, "micro_batch": 0, "max_length": 0, "rank": 1, "blocks": 1, "seed": 0}


@dataclass(frozen=True)
class Tuning:
    """How to tune. Batches are counted in examples, lengths in tokens; 0 and None mean "what suits".

    Raises CourseError for values that mean nothing.
    """

    method: str = "lora"
    epochs: int = 3
    learning_rate: float | None = None
    batch_size: int = 16  # examples per step of the optimizer
    micro_batch: int = 0  # examples at a time; 0: all of a step
    max_length: int = 0  # longer examples are cut; 0: what the model can read, at most 2048
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: str = "all-linear"  # or "qv", or names of layers, separated by commas
    blocks: int = 2  # of last-n
    optimizer: str = ""  # "adamw", "adamw-8bit"; "": 8 bits on a GPU
    checkpointing: bool | None = None  # keep each block's input, compute the rest again; None: large models on a GPU
    packing: bool = True
    weight_decay: float = 0.01
    warmup: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CourseError(f"The method {self.method!r} is not known; choose one of {', '.join(METHODS)}.")
        if self.optimizer not in ("", "adamw", "adamw-8bit"):
            raise CourseError(f"The optimizer {self.optimizer!r} is not known; choose adamw or adamw-8bit.")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise CourseError(f"{name} must be a whole number from {least} on, not {value!r}.")
        if not self.alpha > 0:
            raise CourseError(f"alpha must be above 0, not {self.alpha}.")
        if not 0 <= self.dropout < 1:
            raise CourseError(f"dropout is a share from 0 to below 1, not {self.dropout}.")
        if not 0 <= self.warmup <= 1:
            raise CourseError(f"warmup is a share of all steps, between 0 and 1, not {self.warmup}.")
        if not self.weight_decay >= 0:
            raise CourseError(f"weight_decay must be at least 0, not {self.weight_decay}.")
        if not all(name.strip() for name in self.targets.split(",")):
            raise CourseError(f"targets are all-linear, qv, or names of layers with commas, not {self.targets!r}.")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise CourseError(f"The learning rate must be above 0, not {self.learning_rate}.")
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise CourseError(
                f"A step of {self.batch_size} examples cannot be taken {self.micro_batch} at a time: choose a divisor."
            )

    @property
    def at_a_time(self) -> int:
        """Examples that are computed together."""
        return self.micro_batch or self.batch_size

    @property
    def accumulate(self) -> int:
        """Batches of one step."""
        return self.batch_size // self.at_a_time

    @property
    def adapts(self) -> bool:
        """Whether small added weights learn while the model's own stay as they are."""
        return self.method in ("lora", "qlora")

    def rate(self, width: int) -> float:
        """The learning rate for a model of this width."""
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE * (WIDTH / width) ** POWER * (ADAPTER_FACTOR if self.adapts else 1)

    def settled(self, machine: Hardware, parameters: int) -> Tuning:
        """The same with every "what suits" decided for a machine and a model of so many parameters."""
        gpu = machine.device == "cuda"
        large = gpu and parameters >= LARGE
        return replace(
            self,
            optimizer=self.optimizer or ("adamw-8bit" if gpu else "adamw"),
            checkpointing=large if self.checkpointing is None else self.checkpointing,
            micro_batch=self.micro_batch or (_divisor(self.batch_size, 2) if large else 0),
        )

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


@dataclass(frozen=True)
class Numbers:
    """In which numbers a run is held and computed: names of torch's types, and Accelerate's word for autocast."""

    held: str  # the weights of the model
    computed: str  # matrix products
    precision: str  # "no", "fp16" or "bf16"


def numbers(method: str, machine: Hardware) -> Numbers:
    """What a method is held and computed in on this machine.

    Weights that learn are in float32. What is frozen takes half of that where the device computes in 16 bits; on a
    processor everything is float32, for its 16-bit products are no faster, or not there.
    """
    computed = hardware.PRECISIONS[machine.precision] if machine.device == "cuda" else "float32"
    held = computed if method in ("lora", "qlora") else "float32"
    return Numbers(held, computed, machine.precision if machine.device == "cuda" else "no")


def recipe(tuning: Tuning, machine: Hardware, length: int, labels: int = 0) -> Recipe:
    """The same run as the planner knows it: texts of ``length`` tokens, ``labels`` of a batch predicted (0: all)."""
    short = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    found = numbers(tuning.method, machine)
    precision = short[found.computed]
    if found.held != found.computed:
        precision += "-mixed"
    return Recipe(
        method=tuning.method,
        precision=precision,
        micro_batch=tuning.at_a_time,
        seq_len=length,
        lengths="varying",
        optimizer=tuning.optimizer or "adamw",
        checkpointing=bool(tuning.checkpointing),
        chunked_loss=labels,
        rank=tuning.rank,
        targets=tuning.targets,
        lora_dropout=tuning.dropout,
        blocks=tuning.blocks,
        accumulate=tuning.accumulate,
    )


def _divisor(number: int, most: int) -> int:
    return next(k for k in range(min(number, most), 0, -1) if number % k == 0)
