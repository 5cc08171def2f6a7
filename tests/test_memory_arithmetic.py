"""Every formula against a number derived by hand, and those about tensors against tensors that exist."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Adafactor, AutoConfig, AutoModelForCausalLM
from transformers.loss.loss_utils import ForCausalLMLoss

from course_lib.errors import CourseError
from course_lib.memory import arithmetic
from course_lib.memory.arithmetic import (
    BYTES,
    GB,
    GIB,
    HOUR,
    accountings,
    attention_flops,
    bytes_per_parameter,
    bytes_sent,
    checkpointed,
    chinchilla_loss,
    chinchilla_tokens,
    compute_optimal,
    copies_inputs,
    decode_seconds,
    dollars,
    energy_kwh,
    flops_parts,
    gathered_bytes,
    inference_flops,
    int4_bits_per_parameter,
    int4_bytes,
    int8_bytes,
    korthikanti_layer,
    kv_cache_bytes,
    layer_activations,
    logits_bytes,
    lora_activations,
    lora_parameters,
    nf4_bits_per_parameter,
    nf4_bytes,
    offload_traffic,
    optimizer_bytes,
    optimizer_temporary_bytes,
    pageable_bytes,
    projection_shapes,
    seconds,
    seconds_bandwidth_bound,
    sharded,
    stack_activations,
    targets,
    tokens_for_words,
    training_flops,
    training_state,
    triangle,
    utilisation,
)

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "course_lib":
            raise ImportError(f"{name} is third-party")

sys.meta_path.insert(0, Blocked())
from course_lib.memory import arithmetic
assert arithmetic.training_state(7)["weights"] == 28
print(*(name for name in ("torch", "numpy", "transformers") if name in sys.modules))
"""


def test_the_formulas_need_nothing_but_python() -> None:
    command = [sys.executable, "-c", ALONE]
    ran = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_every_exported_name_exists_once_and_is_described() -> None:
    assert len(set(arithmetic.__all__)) == len(arithmetic.__all__)
    functions = [getattr(arithmetic, name) for name in arithmetic.__all__ if callable(getattr(arithmetic, name))]
    assert all(
        function.__doc__ and ">>>" in function.__doc__ for function in functions if not isinstance(function, type)
    )


# Numbers


def test_a_billion_parameters_take_4_gb_in_fp32_and_half_a_gb_in_int4() -> None:
    # 1e9 x 32 bits = 32e9 bits = 4e9 bytes; 1e9 x 4 bits = 0.5e9 bytes; a GiB is 1.0737 GB
    assert bytes_per_parameter("fp32") * 1e9 == 4 * GB
    assert bytes_per_parameter("int4") * 1e9 == 0.5 * GB
    assert pytest.approx(1.073741824) == GIB / GB
    assert {name: BYTES[name] for name in ("bf16", "fp16", "int8", "fp8")} == {
        "bf16": 2,
        "fp16": 2,
        "int8": 1,
        "fp8": 1,
    }
    # 70e9 x 0.5 bytes = 35 GB: "70B fits a 40 GB GPU with int4" leaves 5 GB for scales, cache and context
    assert bytes_per_parameter("int4") * 70e9 == 35 * GB


def test_nf4_takes_four_and_a_half_bits_and_4_127_with_double_quantization() -> None:
    # 4 + 32 bits of scale / 64 parameters = 4.5; 4 + 8/64 + 32/(64 x 256) = 4 + 0.125 + 0.001953125
    assert nf4_bits_per_parameter() == 4.5
    assert nf4_bits_per_parameter(double=True) == 4.126953125
    assert bytes_per_parameter("nf4") == 4.5 / 8
    assert bytes_per_parameter("nf4-double") == 4.126953125 / 8


def test_nf4_to_the_byte_by_hand() -> None:
    # 101 parameters: 51 bytes of codes; blocks of 64: 2 scales of 4 bytes = 8; a table of 16 x 4 = 64: 123
    assert nf4_bytes(101) == 51 + 8 + 64
    # double: 2 scales of 1 byte; one fp32 for the 256 scales they are part of; the mean, 4; tables 64 + 1024
    assert nf4_bytes(101, double=True) == 51 + 2 + 4 + 4 + 64 + 1024
    assert nf4_bytes(101, double=True, tables=False) == 51 + 2 + 4 + 4
    assert nf4_bytes(0, tables=False) == 0


def test_int8_has_a_scale_for_every_row() -> None:
    assert int8_bytes(20, 30) == 600 + 20 * 4  # 20 outputs of 30 inputs, one fp32 each


def test_groups_of_128_four_bit_integers_take_4_156_bits() -> None:
    # 4 + 16 bits of scale / 128 + 4 bits of zero point / 128 = 4.15625
    assert int4_bits_per_parameter() == 4.15625
    assert bytes_per_parameter("gptq") == 4.15625 / 8
    # 256 inputs, 16 outputs: 4096 codes in 2048 bytes; 2 groups x 16 scales x 2 bytes = 64; 2 x 16 zero points x half
    # a byte = 16; 256 int32 for the order = 1024
    assert int4_bytes(256, 16) == 2048 + 64 + 16 + 1024
    assert int4_bytes(256, 16, order=False) == 2048 + 64 + 16


# State


def test_adamw_keeps_two_values_per_parameter_in_the_weights_precision() -> None:
    assert optimizer_bytes("adamw", 1000) == 8000
    assert optimizer_bytes("adamw-foreach", 1000) == optimizer_bytes("paged-adamw", 1000) == 8000
    assert optimizer_bytes("adamw", 1000, bytes_per_value=2) == 4000
    assert optimizer_bytes("sgd", 1000) == 4000
    assert optimizer_bytes("none", 1000) == 0


