"""What is to be run: everything about a run that decides how much memory it takes, and nothing else.

A recipe names the program, not the model: the same recipe is put to a model of any size. Precision says how weights
are *held* and how they are *computed with*, which are two things:

    fp32                     held and computed in 32 bits
    bf16, fp16               held and computed in 16 bits (adapters may still be held in 32)
    bf16-mixed, fp16-mixed   held in 32 bits, computed in 16 under autocast

Left out: the learning rate, the data, the seed: they change what is learned and not what is needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from course_lib.errors import CourseError

METHODS = ("full", "last-n", "lora", "qlora", "prompt", "inference")
PRECISIONS = ("fp32", "fp16", "bf16", "fp16-mixed", "bf16-mixed")
OPTIMIZERS = ("adamw", "adamw-foreach", "adamw-8bit", "paged-adamw", "paged-adamw-8bit", "adafactor", "sgd")
ATTENTIONS = ("sdpa", "eager", "flash")
LENGTHS = ("fixed", "varying")
SHARDINGS = ("none", "ddp", "zero1", "zero2", "zero3", "fsdp")
PROGRAMS = ("transformers", "litgpt-2023", "litgpt-2023-adapter", "litgpt-2023-adapter-v2", "litgpt-2024")
TARGET_WORDS = ("all-linear", "qv")

WIDTH = {"fp32": 4, "fp16": 2, "bf16": 2, "fp16-mixed": 4, "bf16-mixed": 4}  # bytes in which a weight is held
LEAST = {
    "micro_batch": 1,
    "seq_len": 1,
    "rank": 1,
    "blocks": 1,
    "prompt_tokens": 1,
    "accumulate": 1,
    "devices": 1,
    "chunked_loss": 0,
    "new_tokens": 0,
}


@dataclass(frozen=True)
class Recipe:
    """A run. Lengths are in tokens, batches in sequences per device.

    Raises CourseError for a value outside the choices, and for settings that contradict each other.
    """

    method: str = "full"
    precision: str = "bf16"
    micro_batch: int = 1
    seq_len: int = 512
    lengths: str = (
        "fixed"  # batches all of seq_len, or of many lengths up to it, which breaks reserved memory into pieces
    )
    optimizer: str = "adamw"
    checkpointing: bool = False  # keep each block's input only and compute the rest again (Chen et al. 2016)
    attention: str = "sdpa"
    chunked_loss: int = 0  # tokens whose logits exist at a time; 0: all
    upcast_logits: bool = True  # transformers computes the loss on a float32 copy of the logits
    rank: int = 8
    targets: str | tuple[str, ...] = "all-linear"
    lora_dropout: float = 0.0
    adapter_precision: str = "fp32"  # peft holds adapters in fp32 whatever the base; "same": as the base
    autocast: bool | None = None  # None: where weights that learn are held wider than what is computed
    blocks: int = 1  # of last-n
    prompt_tokens: int = 20
    double_quantization: bool = True
    quantize_head: bool = False  # bitsandbytes through transformers leaves the output layer alone
    new_tokens: int = 0  # of inference, after a prompt of seq_len
    accumulate: int = 1
    devices: int = 1
    sharding: str = "none"
    offload: bool = False
    program: str = "transformers"  # whose training program runs: its layers, its adapters, its loss

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("attention", self.attention, ATTENTIONS)
        _one_of("lengths", self.lengths, LENGTHS)
        _one_of("sharding", self.sharding, SHARDINGS)
        _one_of("program", self.program, PROGRAMS)
        _one_of("adapter_precision", self.adapter_precision, ("fp32", "same"))
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise CourseError(f"{name} is a whole number from {least} up, not {value!r}.")
        if not 0 <= self.lora_dropout < 1:
            raise CourseError(f"lora_dropout is a share from 0 to below 1, not {self.lora_dropout}.")
        if isinstance(self.targets, str) and self.targets not in TARGET_WORDS:
            object.__setattr__(self, "targets", tuple(name.strip() for name in self.targets.split(",") if name.strip()))
        if not self.targets:
            raise CourseError("targets names no layer; choose all-linear, qv, or names separated by commas.")
        if self.devices > 1 and self.sharding == "none":
            raise CourseError(
                f"{self.devices} devices must share the work somehow; choose sharding ddp, zero1, zero2, zero3 or fsdp."
            )
        if self.devices == 1 and self.sharding not in ("none", "ddp") and not self.offload:
            raise CourseError(f"sharding {self.sharding} spreads a model over devices; give devices=2 or more.")

    @property
    def trains(self) -> bool:
        """Whether there are gradients at all."""
        return self.method != "inference"

    @property
    def adapts(self) -> bool:
        """Whether small added weights learn while the model's own stay as they are."""
        return self.method in ("lora", "qlora", "prompt")

    @property
    def compute(self) -> str:
        """The precision of a matrix product: fp32, fp16 or bf16."""
        return self.precision.removesuffix("-mixed")

    @property
    def held(self) -> str:
        """The precision in which the model's own weights are held: fp32, fp16 or bf16."""
        return "fp32" if self.precision.endswith("-mixed") else self.precision

    @property
    def learned(self) -> str:
        """The precision in which weights that learn are held, and with them gradients and optimizer state."""
        return "fp32" if self.adapts and self.adapter_precision == "fp32" else self.held

    @property
    def autocasts(self) -> bool:
        """Whether the forward pass runs under autocast."""
        if self.compute == "fp32":
            return False
        if self.precision.endswith("-mixed") and self.autocast is None:
            return True
        return self.trains and self.learned == "fp32" if self.autocast is None else self.autocast

    def but(self, **changes: Any) -> Recipe:
        """The same recipe with some settings changed."""
        return replace(self, **changes)

    def settings(self) -> dict[str, Any]:
        """What differs from the defaults, for a title or a file."""
        standard = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != standard[name] or name == "method"}


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CourseError(f"{name} {value!r} is not known; choose one of {', '.join(choices)}.")
