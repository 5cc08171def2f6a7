"""Lesson 01, bytes: what do models take, and do they fit where the talks say?

The rules stand here before anything is computed:

- A claimed figure is met when the computed one lies within a tenth of it (`NEAR`), or within a quarter where the claim
  itself says "about" (`ABOUT`).
- What fits is decided by the plan of the run on that card, with the formulas' engine: one sequence of `TOKENS` tokens
  unless the claim says otherwise.
- A claim that is met in one usual setting and not in another holds with conditions, and the sentence names both.

Left out: cards of several sizes under one name, and what other programs hold on them.
"""

from __future__ import annotations

from typing import Any

from course_lib.memory.architecture import Architecture
from course_lib.memory.arithmetic import GB, GIB, accountings, kv_cache_bytes, nf4_bytes, training_state
from course_lib.memory.gpus import gpu
from course_lib.memory.models import preset, presets
from course_lib.memory.plan import Plan, plan
from course_lib.memory.published import Measured, complete
from course_lib.teach.claim_checks.counted import Counted
from course_lib.teach.claim_checks.evidence import Finding

HOLDS, CONDITIONS, CORRECTED, RUMOUR = "holds", "holds with conditions", "corrected", "rumour"
NEAR, ABOUT = 0.1, 0.25
TOKENS = 512

# GB, torch.cuda.max_memory_allocated of answering in NF4 with double quantization on an A100 with 40 GB.
# Source: litgpt, tutorials/resource-tables.md (2023).
PUBLISHED_70B_NF4 = 37.21

SOLD = {"t4": 16, "v100": 16, "a10g": 24, "rtx-3090": 24, "rtx-4090": 24, "a100-40": 40, "a100-80": 80}  # as claimed


def bytes_fp32(counted: Counted) -> Finding:
    """Bytes of real fp32 tensors for each parameter."""
    each = counted.encoder_bytes / counted.encoder_parameters
    sentence = (
        f"The {counted.encoder_parameters:,} parameters of {counted.encoder} take {counted.encoder_bytes:,} bytes as"
        f" fp32: {each:g} each, so a billion take {each:g} GB."
    )
    supports = HOLDS if _near(each, 4, 0.001) else CORRECTED
    return Finding("bytes-fp32", f"{each:g} GB per 1B", {"bytes per parameter": each}, supports, sentence)


def train_175b(counted: Counted) -> Finding:
    """Is 14,000 GB within what accountings give that count tensors? And which one gives it?"""
    totals = {name: 175.0 * sum(parts.values()) for name, parts in accountings().items()}
    tensors = [totals[name] for name in ("ZeRO", "Megatron", "MT-NLG")]
    low, high, factor = min(tensors), max(tensors), totals["the guess as a factor"]
    sentence = (
        f"At 16 to 20 bytes per parameter, 175 billion take {low:,.0f} to {high:,.0f} GB with Adam in mixed"
        f" precision. The {factor:,.0f} GB come out when an estimate of 20 bytes on top of each fp32 weight, 8 of"
        " them a guess for activations, is read as a factor of 20 on its 4 bytes."
    )
    supports = HOLDS if low <= 14_000 <= high else CORRECTED
    return Finding("train-175b", f"{low:,.0f} to {high:,.0f} GB", totals, supports, sentence)


def train_16n(counted: Counted) -> Finding:
    """Bytes of the tensors of a real step; and is there a usual way with less?"""
    measured = counted.bytes_per_parameter
    million = 10**6
    less = {
        "8-bit Adam": 8 + (sum(training_state(million, "bf16", "adamw-8bit").values()) / million - 4),
        "everything in 16 bits": sum(training_state(million, "bf16").values()) / million,
    }
    met = _near(measured, 16, 0.01)
    supports = CORRECTED if not met else CONDITIONS if min(less.values()) < 16 else HOLDS
    others = " and ".join(f"{size:.3g} for {name}" for name, size in less.items())
    sentence = (
        f"The tensors of a real step take {measured:.2f} bytes per parameter. It is the floor for Adam with fp32"
        f" states and a master copy, before activations; it is {others}."
    )
    return Finding("train-16n", f"{measured:.2f} B/param", {"measured": measured, **less}, supports, sentence)