def test_8_bit_adam_by_hand() -> None:
    # 100 x 100: 2 x 10,000 codes, 2 x ceil(10,000 / 256) = 2 x 40 scales of 4 bytes: 20,320. A bias of 100: under 4096,
    # so 2 x 100 x 4 = 800. Tables 2 x 256 x 4 = 2048, once.
    assert optimizer_bytes("adamw-8bit", 10_100, [(100, 100), (100,)]) == 20_320 + 800 + 2048
    assert optimizer_bytes("paged-adamw-8bit", 100, [(100,)]) == 800
    assert optimizer_bytes("adamw-8bit", 7e9) / 7e9 == pytest.approx(2 + 8 / 256, abs=1e-6)  # 2.03 bytes


def test_paged_states_leave_small_tensors_and_scales_on_the_device() -> None:
    # 400 x 250 = 100,000 parameters can move, 99,999 cannot: 100,000 x 2 codes, and x 8 bytes in fp32
    assert pageable_bytes("paged-adamw-8bit", [(400, 250), (99_999,)]) == 200_000
    assert pageable_bytes("paged-adamw", [(400, 250), (99_999,)]) == 800_000
    assert pageable_bytes("adamw", [(400, 250)]) == 0


def test_adafactor_keeps_rows_and_columns() -> None:
    # 30 x 20: 30 + 20 sums; a vector of 7 keeps 7; 2 x 3 x 5: 2 x 3 row sums and 2 x 5 column sums; 4 bytes each
    assert optimizer_bytes("adafactor", 600 + 7 + 30, [(30, 20), (7,), (2, 3, 5)]) == 4 * (50 + 7 + 16)


def test_only_foreach_and_adafactor_need_space_to_step() -> None:
    assert optimizer_temporary_bytes("adamw", 1000, 400) == 0
    assert optimizer_temporary_bytes("adamw-foreach", 1000, 400) == 4000  # square roots of all second moments
    # the largest tensor: squared gradient and its smoothed form; from 16 bits also gradient and weight, in fp32
    assert optimizer_temporary_bytes("adafactor", 1000, 400) == 2 * 4 * 400
    assert optimizer_temporary_bytes("adafactor", 1000, 400, bytes_per_value=2) == 4 * 4 * 400


@pytest.mark.parametrize(
    ("precision", "parts"),
    [  # bytes per parameter: weights, gradients, Adam, master copy, 16-bit copies
        ("fp32", (4, 4, 8, 0, 0)),
        ("bf16-mixed", (4, 4, 8, 0, 2)),
        ("fp16-master", (2, 2, 8, 4, 0)),
        ("bf16", (2, 2, 4, 0, 0)),
    ],
)
def test_the_state_of_training_by_hand(precision: str, parts: tuple[int, ...]) -> None:
    assert tuple(training_state(10, precision).values()) == tuple(10 * part for part in parts)


def test_seven_billion_parameters_take_112_gb() -> None:
    # (2 + 2 + 8 + 4) x 7e9 = 112e9, and an A100 has 80e9
    assert sum(training_state(7e9, "bf16-master").values()) == 112 * GB
    # gradients added up in fp32: 18 x 7e9
    assert sum(training_state(7e9, "bf16-master", gradient_bytes=4).values()) == 126 * GB


def test_80_bytes_per_parameter_come_from_reading_20_bytes_as_20_times() -> None:
    table = {name: sum(parts.values()) for name, parts in accountings().items()}
    # 2+2+8+4; 2+4+8+4; 2+2+4+8+4; 4+4+8 and a guess of 8; 20 x 4
    assert list(table.values()) == [16, 18, 20, 24, 80]
    assert [size * 175 for size in table.values()] == [2800, 3150, 3500, 4200, 14_000]
    assert (
        accountings()["ZeRO"].items()
        == {name: size for name, size in training_state(1, "fp16-master").items() if size}.items()
    )


# Activations


def test_the_formula_of_korthikanti_by_hand() -> None:
    # s b h = 8 x 2 x 4 = 64; 5 a s / h = 5 x 2 x 8 / 4 = 20; 64 x (34 + 20) = 3456
    gpt = {"batch": 2, "seq": 8, "hidden": 4, "heads": 2}
    assert korthikanti_layer(**gpt) == 3456
    assert korthikanti_layer(**gpt, recompute="selective") == 64 * 34
    assert korthikanti_layer(**gpt, recompute="full") == 64 * 2
    # over 2 devices: 64 x (10 + 24/2 + 20/2) = 2048; with sequence parallelism half of everything
    assert korthikanti_layer(**gpt, tensor_parallel=2) == 2048
    assert korthikanti_layer(**gpt, tensor_parallel=2, sequence_parallel=True) == 3456 / 2


def test_counting_the_tensors_of_a_gpt_gives_korthikantis_34_and_5() -> None:
    gpt = {
        "hidden": 64,
        "heads": 4,
        "kv_heads": 4,
        "head_dim": 16,
        "intermediate": 256,
        "gated": False,
        "norm": "layer",
    }
    program = {"activation": "gelu", "attention": "eager", "softmax_upcast": False}
    counted = layer_activations(batch=3, seq=32, dropout=0.1, attention_dropout=0.1, **gpt, **program)
    # what the formula leaves out: mean and deviation of two norms, 2 x 2 x 4 bytes per token
    assert counted.pop("norm statistics") == 3 * 32 * 16
    assert sum(counted.values()) == korthikanti_layer(batch=3, seq=32, hidden=64, heads=4)


LLAMA = {"hidden": 48, "heads": 6, "kv_heads": 2, "head_dim": 8, "intermediate": 128, "gated": True, "norm": "rms"}


