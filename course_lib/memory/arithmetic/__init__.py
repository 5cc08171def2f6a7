"""The formulas: one small function each, with its source, its units and an example that is checked.

Bytes are whole numbers; GB is 10**9 of them, GiB 2**30. Nothing here needs torch or any other package, so sliders may
call it at every move. What a formula leaves out is in its docstring.

* `numbers`: what one number costs, 4-bit formats included
* `state`: weights, gradients, optimizer
* `activations` (and `layer`): what a forward pass leaves behind
* `outputs`: logits and the cache of keys and values
* `adapters`: LoRA
* `sharding`: several devices
* `compute`: operations, time, energy, money
* `scaling`: parameters against tokens

Left out: how an allocator rounds, splits and keeps what is asked of it; that needs the order of requests.
"""

from course_lib.memory.arithmetic.activations import (
    checkpointed,
    korthikanti_layer,
    layer_activations,
    stack_activations,
)
from course_lib.memory.arithmetic.adapters import (
    TARGETS,
    copies_inputs,
    lora_activations,
    lora_parameters,
    projection_shapes,
    targets,
)
from course_lib.memory.arithmetic.compute import (
    HOUR,
    attention_flops,
    decode_seconds,
    dollars,
    energy_kwh,
    flops_parts,
    inference_flops,
    seconds,
    seconds_bandwidth_bound,
    training_flops,
    utilisation,
)
from course_lib.memory.arithmetic.layer import Layer
from course_lib.memory.arithmetic.numbers import (
    BYTES,
    GB,
    GIB,
    bytes_per_parameter,
    int4_bits_per_parameter,
    int4_bytes,
    int8_bytes,
    nf4_bits_per_parameter,
    nf4_bytes,
)
from course_lib.memory.arithmetic.outputs import kv_cache_bytes, logits_bytes
from course_lib.memory.arithmetic.scaling import (
    FITS,
    Fit,
    Triangle,
    chinchilla_loss,
    chinchilla_tokens,
    compute_optimal,
    tokens_for_words,
    triangle,
)
from course_lib.memory.arithmetic.sharding import Shares, bytes_sent, gathered_bytes, offload_traffic, sharded
from course_lib.memory.arithmetic.state import (
    OPTIMIZERS,
    accountings,
    optimizer_bytes,
    optimizer_temporary_bytes,
    pageable_bytes,
    training_state,
)

__all__ = [
    "BYTES",
    "FITS",
    "GB",
    "GIB",
    "HOUR",
    "OPTIMIZERS",
    "TARGETS",
    "Fit",
    "Layer",
    "Shares",
    "Triangle",
    "accountings",
    "attention_flops",
    "bytes_per_parameter",
    "bytes_sent",
    "checkpointed",
    "chinchilla_loss",
    "chinchilla_tokens",
    "compute_optimal",
    "copies_inputs",
    "decode_seconds",
    "dollars",
    "energy_kwh",
    "flops_parts",
    "gathered_bytes",
    "inference_flops",
    "int4_bits_per_parameter",
    "int4_bytes",
    "int8_bytes",
    "korthikanti_layer",
    "kv_cache_bytes",
    "layer_activations",
    "logits_bytes",
    "lora_activations",
    "lora_parameters",
    "nf4_bits_per_parameter",
    "nf4_bytes",
    "offload_traffic",
    "optimizer_bytes",
    "optimizer_temporary_bytes",
    "pageable_bytes",
    "projection_shapes",
    "seconds",
    "seconds_bandwidth_bound",
    "sharded",
    "stack_activations",
    "targets",
    "tokens_for_words",
    "training_flops",
    "training_state",
    "triangle",
    "utilisation",
]
