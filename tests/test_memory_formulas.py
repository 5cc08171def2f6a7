"""The engine of formulas: numbers derived by hand, the trace's answers, and what others measured."""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from course_lib.errors import CourseError
from course_lib.memory import formulas, published, traced
from course_lib.memory.estimate import Estimate
from course_lib.memory.formulas.block import Block
from course_lib.memory.formulas.kernels import kernel
from course_lib.memory.formulas.state import State
from course_lib.memory.formulas.widths import Widths
from course_lib.memory.gpus import GPU, gpu
from course_lib.memory.models import preset, presets
from course_lib.memory.recipe import Recipe
from course_lib.memory.subject import subject

A100 = gpu("a100-80")
# 2 blocks, h = 8 wide, 2 heads of 4, MLP 16 wide, 10 words. A block: 4 * 8 * 8 + 3 * 8 * 16 = 640 in matrices and
# 2 * 8 in norms; outside 2 * 10 * 8 for embedding and head, 8 for the last norm. In all 2 * 656 + 168 = 1480.
TINY = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 10,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def estimate(model: Any, card: GPU = A100, **settings: Any) -> Estimate:
    return formulas.estimate(subject(model), Recipe(**settings), gpu=card)


def block(model: str, capability: tuple[int, int] | None = (8, 0), **settings: Any) -> Block:
    return Block(preset(model).architecture, Recipe(**settings), capability)


def peak(found: Estimate) -> int:
    return max(phase.bytes for phase in found.phases.values())


# -- state -------------------------------------------------------------------------------------------------------------


def test_everything_in_16_bits_takes_eight_bytes_per_parameter_when_the_optimizer_steps():
    step = estimate(TINY).phases["step"].parts
    assert step["weights"] == step["gradients"] == 2 * 1480
    tensors = 2 * (7 + 2) + 3  # seven matrices and two norms in each block; embedding, norm, head
    assert step["optimizer"] == 4 * 1480 + 4 * tensors  # two moments, and a count of steps for every tensor


def test_mixed_precision_takes_sixteen():
    step = estimate(TINY, precision="bf16-mixed", optimizer="adamw-foreach").phases["step"].parts
    assert step["weights"] + step["gradients"] + step["optimizer"] == 16 * 1480
    assert step["temporary"] == 4 * 1480  # foreach holds the roots of all second moments at once


def test_lora_learns_rank_times_inputs_plus_outputs_of_every_layer():
    # q, k, v, o: 8 + 8; gate, up: 8 + 16; down: 16 + 8. Together 4 * 16 + 3 * 24 = 136 per block and rank.
    found = estimate(TINY, method="lora", rank=2)
    assert found.trainable_params == 2 * 2 * 136
    assert found.total_params == 1480 + found.trainable_params
    assert found.phases["load"].parts == {"weights": 2 * 1480, "adapters": 4 * found.trainable_params}


def test_nf4_quantizes_the_matrices_of_the_blocks_and_nothing_else():
    def matrix(numbers: int) -> int:  # codes, one fp32 scale for 64 numbers, a table of 16 fp32
        return numbers // 2 + 4 * -(-numbers // 64) + 64

    four_bit = 4 * matrix(64) + 3 * matrix(128)
    found = estimate(TINY, method="qlora", double_quantization=False)
    assert found.phases["load"].parts["weights"] == 2 * (four_bit + 2 * 16) + 2 * 168


@pytest.mark.parametrize("name", presets())
def test_a_fully_trained_model_learns_all_its_parameters(name):
    found = estimate(name, seq_len=64)
    assert found.trainable_params == found.total_params
    if presets()[name].causal:
        assert found.total_params == presets()[name].parameters


def test_the_last_blocks_alone_have_gradients():
    whole, last = (State(block("llama-2-7b", method=method, blocks=2)) for method in ("full", "last-n"))
    assert last.gradients == 2 * whole.block_gradients == 2 * 2 * preset("llama-2-7b").architecture.block_parameters


# -- activations -------------------------------------------------------------------------------------------------------


def test_a_block_of_llama_keeps_what_its_backward_pass_asks_for():
    # In numbers per token, h = 4096, i = 11008. In fp32: the inputs of both norms. In 16 bits: what the norms multiply
    # by their weights (2 h), the inputs of attention and MLP (2 h), q, k, v (3 h), attention's output (h), and gate,
    # its activation, up, their product (4 i). Per token also one fp32 of each norm, and of each of the 32 heads.
    per_token = 4 * 2 * 4096 + 2 * (8 * 4096 + 4 * 11008) + 4 * (2 + 32)
    assert block("llama-2-7b", seq_len=100).kept_bytes == 100 * per_token


def test_frozen_layers_keep_no_inputs_and_fp32_adapters_keep_copies_of_them():
    frozen = block("llama-2-7b", method="prompt", prompt_tokens=1, seq_len=99).kept_bytes
    trained = block("llama-2-7b", seq_len=100).kept_bytes
    # Without inputs of linear layers: attention, MLP, and the product; and the norms' weights do not learn.
    assert trained - frozen == 100 * 2 * (2 * 4096 + 11008 + 2 * 4096)
    adapted = block("llama-2-7b", method="lora", targets="qv", rank=8, autocast=False, seq_len=100).kept_bytes
    assert adapted - frozen == 100 * 4 * 2 * (4096 + 8)  # for q and for v: the input and 8 numbers, in fp32