def test_a_gated_layer_with_grouped_queries_by_hand() -> None:
    # per token in 16 bits: two norms on fp32 copies 2 x 48 x 4, their products 2 x 48 x 2, 2 x 4 for 1/rms; inputs of
    # attention and MLP 48 x 2 each; q 48 x 2; k and v 2 x 8 x 2 each; output 48 x 2 and 6 x 4 for the softmax's sums;
    # gate, its silu, up and their product 128 x 2 each
    kept = layer_activations(batch=2, seq=50, **LLAMA)
    assert {name: size // 100 for name, size in kept.items()} == {
        "norm inputs": 384,
        "norm products": 192,
        "norm statistics": 8,
        "attention inputs": 96,
        "queries": 96,
        "keys": 32,
        "values": 32,
        "attention output": 96,
        "attention statistics": 24,
        "mlp inputs": 96,
        "activation inputs": 256,
        "activation outputs": 256,
        "up": 256,
        "down inputs": 256,
    }


def test_only_eager_attention_grows_with_the_square_of_the_length() -> None:
    def kept(seq: int, attention: str) -> int:
        return sum(layer_activations(batch=1, seq=seq, attention=attention, **LLAMA).values())

    assert kept(200, "sdpa") == kept(200, "flash") == 2 * kept(100, "sdpa")
    # scores: 6 heads x seq**2, softmax in fp32 (4) and its 16-bit copy (2); all else doubles
    assert kept(200, "eager") - 2 * kept(100, "eager") == 6 * 6 * (200**2 - 2 * 100**2)


def test_repeated_keys_and_values_take_what_their_queries_take() -> None:
    # a mask makes transformers repeat 2 key-value heads to 6: 2 x (6 - 2) x 8 x 2 bytes more per token
    plain, masked = (layer_activations(batch=1, seq=10, expanded_kv=wide, **LLAMA) for wide in (False, True))
    assert sum(masked.values()) - sum(plain.values()) == 10 * 128


def test_dropout_costs_a_byte_per_value_after_attention_and_mlp() -> None:
    kept = layer_activations(batch=1, seq=10, dropout=0.1, **LLAMA)
    assert kept["dropout masks"] == 10 * 2 * 48


def test_autocast_spells_gelu_out_in_fp32() -> None:
    # x, tanh and 1 + tanh in fp32 (the power of x**3 is computed so on a GPU), x/2 in 16 bits: 4 + 4 + 4 + 2
    gpt2 = LLAMA | {"gated": False, "norm": "layer", "activation": "gelu-python"}
    assert layer_activations(batch=1, seq=10, autocast=True, **gpt2)["activation inputs"] == 10 * 128 * 14


def test_checkpoints_keep_a_layers_input_and_compute_one_segment_again() -> None:
    assert checkpointed(batch=2, seq=10, hidden=48) == 2 * 10 * 48 * 2
    assert stack_activations(16, 1000) == 16_000
    assert stack_activations(16, 1000, 100, every=1) == 16 * 100 + 1000
    assert stack_activations(16, 1000, 100, every=5) == 4 * 100 + 5 * 1000  # ceil(16 / 5) = 4 segments
    assert stack_activations(16, 1000, 100, every=99) == 100 + 16 * 1000


# Logits and cache


def test_logits_take_14_bytes_per_token_and_word_in_16_bits() -> None:
    # logits 2, log-softmax 4, its gradient 4, the gradient of the fp32 copy 4; during the loss 2 + 4 + 4
    assert sum(logits_bytes(2, 3, 5).values()) == 2 * 3 * 5 * 14
    assert sum(logits_bytes(2, 3, 5, phase="loss").values()) == 2 * 3 * 5 * 10
    assert logits_bytes(2, 3, 5, phase="forward") == {"logits": 60}
    # in fp32 there is no copy: 4 x 4; without upcasting 4 x 2
    assert sum(logits_bytes(2, 3, 5, 4).values()) == 30 * 16
    assert sum(logits_bytes(2, 3, 5, upcast=False).values()) == 30 * 8


def test_chunks_bound_the_logits() -> None:
    assert sum(logits_bytes(2, 300, 5, chunk=100).values()) == 100 * 5 * 14
    assert logits_bytes(2, 3, 5, chunk=100) == logits_bytes(2, 3, 5)


def test_a_token_of_a_13b_model_takes_0_82_mb_of_cache_and_grouped_queries_divide_it() -> None:
    # keys and values: 2 x 40 layers x 40 heads x 128 x 2 bytes
    assert kv_cache_bytes(40, 40, 128, 1) == 819_200
    assert kv_cache_bytes(40, 8, 128, 1) == 819_200 / 5
    assert kv_cache_bytes(40, 40, 128, 1000, batch=3) == 819_200 * 3000
    assert kv_cache_bytes(40, 40, 128, 1000, window=256) == 819_200 * 256
    assert kv_cache_bytes(40, 40, 128, 1, bytes_per_value=0.5) == 819_200 / 4


# LoRA


def test_lora_adds_rank_times_inputs_and_outputs() -> None:
    # llama-like: q 48x48, v 48x16: 4 x (96 + 64) = 640
    shapes = projection_shapes(hidden=48, heads=6, kv_heads=2, head_dim=8, intermediate=128, gated=True)
    assert lora_parameters(4, [shapes[name] for name in targets("qv")]) == 640
    # all: q 96, k 64, v 64, o 96, gate 176, up 176, down 176 = 848, times 4
    assert lora_parameters(4, [shapes[name] for name in targets("all-linear")]) == 3392