def llama7b_112(counted: Counted) -> Finding:
    """16 bytes for each of its parameters, and the plans of two precisions on an A100 with 80 GB."""
    static = 16 * preset("llama-2-7b").parameters / GB
    mixed = _plan("llama-2-7b", "a100-80", method="full", precision="bf16-mixed")
    pure = _plan("llama-2-7b", "a100-80", method="full", precision="bf16")
    met = _near(static, 112) and not mixed.fits
    supports = CORRECTED if not met else CONDITIONS if pure.fits else HOLDS
    sentence = (
        f"16 bytes for each of {preset('llama-2-7b').parameters:,} parameters are {static:.1f} GB; a step in mixed"
        f" precision peaks at {mixed.peak_bytes / GB:.0f} GB and does not fit. Held in bf16 alone it peaks at"
        f" {pure.peak_bytes / GB:.0f} GB and {'fits' if pure.fits else 'does not fit either'}."
    )
    values = {"static": static, "mixed": mixed.peak_bytes / GB, "bf16": pure.peak_bytes / GB}
    return Finding("llama7b-112", f"{static:.1f} GB", values, supports, sentence)


def gpu_catalog(counted: Counted) -> Finding:
    """The table of devices against the sizes that are claimed, and what a T4 reports."""
    sold = {name: gpu(name).memory / GIB for name in SOLD}
    usable = gpu("t4").usable / GIB
    wrong = [name for name, size in SOLD.items() if round(sold[name]) != size]
    least = min(SOLD, key=lambda name: gpu(name).usable / gpu(name).memory)
    supports = HOLDS if not wrong and _near(usable, 14.56, 0.005) else CORRECTED
    sentence = (
        f"The table of devices has {'the same sizes' if not wrong else 'other sizes for ' + ', '.join(wrong)};"
        f" torch reports {usable:.2f} GiB of a T4. The largest part is missing on the {least}:"
        f" {gpu(least).usable / GIB:.2f} of {sold[least]:.0f} GiB."
    )
    return Finding("gpu-catalog", f"T4: {usable:.2f} GiB usable", {**sold, "usable": usable}, supports, sentence)


def serve_2x(counted: Counted) -> Finding:
    """Peak bytes per parameter of a 7B model that answers: a single short prompt, and sixteen long ones."""
    short = _plan("llama-2-7b", "a100-80", method="inference")
    busy = _plan("llama-2-7b", "a100-80", method="inference", micro_batch=16, seq_len=4095, new_tokens=1)
    each = {name: p.peak_bytes / p.total_params for name, p in (("short", short), ("busy", busy))}
    met = {name: _near(size, 2) for name, size in each.items()}
    supports = HOLDS if all(met.values()) else CONDITIONS if met["short"] else CORRECTED
    sentence = (
        f"For one prompt of {TOKENS} tokens Llama-2-7B takes {each['short']:.2f} bytes per parameter in 16 bits;"
        f" for sixteen of 4096 tokens {each['busy']:.2f}, since the cache of keys and values comes on top."
    )
    return Finding("serve-2x", f"{each['short']:.2f} B/param", each, supports, sentence)