def test_a_checkpointed_block_keeps_its_input():
    short, long = (estimate("llama-2-7b", checkpointing=True, seq_len=length) for length in (1000, 2000))
    grown = long.phases["loss"].parts["activations"] - short.phases["loss"].parts["activations"]
    # 32 inputs in 16 bits; the last norm: an fp32 copy, its product, its result; two tables of 128; two numbers.
    assert grown == 1000 * (32 * 2 * 4096 + (4 + 2 + 2) * 4096 + 2 * 2 * 128 + 16)


def test_the_loss_needs_ten_bytes_per_token_and_word_and_its_gradient_twelve():
    found = estimate("gpt2", method="lora", micro_batch=8, seq_len=1000)
    assert found.phases["loss"].parts["logits"] == 10 * 8 * 1000 * 50257
    assert found.phases["backward"].parts["temporary"] == 12 * 8 * 1000 * 50257


def test_a_chunked_loss_needs_them_for_one_chunk():
    found = estimate("gpt2", micro_batch=8, seq_len=1000, chunked_loss=500)
    assert found.phases["loss"].parts["logits"] == 10 * 500 * 50257


def test_a_tied_matrix_has_three_gradients_for_a_moment():
    # At the end of the backward pass: the head's, the embedding's, and their sum.
    backward = estimate("gpt2", seq_len=8).phases["backward"].parts
    matrix = 2 * 50257 * 768
    assert backward["gradients"] == 2 * preset("gpt2").parameters
    assert 2 * matrix <= backward["temporary"] < 2 * matrix + 10**5


def test_eager_attention_grows_with_the_square_of_the_length():
    def scores(length: int) -> int:
        kept = block("llama-2-7b", attention="eager", seq_len=length).kept
        return kept["scores"] + kept["probabilities"]

    assert scores(1000) == 1000**2 * 32 * (4 + 2)
    assert scores(2000) == 4 * scores(1000)


@pytest.mark.parametrize(
    ("model", "card", "precision", "expected"),
    [
        ("llama-3.2-1b", "a100-80", "bf16", "fused"),
        ("llama-3.2-1b", "t4", "fp16", "plain"),  # shared keys, and no FlashAttention
        ("llama-3.2-1b", "a100-80", "fp32", "plain"),  # FlashAttention wants 16 bits
        ("llama-2-7b", "t4", "fp16", "fused"),  # no shared keys: the memory-efficient kernel
        ("gemma-2b", "a100-80", "bf16", "fused"),
        ("gemma-2b", "a10g", "bf16", "plain"),  # heads 256 wide
        ("gemma-2-2b", "a100-80", "bf16", "eager"),  # squashed scores
        ("falcon-7b", "a100-80", "bf16", "plain"),  # does not say that its keys are shared
    ],
)
def test_the_card_decides_whether_scores_are_kept(model, card, precision, expected):
    assert kernel(preset(model).architecture, Recipe(precision=precision), gpu(card).capability) == expected


def test_autocast_makes_layer_norms_of_a_16_bit_model_give_32_bits():
    recipe = Recipe(method="qlora")
    pythia, llama = (Widths.of(preset(name).architecture, recipe) for name in ("pythia-1.4b", "llama-2-7b"))
    assert (pythia.normed, pythia.inner, pythia.stream) == (4, 4, 4)
    assert (llama.normed, llama.inner, llama.stream) == (2, 2, 2)


def test_generation_keeps_keys_and_values_of_every_token():
    forward = estimate("llama-2-7b", method="inference", seq_len=1000, new_tokens=1001).phases["forward"].parts
    per_layer = 2 * 2 * 4096 * 2000  # keys and values of the 2000 tokens before the last one, in 16 bits
    assert forward["kv_cache"] == 33 * per_layer  # of 32 layers, and one copied to grow


# -- several devices ---------------------------------------------------------------------------------------------------


def test_sharded_state_is_what_the_closed_forms_say():
    # arithmetic.sharded: 4 devices hold a quarter of the optimizer, of the gradients, of the weights.
    whole = State(block("pythia-1.4b"))
    for sharding, split in (("zero1", 1), ("zero2", 2), ("zero3", 3)):
        step = estimate("pythia-1.4b", devices=4, sharding=sharding).phases["step"].parts
        shares = [4 if split >= n else 1 for n in (1, 2, 3)]
        assert step["optimizer"] == pytest.approx(whole.optimizer / shares[0], abs=1)
        assert step["gradients"] == pytest.approx(whole.gradients / shares[1], abs=1)
        assert step["weights"] == pytest.approx(whole.weights / shares[2], abs=1)


def test_split_weights_are_gathered_for_two_blocks_at_a_time():
    whole, one = estimate("pythia-1.4b", checkpointing=True), Recipe(checkpointing=True, devices=8, sharding="fsdp")
    shared = formulas.estimate(subject("pythia-1.4b"), one, gpu=A100)
    state = State(block("pythia-1.4b"))
    gathered = state.outside_weights + 2 * state.block_weights
    assert shared.phases["forward"].parts["temporary"] == gathered
    assert shared.phases["forward"].parts["activations"] == whole.phases["forward"].parts["activations"]