def test_adapters_copy_their_inputs_when_their_precision_differs() -> None:
    shapes = [(48, 48), (48, 16)]
    # 10 tokens: two fp32 copies of 48 values, two fp32 results of rank 4
    assert lora_activations(10, 4, shapes) == {"inputs": 10 * 2 * 48 * 4, "down": 10 * 2 * 4 * 4}
    assert lora_activations(10, 4, shapes, autocast=True) == {"inputs": 10 * 2 * 48 * 2, "down": 10 * 2 * 4 * 2}
    assert lora_activations(10, 4, shapes, adapter_bytes=2) == {"down": 10 * 2 * 4 * 2}
    # dropped-out copies in 16 bits and a mask of a byte per value
    dropped = lora_activations(10, 4, shapes, adapter_bytes=2, dropout=0.1)
    assert dropped == {"inputs": 10 * 2 * 48 * 2, "down": 10 * 2 * 4 * 2, "masks": 10 * 2 * 48}


def test_fourteen_gb_for_lora_on_7b_are_the_weights_alone() -> None:
    # 6,738,415,616 parameters x 2 bytes = 13.48 GB. On top: 32 layers of 4 matrices 4096 x 4096 and 3 of 4096 x 11008
    # at rank 8: 32 x 8 x (4 x 8192 + 3 x 15104) = 19,988,480 parameters, 16 bytes each in fp32: 0.32 GB
    shapes = projection_shapes(hidden=4096, heads=32, kv_heads=32, head_dim=128, intermediate=11008, gated=True)
    adapters = 32 * lora_parameters(8, shapes.values())
    assert adapters == 19_988_480
    assert sum(training_state(adapters, "fp32").values()) == 319_815_680
    weights = 6_738_415_616 * bytes_per_parameter("bf16")
    assert weights / GB == pytest.approx(13.48, abs=0.01)
    layer = {"hidden": 4096, "heads": 32, "kv_heads": 32, "head_dim": 128, "intermediate": 11008, "gated": True}
    kept = sum(layer_activations(batch=1, seq=2048, norm="rms", frozen=True, **layer).values())
    kept += sum(lora_activations(2048, 8, shapes.values()).values())
    assert weights + 319_815_680 + stack_activations(32, kept) > 30 * GB


# Several devices

STATE = {"weights": 14 * GB, "gradients": 14 * GB, "optimizer": 56 * GB, "master": 28 * GB}


@pytest.mark.parametrize(
    ("sharding", "gb"),
    [  # 8 devices: everything; optimizer and master / 8; + gradients / 8; + weights / 8
        ("ddp", 14 + 14 + 84),
        ("zero1", 14 + 14 + 10.5),
        ("zero2", 14 + 1.75 + 10.5),
        ("zero3", 14),
        ("fsdp", 14),
    ],
)
def test_each_kind_of_sharding_splits_one_part_more(sharding: str, gb: float) -> None:
    shares = sharded(STATE, 8, sharding, bucket_view=True)
    assert sum(shares.device.values()) == gb * GB
    assert shares.host == {}


def test_ddp_keeps_gradients_a_second_time_in_its_buckets() -> None:
    assert sharded(STATE, 8, "ddp").device == STATE | {"buckets": 14 * GB}
    assert sharded(STATE, 1, "ddp").device == sharded(STATE, 1, "none").device == STATE


def test_shares_of_what_does_not_divide_are_rounded_up() -> None:
    assert sharded({"optimizer": 10}, 4, "zero1").device == {"optimizer": 3}


def test_offloading_moves_what_is_split_to_the_host() -> None:
    # ZeRO-Offload on one GPU: 2 bytes per parameter stay, 14 go (Ren et al.: 10B parameters on one 32 GB V100)
    shares = sharded(STATE, 1, "zero2", offload=True)
    assert shares.device == {"weights": 14 * GB}
    assert sum(shares.host.values()) == 98 * GB
    assert sharded(STATE, 8, "fsdp", offload=True).device == {}
    assert set(sharded(STATE, 8, "zero1", offload=True).device) == {"weights", "gradients"}


def test_two_units_are_gathered_at_a_time() -> None:
    assert gathered_bytes(1000) == 2 * 1000 * 2
    assert gathered_bytes(1000, 4, units=1) == 4000


def test_what_each_device_sends_by_hand() -> None:
    # 4 devices, 8 bytes of weights and of gradients: a ring passes 3/4 of a buffer on, twice to add and to spread
    once = {"weights": 8, "gradients": 8}
    assert bytes_sent("ddp", 4, **once) == {"all-reduce gradients": 12}
    assert sum(bytes_sent("zero1", 4, **once).values()) == 6 + 6
    assert sum(bytes_sent("zero2", 4, **once).values()) == 6 + 6
    assert sum(bytes_sent("zero3", 4, **once).values()) == 6 + 2 * 6
    assert bytes_sent("none", 1, **once) == {}
    # 3 micro-batches: ddp sends once, zero2 adds 3 times and spreads once, zero3 does everything 3 times
    many = once | {"accumulate": 3}
    assert [sum(bytes_sent(name, 4, **many).values()) for name in ("ddp", "zero1", "zero2", "fsdp")] == [12, 12, 24, 54]


def test_a_ring_really_sends_that_much() -> None:
    # n devices, a buffer of n chunks: n-1 steps in which everyone passes a chunk on and adds, then n-1 that spread them
    n = 5
    buffers = [[float(10 * device + chunk) for chunk in range(n)] for device in range(n)]
    wanted = [sum(column) for column in zip(*buffers, strict=True)]
    sent = 0
    for step in range(2 * (n - 1)):
        passed = [(device, (device - step) % n) for device in range(n)]
        values = [buffers[device][chunk] for device, chunk in passed]
        for (device, chunk), value in zip(passed, values, strict=True):
            neighbour = buffers[(device + 1) % n]
            neighbour[chunk] = neighbour[chunk] + value if step < n - 1 else value
        sent += 1
    assert all(buffer == wanted for buffer in buffers)
    assert bytes_sent("ddp", n, weights=0, gradients=n) == {"all-reduce gradients": pytest.approx(sent)}


