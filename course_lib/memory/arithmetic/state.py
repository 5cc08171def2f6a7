"""What training keeps for every parameter, whatever the batch: weights, gradients, optimizer, master copy.

Adam remembers two running means per parameter, so training costs several times the weights. Per parameter, in bytes:

    everything in fp32                       4 weight + 4 gradient + 8 Adam             = 16
    autocast ("bf16-mixed")                  the same, and a 16-bit copy while it runs  = 16 + 2
    16-bit weights, fp32 master copy         2 + 2 + 4 master + 8 Adam                  = 16
    everything in 16 bits ("bf16")           2 + 2 + 4 Adam                             =  8

16 is a floor, since activations come on top, and not a law: 8-bit Adam makes it 2 + 2 + 2.03. Talks say that 175
billion parameters need 14,000 GB. That is 80 bytes each; `accountings` shows where 80 comes from.

Left out: the step counter of each tensor (4 bytes), fragmentation, and gradients that a framework keeps twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import Shape, blocks, choice, count, elements

OPTIMIZERS = ("adamw", "adamw-foreach", "adamw-8bit", "paged-adamw", "paged-adamw-8bit", "adafactor", "sgd", "none")
PRECISIONS = ("fp32", "fp16", "bf16", "fp16-mixed", "bf16-mixed", "fp16-master", "bf16-master")
EIGHT_BIT_BLOCK = 256  # parameters that share a scale in bitsandbytes' 8-bit optimizers
EIGHT_BIT_LEAST = 4096  # smaller tensors keep their state in fp32
PAGED_LEAST = 100_000  # smaller tensors keep their state on the device


def optimizer_bytes(
    name: str, parameters: float, shapes: Sequence[Shape] | None = None, *, bytes_per_value: int = 4
) -> int:
    """Bytes that an optimizer keeps between steps, for ``parameters`` trained ones.

    ``shapes``: those of the trained tensors; needed by ``adafactor``, makes the 8-bit ones exact (without it they count
    as one tensor). ``bytes_per_value``: of a trained weight, whose precision torch's AdamW and SGD take over;
    bitsandbytes' and transformers' Adafactor keep fp32 whatever the weights are. CourseError for an unknown optimizer.

    * ``adamw`` (fused), ``adamw-foreach``: two values per parameter (Loshchilov and Hutter 2019)
    * ``adamw-8bit``: two bytes, and two fp32 scales per 256 parameters; tensors under 4096 parameters keep 2 x fp32;
      the two tables of 256 fp32 exist once (Dettmers et al. 2022, 8-bit Optimizers)
    * ``paged-``: the same bytes, most of which may be moved to the host, see `pageable_bytes`
    * ``adafactor``: a matrix keeps the sums of its rows and of its columns, a vector every value (Shazeer and Stern
      2018; without momentum, as in transformers)
    * ``sgd``: the momentum. ``none``: nothing

    >>> optimizer_bytes("adamw", 7e9)
    56000000000
    >>> optimizer_bytes("adafactor", 4096 * 11008, [(4096, 11008)])
    60416
    """
    choice("optimizer", name, OPTIMIZERS)
    n, width = _consistent(parameters, shapes), count("bytes_per_value", bytes_per_value, 1)
    if name == "adafactor":
        if shapes is None:
            raise CourseError("Adafactor keeps sums of rows and of columns: give the shapes of the trained tensors.")
        return 4 * sum(_factors(shape) for shape in shapes)
    if name.endswith("adamw-8bit"):
        sizes = [n] if shapes is None else [elements(shape) for shape in shapes]
        small = sum(size for size in sizes if size < EIGHT_BIT_LEAST)
        large = [size for size in sizes if size >= EIGHT_BIT_LEAST]
        codes = sum(2 * size + 2 * 4 * blocks(size, EIGHT_BIT_BLOCK) for size in large)
        return 8 * small + codes + (2 * 4 * 256 if large else 0)
    return n * {"adamw": 2 * width, "adamw-foreach": 2 * width, "paged-adamw": 8, "sgd": width, "none": 0}[name]


def pageable_bytes(name: str, shapes: Sequence[Shape]) -> int:
    """How much of `optimizer_bytes` lies in managed memory, which the driver moves to the host when the GPU is full.

    Only paged optimizers, and only tensors of at least 100,000 parameters; the scales of 8-bit states stay. Source:
    Dettmers et al. 2023 (QLoRA), section 3, and bitsandbytes. On the device they count like the rest while there is
    room; without, a step waits for the bus.

    >>> pageable_bytes("paged-adamw-8bit", [(1000, 1000), (1000,)])
    2000000
    """
    choice("optimizer", name, OPTIMIZERS)
    large = sum(size for size in map(elements, shapes) if size >= PAGED_LEAST)
    return large * {"paged-adamw": 8, "paged-adamw-8bit": 2}.get(name, 0)


def optimizer_temporary_bytes(name: str, parameters: float, largest: float = 0, *, bytes_per_value: int = 4) -> int:
    """Bytes that exist only while the optimizer steps.

    ``adamw-foreach`` updates all tensors at once and holds the square roots of all second moments: one value per
    parameter. The fused, paged and 8-bit kernels and plain SGD work in place. transformers' Adafactor goes tensor by
    tensor, at most four fp32 copies of the ``largest`` (parameters in it): the squared gradient, its smoothed form,
    and, for 16-bit weights, gradient and weight in fp32; two for fp32 weights.

    >>> optimizer_temporary_bytes("adamw-foreach", 7e9)
    28000000000
    """
    choice("optimizer", name, OPTIMIZERS)
    n, most, width = (
        count("parameters", parameters),
        count("largest", largest),
        count("bytes_per_value", bytes_per_value, 1),
    )
    if most > n:
        raise CourseError(f"The largest tensor cannot have more parameters ({most}) than all together ({n}).")
    if name == "adafactor":
        return 4 * most * (2 if width == 4 else 4)
    return n * width if name == "adamw-foreach" else 0


def training_state(
    parameters: float,
    precision: str = "bf16-mixed",
    optimizer: str = "adamw",
    *,
    shapes: Sequence[Shape] | None = None,
    gradient_bytes: int | None = None,
) -> dict[str, int]:
    """Bytes by part for ``parameters`` trained ones: weights, gradients, optimizer, master, copies.

    ``fp32``, ``fp16``, ``bf16``: held and computed so. ``-mixed``: held in fp32, computed in 16 bits under autocast,
    whose 16-bit ``copies`` of the weights live from the forward pass until the backward pass has used them, so they
    are not there during the step. ``-master``: 16-bit weights and an fp32 ``master`` copy of them, which is how
    Megatron and DeepSpeed train (Micikevicius et al. 2018; Rajbhandari et al. 2020, section 3.1: 2 + 2 + 12 = 16).
    ``gradient_bytes``: of one gradient where it differs from its weight (Megatron adds gradients up in fp32).

    >>> state = training_state(7e9, "bf16-master")
    >>> state
    {'weights': 14000000000, 'gradients': 14000000000, 'optimizer': 56000000000, 'master': 28000000000, 'copies': 0}
    >>> sum(state.values()) / 10**9  # does not fit the 80 GB of an A100, without a single activation
    112.0
    """
    choice("precision", precision, PRECISIONS)
    n = count("parameters", parameters)
    held = 4 if precision == "fp32" or precision.endswith("-mixed") else 2
    mastered = precision.endswith("-master")
    gradients = held if gradient_bytes is None else count("gradient_bytes", gradient_bytes, 1)
    return {
        "weights": held * n,
        "gradients": gradients * n,
        "optimizer": optimizer_bytes(optimizer, n, shapes, bytes_per_value=4 if mastered else held),
        "master": 4 * n if mastered else 0,
        "copies": 2 * n if precision.endswith("-mixed") else 0,
    }


def accountings() -> dict[str, dict[str, int]]:
    """Bytes per parameter of training with Adam as different sources count them, part by part.

    The first three count tensors. The fourth, a widespread estimate for fp32, adds to the 4 bytes of a weight another
    20 *per parameter*: 8 for Adam, 4 for the gradient, and a guess of 8 for activations, which depend on batch and
    length instead. Those 20 bytes read as a *factor* of 20 on the 4 bytes are the 80 of the last: 14,000 GB for 175
    billion parameters, where 16 to 20 bytes give 2,800 to 3,500 GB.

    >>> {name: sum(parts.values()) * 175 for name, parts in accountings().items()}  # GB for 175 billion parameters
    {'ZeRO': 2800, 'Megatron': 3150, 'MT-NLG': 3500, 'fp32 and a guess': 4200, 'the guess as a factor': 14000}
    """
    master = {"weights": 2, "gradients": 2, "optimizer": 8, "master": 4}
    guess = {"weights": 4, "gradients": 4, "optimizer": 8, "activations, guessed": 8}
    return {
        "ZeRO": master,  # Rajbhandari et al. 2020
        "Megatron": master | {"gradients": 4},  # gradients added up in fp32
        "MT-NLG": master | {"gradients in fp32": 4},  # Smith et al. 2022: gradients in 16 and in 32 bits
        "fp32 and a guess": guess,
        "the guess as a factor": {"weights x 20": 4 * 20},
    }


def _consistent(parameters: float, shapes: Sequence[Shape] | None) -> int:
    """The number of parameters; CourseError where the shapes hold another number."""
    n = count("parameters", parameters)
    if shapes is not None and (held := sum(map(elements, shapes))) != n:
        raise CourseError(f"The shapes hold {held} parameters, not {n}; give those of the trained tensors only.")
    return n


def _factors(shape: Shape) -> int:
    """Values that Adafactor keeps for a tensor: row and column sums of its last two dimensions."""
    if len(shape) < 2:
        return elements(shape)
    return elements(shape[:-1]) + elements((*shape[:-2], shape[-1]))