def test_offloaded_optimizers_leave_the_device():
    step = estimate("gpt2", sharding="zero2", offload=True).phases["step"].parts
    assert (step["gradients"], step["optimizer"]) == (0, 0)


# -- what the allocator holds ------------------------------------------------------------------------------------------


def test_segments_are_the_peak_and_an_allowance():
    moments = {"backward": {"gradients": 600, "activations": 1600, "temporary": 400}, "step": {"gradients": 1200}}
    extra = formulas.allowance(moments) - formulas.SEGMENTS
    assert extra == 1200 / 6 + 1600 / 16 + 400 / 4
    assert formulas.allowance(moments, "varying") - formulas.SEGMENTS == 1200 / 4 + 400


def test_near_the_limit_a_run_gives_its_cache_back_and_beyond_it_does_not_fit():
    found = estimate("gpt2", micro_batch=8)
    top, held = peak(found), found.segments
    for room, fits in ((held, True), ((top + held) // 2 + 1, True), ((top + held) // 2 - 2, False), (top, False)):
        small = estimate("gpt2", replace(A100, usable=room + A100.context), micro_batch=8)
        assert small.fits is fits
        assert small.segments == (min(held, room) if fits else held)


def test_batches_of_many_lengths_hold_more():
    fixed, varying = (estimate("gpt2", method="lora", lengths=lengths) for lengths in ("fixed", "varying"))
    assert peak(fixed) == peak(varying)
    assert fixed.segments < varying.segments


def test_a_processor_has_no_allocator_and_no_workspace():
    cpu = GPU(name="cpu", title="main memory", memory=2**34, usable=2**34, context=0)
    found = estimate("distilbert", cpu, method="last-n", precision="fp32", seq_len=128)
    assert found.segments == peak(found)
    assert all("workspace" not in phase.parts for phase in found.phases.values())


# -- other programs ----------------------------------------------------------------------------------------------------


def test_litgpt_keeps_14_and_a_half_values_of_the_width_per_token_of_phi():
    # 2 bytes each, h wide: the norm's input, all of q, k, v (3), q and k turned (2), attention's output (1), the MLP's
    # inner tensor (4), adapters of q and v spread into zeros (2), the dropped input and its mask (1.5). In all 14.5.
    settings: dict[str, Any] = {"method": "lora", "targets": "qv", "lora_dropout": 0.05, "adapter_precision": "same"}
    one, two = (
        estimate("phi-1.5", gpu("a100-40"), program="litgpt-2023", seq_len=1044, micro_batch=n, **settings)
        for n in (1, 2)
    )
    slope = (one_more := peak(two) - peak(one)) / 1044
    assert slope == pytest.approx(24 * 14.5 * 2 * 2048 + 8 * 51200, rel=0.03)
    assert one_more == pytest.approx(1.96e9, rel=0.03)  # measured: (10.68 - 4.82) / 3 GB per sequence


def test_litgpt_is_asked_for_nothing_that_it_did_not_have():
    for settings in ({"checkpointing": True}, {"method": "inference"}, {"targets": ("router",), "method": "lora"}):
        with pytest.raises(CourseError, match="litgpt-2024"):
            estimate("llama-2-7b", program="litgpt-2024", **settings)


def test_published_measurements_are_met():
    errors = published.errors("formulas")
    summary = published.Summary.of(errors)
    assert summary.rows >= 40
    assert summary.median < 0.01
    assert summary.worst < 0.10, summary.worst_row


# -- the other engine --------------------------------------------------------------------------------------------------

GRID = [
    (model, {**settings, "seq_len": 192, "micro_batch": 2})
    for model in ("smollm2-135m", "gpt2", "pythia-160m", "distilbert")
    for settings in (
        {"method": "full"},
        {"method": "full", "precision": "bf16-mixed", "checkpointing": True},
        {"method": "lora", "checkpointing": True},
        {"method": "qlora", "lora_dropout": 0.1},
    )
]


def test_the_trace_agrees():
    differences = {}
    for model, settings in GRID:
        what, recipe = subject(model), Recipe(**settings)
        ours, theirs = (engine.estimate(what, recipe, gpu=A100) for engine in (formulas, traced))
        assert (ours.total_params, ours.trainable_params) == (theirs.total_params, theirs.trainable_params)
        differences[model, settings["method"]] = abs(peak(ours) / peak(theirs) - 1)
        assert ours.segments == pytest.approx(theirs.segments, rel=0.25)
    assert statistics.median(differences.values()) < 0.01, differences
    assert max(differences.values()) < 0.06, differences


def test_sliders_do_not_wait_for_torch():
    code = (
        "import sys; from course_lib.memory.plan import plan;"
        "plan('llama-2-7b', engine='formulas', method='qlora', precision='fp16');"
        "plan('phi-2', gpu='a100-40', engine='formulas', method='lora', program='litgpt-2023');"
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