def test_offloading_moves_gradients_down_and_weights_up() -> None:
    once = {"weights": 8, "gradients": 8}
    assert offload_traffic("zero2", 4, **once) == {"to host": 2, "to device": 2}
    assert offload_traffic("zero1", 4, accumulate=3, **once) == {"to host": 2, "to device": 2}
    assert offload_traffic("fsdp", 4, accumulate=3, **once) == {"to host": 6, "to device": 12}


# Compute


def test_training_takes_six_operations_per_parameter_and_token() -> None:
    # forward 2, gradient of the input 2, gradient of the weight 2; Llama-2-7B on 2T tokens: 6 x 7e9 x 2e12
    assert training_flops(7e9, 2e12) == 8.4e22
    assert inference_flops(7e9, 10) == 1.4e11
    assert training_flops(100, 10, recompute=True) == 8 * 1000


def test_freezing_saves_only_the_gradients_of_weights() -> None:
    # 100 parameters, 5 learn, 10 tokens: 2 x 100 x 10 forward, the same back, 2 x 5 x 10 for what learns
    assert training_flops(100, 10, trained=5) == 2000 + 2000 + 100
    # the last 20 alone: the gradient stops there: 2000 + 2 x 20 x 10 + 2 x 20 x 10, and 400 for computing them again
    assert training_flops(100, 10, trained=20, through=20) == 2000 + 400 + 400
    assert flops_parts(100, 10, trained=20, through=20, recompute=True)["again"] == 400


def test_attention_adds_twelve_layers_width_length_per_token() -> None:
    # scores and weighted sum: 2 products x 2 operations x width x length, in 3 layers: 4 x 3 x 8 x 16 forward
    assert attention_flops(3, 8, 16) == 4 * 3 * 8 * 16
    assert attention_flops(3, 8, 16, causal=True) == 2 * 3 * 8 * 16
    with_attention = training_flops(100, 10, attention=attention_flops(3, 8, 16))
    assert with_attention - training_flops(100, 10) == 10 * 12 * 3 * 8 * 16


def test_time_energy_and_price_by_hand() -> None:
    # 1e15 FLOPs at half of 1e12 FLOP/s on 4 devices: 500 s
    assert seconds(1e15, 1e12, 0.5, 4) == 500
    assert utilisation(1e15, 1e12, 500, 4) == 0.5
    assert seconds_bandwidth_bound(14e9, 2e12) == 0.007
    # 8 A100 at 400 W for 10 hours: 32 kWh, and at 5 dollars an hour each 400 dollars
    assert energy_kwh(10 * HOUR, 400, 8) == 32
    assert dollars(10 * HOUR, 5, 8) == 400


def test_generation_waits_for_memory_until_the_batch_is_large() -> None:
    # 1e9 parameters, 2e9 bytes; 1e12 bytes/s: 2 ms to read; 1e14 FLOP/s: 2e9 b / 1e14 = 0.02 ms per sequence
    device = {"rate": 1e14, "bandwidth": 1e12}
    assert decode_seconds(1e9, weights=2e9, **device) == 0.002
    assert decode_seconds(1e9, weights=2e9, cache=1e9, **device) == 0.003
    assert decode_seconds(1e9, weights=2e9, batch=200, **device) == pytest.approx(0.004)


def test_13b_on_1_4t_tokens_cost_about_a_million_dollars() -> None:
    # 6 x 13e9 x 1.4e12 = 1.092e23; / (0.4 x 312e12) = 8.75e8 s = 243,056 A100 hours; x 4 dollars = 0.97 million
    price = dollars(seconds(training_flops(13e9, 1.4e12), 312e12), 4)
    assert price == pytest.approx(243_056 * 4, rel=1e-4)


# Scaling


def test_the_loss_of_chinchilla_by_hand() -> None:
    # N = D = 1e100: only the irreducible 1.69 is left; N = 1, D = 1e100: 1.69 + 406.4
    assert chinchilla_loss(1e100, 1e100) == pytest.approx(1.69)
    assert chinchilla_loss(1, 1e100) == pytest.approx(408.09)
    # N = 1e10: 10**3.4 = 2511.886, 406.4 / 2511.886 = 0.161791; D = 1e10: 10**2.8 = 630.957, 410.7 / 630.957 = 0.650916
    assert chinchilla_loss(1e10, 1e10) == pytest.approx(1.69 + 0.161791 + 0.650916, abs=1e-6)
    assert chinchilla_tokens(70e9) == 1.4e12


@pytest.mark.parametrize("fit", ["hoffmann", "besiroglu"])
def test_nothing_beside_the_optimum_is_better(fit: str) -> None:
    best = compute_optimal(1e21, fit)
    assert 6 * best.parameters * best.tokens == pytest.approx(1e21)
    for factor in (0.9, 1.1):
        assert chinchilla_loss(best.parameters * factor, best.tokens / factor, fit) > chinchilla_loss(*best[:2], fit)


def test_only_the_refit_agrees_with_20_tokens_per_parameter() -> None:
    best = {fit: compute_optimal(training_flops(70e9, 1.4e12), fit) for fit in ("hoffmann", "besiroglu")}
    ratios = {fit: each.tokens / each.parameters for fit, each in best.items()}
    assert ratios["hoffmann"] > 80
    assert 15 < ratios["besiroglu"] < 25