def kv_13b(counted: Counted) -> Finding:
    """Keys and values of one token of Llama-2-13B, and of models of its size that share heads."""
    size = _cache("llama-2-13b") / 1e6
    similar = {name: _cache(name) / 1e6 for name, entry in presets().items() if 7e9 <= entry.parameters <= 35e9}
    least = min(similar, key=lambda name: similar[name])
    supports = CORRECTED if not _near(size, 1, ABOUT) else CONDITIONS if similar[least] < size / 2 else HOLDS
    sentence = (
        f"Keys and values of one token take {size:.2f} MB in Llama-2-13B, whose 40 query heads have 40 key-value"
        f" heads. Among the presets of 7 to 35 billion parameters {least} takes the least, {similar[least]:.3f} MB."
    )
    values = {"llama-2-13b": size, least: similar[least]}
    return Finding("kv-13b", f"{size:.2f} MB", values, supports, sentence)


def int4_70b(counted: Counted) -> Finding:
    """Weights in NF4, a cache, and what a card with 40 GB has for tensors; next to the published peak."""
    free, model = gpu("a100-40").free / GB, preset("llama-2-70b").architecture
    weights = quantized_bytes(model) / GB
    token = _cache("llama-2-70b") / GB
    one, eight = weights + 4096 * token, weights + 8 * 4096 * token
    met = one <= free and free >= PUBLISHED_70B_NF4
    supports = CORRECTED if not met else HOLDS if eight <= free else CONDITIONS
    sentence = (
        f"Llama-2-70B in NF4 with double quantization takes {weights:.1f} GB of the {free:.1f} that a 40 GB A100"
        f" has for tensors (published peak: {PUBLISHED_70B_NF4} GB), so about {(free - weights) / token:,.0f}"
        f" tokens of cache fit beside it; eight full conversations ({eight:.1f} GB)"
        f" {'fit' if eight <= free else 'do not'}."
    )
    values = {"weights": weights, "one": one, "eight": eight, "free": free}
    return Finding("int4-70b", f"{weights:.1f} GB + cache", values, supports, sentence)


def colab_7b(counted: Counted) -> Finding:
    """The largest of the common sizes that a T4 takes in 16 bits, and the largest in 4 bits."""
    sizes = ("llama-2-7b", "llama-2-13b", "codellama-34b", "llama-2-70b")
    free = gpu("t4").free
    half = {name: 2 * preset(name).parameters for name in sizes}
    four = {name: quantized_bytes(preset(name).architecture) for name in sizes}
    largest = [[name for name in sizes if held[name] + TOKENS * _cache(name) <= free][-1:] for held in (half, four)]
    supports = {0: CORRECTED, 1: CONDITIONS, 2: HOLDS}[sum(found == ["llama-2-7b"] for found in largest)]
    trained = _plan("llama-2-7b", "t4", method="qlora", precision="fp16", checkpointing=True)
    sentence = (
        f"In 16 bits Llama-2-7B takes {half['llama-2-7b'] / GIB:.1f} of a T4's {gpu('t4').usable / GIB:.2f} GiB,"
        f" and 13B does not fit. In NF4 they take {four['llama-2-7b'] / GIB:.1f} and"
        f" {four['llama-2-13b'] / GIB:.1f} GiB, so that {(largest[1] or ['none'])[0]} is the largest that answers;"
        f" a QLoRA of the 7B model holds {trained.reserved_bytes / GIB:.1f} GiB and"
        f" {'fits' if trained.fits else 'does not fit'}."
    )
    figure = f"fp16 {half['llama-2-7b'] / GB:.1f} GB; NF4 {four['llama-2-7b'] / GB:.1f} GB"
    values = {name: size / GB for name, size in four.items()}
    values |= {"free": free / GB, "qlora": trained.reserved_bytes / GB}
    return Finding("colab-7b", figure, values, supports, sentence)


