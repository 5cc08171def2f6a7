"""What one number costs: from 64 bits down to four, and the small print of four.

A weight of 32 bits takes 4 bytes, so a billion of them take 4 GB (GB = 10**9 bytes, GiB = 2**30: 7% more). Below 16
bits no format covers the range of a layer's weights any more, so a block of neighbours shares a scale, and the scale
has to be stored too:

    NF4, blocks of 64, scales in fp32         4 + 32/64              = 4.5    bits per parameter
    the same, scales quantized once more      4 + 8/64 + 32/(64*256) = 4.127  bits
    4-bit integers in groups of 128 (GPTQ)    4 + 16/128 + 4/128     = 4.156  bits

The functions that end in ``_bytes`` count one tensor to the byte, as the libraries lay it out; the allocator's
rounding comes on top. Left out: embeddings, norms and the output layer, which quantizing libraries leave in 16 bits:
"4-bit" is never the whole model.
"""

from __future__ import annotations

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import blocks, choice, count

GB = 10**9
GIB = 2**30

BYTES: dict[str, float] = {
    "fp64": 8,
    "fp32": 4,
    "tf32": 4,  # 19 bits are computed with, 32 are stored
    "bf16": 2,
    "fp16": 2,
    "fp8": 1,
    "int8": 1,
    "fp4": 0.5,
    "int4": 0.5,
}
STORED = (*BYTES, "nf4", "nf4-double", "gptq")
CODE_NF4, CODE_8BIT = 16, 256  # entries of the tables that turn a code into a number


def bytes_per_parameter(kind: str) -> float:
    """Bytes that one parameter takes when held as ``kind``; shared scales are spread over their block.

    ``nf4``, ``nf4-double`` and ``gptq`` count their scales at the usual block sizes. CourseError for an unknown kind.

    >>> bytes_per_parameter("fp32") * 7e9 / GB
    28.0
    >>> bytes_per_parameter("nf4")
    0.5625
    """
    choice("precision", kind, STORED)
    if kind == "gptq":
        return int4_bits_per_parameter() / 8
    if kind in BYTES:
        return BYTES[kind]
    return nf4_bits_per_parameter(double=kind == "nf4-double") / 8


def nf4_bits_per_parameter(block: int = 64, double: bool = False, nested_block: int = 256) -> float:
    """Bits per parameter of NF4 in a large tensor.

    4 bits of code; one scale of 32 bits per ``block``, or, with double quantization, one of 8 bits and a second scale
    of 32 bits per ``nested_block`` of them. Source: Dettmers et al. 2023 (QLoRA), section 3: 0.5 bits become 0.127.

    >>> nf4_bits_per_parameter(), round(nf4_bits_per_parameter(double=True), 3)
    (4.5, 4.127)
    """
    block, nested_block = count("block", block, 1), count("nested_block", nested_block, 1)
    return 4 + (8 / block + 32 / (block * nested_block) if double else 32 / block)


def nf4_bytes(
    elements: float, block: int = 64, double: bool = False, nested_block: int = 256, *, tables: bool = True
) -> int:
    """Bytes of one NF4 tensor of ``elements`` parameters on the device, exact, as bitsandbytes lays it out.

    * codes: two to a byte, an odd last one takes a byte of its own
    * scales: the largest magnitude of each block, fp32; with ``double`` one byte each, an fp32 scale for every
      ``nested_block`` of them, and their mean (fp32), which is taken off before
    * ``tables``: what each tensor carries to decode them: 16 fp32, and with ``double`` another 256 fp32

    >>> nf4_bytes(4096 * 4096, double=True) - 4096 * 4096 // 2  # what comes on top of the codes
    267332
    """
    n, block, nested_block = (
        count("elements", elements),
        count("block", block, 1),
        count("nested_block", nested_block, 1),
    )
    scales = blocks(n, block)
    stored = blocks(n, 2) + (scales + 4 * blocks(scales, nested_block) + 4 if double else 4 * scales)
    return stored + 4 * tables * (CODE_NF4 + double * CODE_8BIT)


def int8_bytes(rows: int, columns: int) -> int:
    """Bytes of a weight matrix (rows = outputs, columns = inputs) in LLM.int8.

    One byte per weight and one fp32 scale per row (vector-wise quantization). Source: Dettmers et al. 2022. Left out:
    the columns of outliers, which are copied to 16 bits while a product runs, and the layer's input, which
    bitsandbytes keeps for the backward pass even though the weight is frozen.

    >>> int8_bytes(4096, 4096)
    16793600
    """
    rows = count("rows", rows)
    return rows * count("columns", columns) + 4 * rows


def int4_bits_per_parameter(group: int = 128, scale_bits: int = 16, zero_bits: int = 4) -> float:
    """Bits per parameter of 4-bit integers that share a scale and a zero point in groups.

    >>> int4_bits_per_parameter()
    4.15625
    """
    group = count("group", group, 1)
    return 4 + (count("scale_bits", scale_bits) + count("zero_bits", zero_bits)) / group


def int4_bytes(inputs: int, outputs: int, group: int = 128, *, order: bool = True) -> int:
    """Bytes of a weight matrix in groups of 4-bit integers, as GPTQ checkpoints lay it out.

    Codes and zero points are packed eight to an int32, scales are fp16 (one per group and output); ``order`` counts
    the int32 per input that says which group it belongs to. Source: Frantar et al. 2022 and the AutoGPTQ format, which
    needs inputs and outputs that eight divides (CourseError).

    >>> int4_bytes(4096, 4096) * 8 / 4096**2
    4.1640625
    """
    inputs, outputs, group = count("inputs", inputs), count("outputs", outputs), count("group", group, 1)
    if inputs % 8 or outputs % 8:
        raise CourseError(
            f"Eight 4-bit numbers share an int32: {inputs} x {outputs} cannot be packed; use multiples of 8."
        )
    groups = blocks(inputs, group)
    return inputs * outputs // 2 + groups * (outputs // 2 + 2 * outputs) + 4 * inputs * order