def test_two_corners_of_the_triangle_give_the_third() -> None:
    assert triangle(parameters=2, tokens=3).flops == 36
    assert triangle(parameters=2, flops=36).tokens == triangle(tokens=3, flops=36).tokens == 3
    assert triangle(parameters=2, tokens=3, flops=36) == (2, 3, 36)
    assert triangle(tokens=40).parameters == triangle(parameters=2, tokens=40).parameters == 2
    # one alone: D = 20 N and C = 6 N D = 120 N**2, so C = 480 gives N = 2
    assert triangle(flops=480) == triangle(parameters=2) == (2, 40, 480)


def test_four_tokens_make_three_words() -> None:
    assert tokens_for_words(75_000) == pytest.approx(100_000)
    assert tokens_for_words(10, 3) == 30


# Mistakes

GATED = projection_shapes(hidden=48, heads=6, kv_heads=2, head_dim=8, intermediate=128, gated=True)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bytes_per_parameter("fp12"), "precision 'fp12' is not known; choose one of fp64, fp32, .*nf4"),
        (lambda: nf4_bytes(-1), "elements is a whole number from 0 up, not -1"),
        (lambda: nf4_bytes(float("nan")), "elements is a whole number"),
        (lambda: nf4_bytes(1, block=0), "block is a whole number from 1 up, not 0"),
        (lambda: nf4_bytes(1.5), "not 1.5"),
        (lambda: int4_bytes(12, 16), "use multiples of 8"),
        (lambda: optimizer_bytes("lion", 5), "choose one of adamw, adamw-foreach"),
        (lambda: optimizer_bytes("adafactor", 5), "give the shapes"),
        (lambda: optimizer_bytes("adamw", 5, [(2, 2)]), "The shapes hold 4 parameters, not 5"),
        (lambda: optimizer_temporary_bytes("adamw", 5, 6), "cannot have more parameters"),
        (lambda: training_state(7, "fp8"), "choose one of fp32, fp16, bf16, fp16-mixed"),
        (lambda: training_state(True), "parameters is a whole number"),
        (lambda: layer_activations(batch=1, seq=1, **LLAMA | {"kv_heads": 4}), "6 heads cannot share 4"),
        (lambda: layer_activations(batch=1, seq=1, **LLAMA | {"norm": "batch"}), "choose one of rms, gemma, layer"),
        (lambda: layer_activations(batch=1, seq=1, attention="flash", bytes_per_value=4, **LLAMA), "16 bits"),
        (lambda: layer_activations(batch=1, seq=1, autocast=True, bytes_per_value=4, **LLAMA), "16 bits"),
        (lambda: layer_activations(batch=1, seq=1, frozen=True, inputs_of=["w"], **LLAMA), "choose one of q, k, v, o"),
        (lambda: layer_activations(batch=-1, seq=1, **LLAMA), "batch is a whole number"),
        (lambda: layer_activations(batch=1, seq=1, dropout=1.5, **LLAMA), "a share of at most 1"),
        (lambda: korthikanti_layer(batch=1, seq=1, hidden=1, heads=1, recompute="x"), "none, selective, full"),
        (lambda: logits_bytes(1, 1, 1, phase="step"), "forward, loss, backward"),
        (lambda: kv_cache_bytes(1, 0, 1, 1), "kv_heads is a whole number from 1 up"),
        (lambda: lora_parameters(-4, GATED.values()), "rank is a whole number from 1 up, not -4"),
        (lambda: targets("everything"), "choose one of qv, all-linear"),
        (lambda: targets(["q", "gate"], gated=False), "choose one of q, k, v, o, up, down"),
        (lambda: sharded(STATE, 2, "none"), "choose ddp, zero1, zero2, zero3 or fsdp"),
        (lambda: sharded(STATE, 2, "zero9"), "choose one of none, ddp, zero1"),
        (lambda: sharded(STATE, 2, "ddp", offload=True), "leaves nothing to the host"),
        (lambda: offload_traffic("ddp", 2, weights=1, gradients=1), "leaves nothing to the host"),
        (lambda: training_flops(10, 10, trained=11), "at most the one before"),
        (lambda: training_flops(10, 10, trained=6, through=5), "at most the one before"),
        (lambda: seconds(1, 0), "rate is a number above 0"),
        (lambda: seconds(1, 1, 1.5), "utilisation is a share of at most 1"),
        (lambda: energy_kwh(1, 1, overhead=0.5), "at least 1, not 0.5"),
        (lambda: triangle(), "at least one of parameters, tokens and flops"),
        (lambda: triangle(parameters=1, tokens=1, flops=7), "need 6 FLOPs, not 7"),
        (lambda: chinchilla_loss(0, 1), "parameters is a number above 0"),
        (lambda: compute_optimal(1e20, "kaplan"), "choose one of hoffmann, besiroglu"),
        (lambda: tokens_for_words(float("inf")), "words is a number from 0 up, not inf"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        call()


def test_numbers_of_numpy_are_numbers() -> None:
    assert training_state(np.int64(10), "bf16") == training_state(np.float64(10), "bf16") == training_state(10, "bf16")
    assert type(optimizer_bytes("adamw", np.int64(10))) is int


# Against tensors that exist

BATCH, SEQ = 3, 40
TOKENS = BATCH * SEQ  # no size of a weight is 40 or 120, so a saved tensor of such a size belongs to the batch
BF16 = torch.bfloat16


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations make while they are alive; not of those that were there before."""

    def __init__(self, *before: torch.Tensor) -> None:
        super().__init__()
        self.sizes: dict[int, int] = dict.fromkeys((each.untyped_storage()._cdata for each in before), 0)
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in self.sizes:
                self.sizes[key] = tensor.untyped_storage().nbytes()
                self.now += self.sizes[key]
                weakref.finalize(tensor.untyped_storage(), self.forget, key)
        self.peak = max(self.peak, self.now)
        return result

    def forget(self, key: int) -> None:
        """A storage is gone."""
        self.now -= self.sizes.pop(key)


@contextlib.contextmanager
def saved(model: torch.nn.Module) -> Iterator[dict[int, tuple[int, torch.Tensor]]]:
    """Storages of the batch that autograd keeps meanwhile: address -> bytes (and the tensor, so that it stays)."""
    found: dict[int, tuple[int, torch.Tensor]] = {}
    held = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if {SEQ, TOKENS} & set(tensor.shape) and storage.data_ptr() not in held:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


def kept_by(model: torch.nn.Module, base: torch.nn.Module, autocast: bool) -> int:
    """Bytes that a forward pass of the layers keeps."""
    model.train()
    start = model.get_input_embeddings()(torch.randint(0, 100, (BATCH, SEQ))).detach().requires_grad_()
    with saved(model) as found, torch.autocast("cpu", BF16) if autocast else contextlib.nullcontext():
        result = base(inputs_embeds=start, use_cache=False)
    assert result.last_hidden_state.shape == (BATCH, SEQ, 48)
    return sum(size for size, _ in found.values())


def built(kind: str, layers: int, dtype: torch.dtype, attention: str = "sdpa", **more: Any) -> Any:
    """A model of a family, 48 wide, with 6 heads, an MLP of 128 and no dropout."""
    sizes = {"num_hidden_layers": layers, "hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 128}
    if kind == "gpt2":
        sizes = {"n_layer": layers, "n_embd": 48, "n_head": 6, "n_inner": 128}
        more |= {"attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0}
    elif kind not in ("gpt_neox", "phi"):
        sizes |= {"num_key_value_heads": 2, "head_dim": 8}
    tokens = {"vocab_size": 100, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, **sizes, **tokens, **more)
    config._attn_implementation = attention
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


GPT2 = LLAMA | {
    "kv_heads": 6,
    "gated": False,
    "norm": "layer",
    "fused_qkv": True,
    "rotary": False,
    "softmax_upcast": False,
}
NEOX = GPT2 | {"rotary": True, "softmax_upcast": True, "parallel": True, "output_copied": True, "activation": "gelu"}
PHI = NEOX | {"norms": 1, "fused_qkv": False, "activation": "gelu-python"}
QWEN3 = LLAMA | {"qk_norm": True}
GEMMA = LLAMA | {"norm": "gemma", "activation": "gelu"}
PHI3 = LLAMA | {"fused_qkv": True, "output_copied": True}
GELU, SPELLED, RELU = ({"activation_function": name} for name in ("gelu", "gelu_new", "relu"))


@pytest.mark.parametrize(
    ("kind", "layer", "options", "program"),
    [
        # statistics of a layer norm are fp32 on a GPU; the CPU has them in bf16, so those families run wider here
        ("llama", LLAMA, {}, "fp32"),
        ("llama", LLAMA, {}, "bf16"),
        ("llama", LLAMA, {}, "autocast"),
        ("llama", LLAMA, {}, "fp32 frozen"),
        ("llama", LLAMA, {}, "bf16 frozen"),
        ("llama", LLAMA, {}, "autocast frozen"),
        ("llama", LLAMA, {}, "fp32 eager"),
        ("llama", LLAMA, {}, "bf16 eager"),
        ("llama", LLAMA, {}, "autocast eager"),
        ("llama", LLAMA, {}, "bf16 eager frozen"),
        ("mistral", LLAMA, {}, "bf16"),
        ("qwen2", LLAMA, {}, "bf16"),
        ("qwen3", QWEN3, {}, "fp32"),
        ("qwen3", QWEN3, {}, "bf16"),
        ("qwen3", QWEN3, {}, "autocast"),
        ("qwen3", QWEN3, {}, "bf16 frozen"),
        ("gemma", GEMMA, {}, "bf16"),
        ("gemma", GEMMA, {}, "autocast"),
        ("gemma", GEMMA, {}, "bf16 frozen"),
        ("phi3", PHI3, {"original_max_position_embeddings": 4096}, "bf16"),
        ("phi3", PHI3, {"original_max_position_embeddings": 4096}, "fp32 frozen"),
        ("gpt2", GPT2 | {"activation": "gelu-python"}, SPELLED, "fp32"),
        ("gpt2", GPT2 | {"activation": "gelu"}, GELU, "autocast"),
        ("gpt2", GPT2 | {"activation": "gelu"}, GELU, "fp32 eager"),
        ("gpt2", GPT2 | {"activation": "gelu"}, GELU, "autocast eager"),
        ("gpt2", GPT2 | {"activation": "relu"}, RELU, "fp32"),
        ("gpt2", GPT2 | {"activation": "relu"}, RELU, "fp32 frozen"),
        ("gpt_neox", NEOX, {}, "fp32"),
        ("gpt_neox", NEOX, {}, "autocast"),
        ("gpt_neox", NEOX, {}, "fp32 frozen"),
        ("gpt_neox", NEOX, {}, "fp32 eager"),
        ("phi", PHI, {}, "fp32"),
        ("phi", PHI, {}, "fp32 frozen"),
    ],
)
def test_a_layer_keeps_what_autograd_keeps(kind: str, layer: dict, options: dict, program: str) -> None:
    dtype = BF16 if "bf16" in program else torch.float32
    attention, autocast, frozen = "eager" if "eager" in program else "sdpa", "autocast" in program, "frozen" in program
    measured = []
    for depth in (1, 2):
        model = built(kind, depth, dtype, attention, **options).requires_grad_(not frozen)
        measured.append(kept_by(model, model.base_model, autocast))
    width = 4 if program.startswith("fp32") else 2
    counted = layer_activations(
        batch=BATCH, seq=SEQ, attention=attention, bytes_per_value=width, autocast=autocast, frozen=frozen, **layer
    )
    assert sum(counted.values()) == measured[1] - measured[0]


@pytest.mark.parametrize(
    ("names", "adapter_bytes", "autocast"),
    [("all-linear", 4, False), ("all-linear", 2, False), ("all-linear", 4, True), ("qv", 4, False), ("qv", 2, False)],
)
def test_adapters_keep_what_autograd_keeps(names: str, adapter_bytes: int, autocast: bool) -> None:
    chosen = targets(names)
    modules = [f"{name}_proj" for name in chosen]
    measured = []
    for depth in (1, 2):
        lora = LoraConfig(r=4, target_modules=modules)
        model = get_peft_model(built("llama", depth, BF16), lora, autocast_adapter_dtype=adapter_bytes == 4)
        measured.append(kept_by(model, model.base_model.model.model, autocast))
    shared = () if copies_inputs(adapter_bytes=adapter_bytes, autocast=autocast) else chosen
    counted = layer_activations(batch=BATCH, seq=SEQ, frozen=True, inputs_of=shared, **LLAMA)
    added = lora_activations(
        TOKENS, 4, [GATED[name] for name in chosen], adapter_bytes=adapter_bytes, autocast=autocast
    )
    assert sum(counted.values()) + sum(added.values()) == measured[1] - measured[0]


@pytest.mark.parametrize("width", [2, 4])
def test_the_logits_take_what_the_loss_of_transformers_takes(width: int) -> None:
    dtype, vocab = {2: BF16, 4: torch.float32}[width], 1000
    logits = torch.randn(BATCH, SEQ, vocab, dtype=dtype, requires_grad=True)
    labels, peaks = torch.randint(0, vocab, (BATCH, SEQ)), {}
    with Live(logits) as live:
        loss = ForCausalLMLoss(logits, labels, vocab)
        peaks["loss"], live.peak = live.peak, live.now
        loss.backward()
        peaks["backward"] = live.peak
    for phase, peak in peaks.items():
        counted = sum(logits_bytes(BATCH, SEQ, vocab, width, phase=phase).values()) - logits.nbytes
        assert counted == pytest.approx(peak, rel=0.005)  # besides: labels and the loss itself


@pytest.mark.parametrize("name", ["adamw", "adamw-foreach", "sgd", "adafactor"])
@pytest.mark.parametrize("width", [2, 4])
def test_optimizers_keep_and_use_what_is_counted(name: str, width: int) -> None:
    shapes = [(300, 300), (20, 30), (50,)]
    trained = [torch.nn.Parameter(torch.randn(shape).to({2: BF16, 4: torch.float32}[width])) for shape in shapes]
    for each in trained:
        each.grad = torch.randn_like(each)
    optimizer = {
        "adamw": lambda: torch.optim.AdamW(trained, fused=True),
        "adamw-foreach": lambda: torch.optim.AdamW(trained, foreach=True),
        "sgd": lambda: torch.optim.SGD(trained, momentum=0.9),
        "adafactor": lambda: Adafactor(trained, lr=1e-3, scale_parameter=False, relative_step=False),
    }[name]()
    optimizer.step()
    parameters = sum(each.numel() for each in trained)
    states = [value for state in optimizer.state.values() for key, value in state.items() if key not in ("step", "RMS")]
    counted = optimizer_bytes(name, parameters, shapes, bytes_per_value=width)
    assert sum(value.nbytes for value in states) == counted
    steps = [state["step"] for state in optimizer.state.values() if isinstance(state.get("step"), torch.Tensor)]
    with Live(*trained, *states, *steps) as live:
        optimizer.step()
    temporary = optimizer_temporary_bytes(
        name, parameters, max(each.numel() for each in trained), bytes_per_value=width
    )
    assert live.peak == pytest.approx(temporary, rel=0.02, abs=100)


def test_quantized_tensors_take_what_bitsandbytes_takes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about kernels for processors that it would like to have
        import bitsandbytes

        for shape in ((300, 64), (1001, 7), (2, 64)):
            for double in (False, True):
                weight = bitsandbytes.nn.Params4bit(
                    torch.randn(shape), requires_grad=False, compress_statistics=double, quant_type="nf4", blocksize=64
                ).to("cpu")
                state = weight.quant_state
                tensors = [weight.data, state.absmax, state.code]
                tensors += [state.offset, state.state2.absmax, state.state2.code] if double else []
                assert sum(each.nbytes for each in tensors) == nf4_bytes(math.prod(shape), double=double)
        weight = bitsandbytes.nn.Int8Params(torch.randn(20, 30), requires_grad=False).to("cpu")
        assert weight.CB.nbytes + weight.SCB.nbytes == int8_bytes(20, 30)


def test_8_bit_adam_keeps_what_bitsandbytes_keeps() -> None:
    shapes = [(100, 100), (63, 65), (64, 64), (10,)]
    trained = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for each in trained:
        each.grad = torch.randn_like(each)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import bitsandbytes

        optimizer = bitsandbytes.optim.AdamW8bit(trained)
        optimizer.step()
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    }
    assert sum(storages.values()) == optimizer_bytes("adamw-8bit", sum(each.numel() for each in trained), shapes)