def multi_gpu(counted: Counted) -> Finding:
    """Six cards of three sizes: all split with ZeRO-3, the same with the host's help, and LoRA on one of them."""
    agrees, told = [], []
    values: dict[str, float] = {}
    for card in ("v100", "a10g", "a100-40"):
        options: dict[str, Any] = {"method": "full", "precision": "bf16-mixed", "checkpointing": True}
        options |= {"devices": 6, "sharding": "zero3"}
        six, helped = _plan("llama-2-7b", card, **options), _plan("llama-2-7b", card, **options, offload=True)
        lora = _plan("llama-2-7b", card, method="lora", checkpointing=True)
        agrees.append(not six.fits and helped.fits and lora.fits)
        values |= {f"six {card}": six.peak_bytes / GB, f"LoRA on one {card}": lora.peak_bytes / GB}
        told.append(
            f"{card} {six.peak_bytes / GB:.1f} GB each ({_fits(six)}), with the host's help"
            f" {helped.peak_bytes / GB:.1f} ({_fits(helped)}), LoRA on one {lora.peak_bytes / GB:.1f} ({_fits(lora)})"
        )
    supports = HOLDS if all(agrees) else CONDITIONS if any(agrees) else CORRECTED
    sentence = "Llama-2-7B over six cards with ZeRO-3 and checkpointing: " + "; ".join(told) + "."
    return Finding("multi-gpu", f"six V100: {values['six v100']:.1f} GB each", values, supports, sentence)


def embedding_1gb(counted: Counted) -> Finding:
    """Bytes of the real encoder; a gigabyte is met within a factor of two."""
    size = counted.encoder_bytes / GB
    supports = HOLDS if 0.5 <= size <= 2 else CORRECTED
    sentence = (
        f"The weights of {counted.encoder} take {size:.3f} GB in fp32. A gigabyte of fp32 would hold"
        f" {1 / size:.1f} times as many parameters; the libraries around it, not the model, fill the rest of a process."
    )
    return Finding("embedding-1gb", f"{size:.2f} GB", {"weights": size}, supports, sentence)


def lora_14gb(counted: Counted) -> Finding:
    """The plan of a published LoRA on Llama-2-7B without checkpointing, next to what was measured."""
    row = published_lora()
    run = _plan(row.model, row.gpu, recipe=row.recipe)
    weights, peak, measured = 2 * run.total_params / GB, run.peak_bytes / GB, (row.bytes or 0) / GB
    supports = HOLDS if _near(peak, 14) and _near(measured, 14) else CORRECTED
    sentence = (
        f"{weights:.1f} GB are the weights in 16 bits before the first token. With one sequence of 1304"
        f" tokens and no checkpointing the plan peaks at {peak:.1f} GB; {measured:.1f} GB were measured and published."
    )
    values = {"weights": weights, "peak": peak, "published": measured}
    return Finding("lora-14gb", f"{peak:.1f} GB", values, supports, sentence)


def published_lora() -> Measured:
    """The published run that the claim about LoRA is held against."""
    (row,) = [row for row in complete() if row.title == "llama-2-7b lora r8 1x1304"]
    return row


def quantized_bytes(model: Architecture, *, double: bool = True) -> int:
    """Bytes of a model whose blocks' linear layers are in NF4 and everything else in 16 bits.

    >>> round(quantized_bytes(preset("llama-2-7b").architecture) / 1e9, 2)
    3.87
    """
    sizes = [linear.inputs * linear.outputs for linear in model.linears]
    inside = model.layers * sum(nf4_bytes(size, double=double) for size in sizes)
    return inside + 2 * (model.parameters - model.layers * sum(sizes))


def _plan(model: str, card: str, **options: Any) -> Plan:
    settings = options if "recipe" in options else {"seq_len": TOKENS} | options
    return plan(model, gpu=card, engine="formulas", advise=False, **settings)


def _cache(name: str) -> int:
    """Bytes of the keys and values of one token in 16 bits."""
    model = preset(name).architecture
    return kv_cache_bytes(model.layers, model.kv_heads, model.head_dim, tokens=1)


def _fits(run: Plan) -> str:
    return "fits" if run.fits else "does not fit"


def _near(found: float, claimed: float, tolerance: float = NEAR) -> bool:
    return abs(found - claimed) <= tolerance * claimed
