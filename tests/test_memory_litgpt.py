"""litgpt's program on fake tensors: what a block keeps, derived by hand; what it counts; what was measured of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from course_lib.errors import CourseError
from course_lib.memory.models import model_config
from course_lib.memory.recipe import Recipe
from course_lib.memory.trace import OUTSIDE, Log, peaks, trace
from course_lib.memory.trace.litgpt import build
from course_lib.memory.trace.litgpt_layers import FourBit
from course_lib.memory.traced import steady

pytestmark = pytest.mark.usefixtures("one_thread")

A100, A10G = (8, 0), (8, 6)
LENGTH = 256  # tokens of most traces


def recipe(year: int, **changes: Any) -> Recipe:
    """A run as litgpt's finetune/lora.py does it; adapters are held like the model."""
    settings = {"method": "lora", "targets": "qv", "lora_dropout": 0.05, "seq_len": LENGTH, "adapter_precision": "same"}
    return Recipe(**{"program": f"litgpt-{year}", "optimizer": "adamw-foreach", **settings, **changes})


def shallow(name: str, layers: int) -> Any:
    config = model_config(name)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    return config


def alive_after(log: Log, phase: str, part: str) -> int:
    """Bytes of a part that are alive when a phase ends."""
    end = max(segment.end for segment in log.segments if segment.phase == phase)
    alive: set[int] = set()
    for event in log.events[:end]:
        (alive.add if event >= 0 else alive.discard)(max(event, ~event))
    return sum(log.sizes[number] for number in alive if log.parts[number] == part)


def kept(name: str, run: Recipe, capability: tuple[int, int] = A100) -> float:
    """Bytes per token that one more block keeps for the backward pass."""
    few, more = (trace(shallow(name, n), run, whole=True, capability=capability) for n in (3, 4))
    per_block = alive_after(more, "loss", "activations") - alive_after(few, "loss", "activations")
    return per_block / run.micro_batch / run.seq_len


# -- what a block keeps ------------------------------------------------------------------------------------------------
# In bytes per token, for h = hidden and i = the MLP's width, at 2 bytes to a number. Common to all of them:
#   dropout before A     2h its output + h its mask                                                  =  3h
#   queries and keys     2h + 2h after the rotation                                                  =  4h
#   values               a view of all three (6h), or their own copy where keys are shared (2h)
#   attention's output   2h
#   what B gives         2·(outputs of queries and values), the source of the indexed copy
# Left out below: the rank's few numbers and one float32 per head and norm, which is why 1% is allowed.


def test_a_block_of_phi_keeps_29_bytes_per_token_and_width() -> None:
    # its input for the one LayerNorm 2h, common 3h + 4h + 6h + 2h, B 4h, the MLP's inner values 2i with i = 4h
    # = (2 + 3 + 4 + 6 + 2 + 4 + 8) h = 29 h; published runs grew by 14.5 times 2 bytes per token and width
    assert kept("phi-1.5", recipe(2023)) == pytest.approx(29 * 2048, rel=0.01)


def test_a_block_of_llama_keeps_27_bytes_per_width_and_6_per_inner_width() -> None:
    # two float32 copies of norms 8h, common 15h, B 4h; gate, up and their product's other half 3·2i
    assert kept("llama-2-7b", recipe(2023)) == pytest.approx(27 * 4096 + 6 * 11008, rel=0.01)


def test_shared_keys_and_values_are_copied_for_every_query() -> None:
    # h = 4096, i = 14336, values 1024 wide: norms 8h, dropout 3h, rotated 4h, values copied 2h, output 2h,
    # B 2·(4096 + 1024) = 2.5h, MLP 6i
    expected = (8 + 3 + 4 + 2 + 2 + 2.5) * 4096 + 6 * 14336
    assert kept("llama-3-8b", recipe(2024)) == pytest.approx(expected, rel=0.01)


def test_four_bit_layers_keep_their_inputs_and_joined_heads_are_one_more() -> None:
    # besides 27h + 6i: both norms' outputs 4h, heads joined by a copy 2h, the product before the last matrix 2i
    run = recipe(2023, method="qlora", optimizer="paged-adamw")
    assert kept("llama-2-7b", run) == pytest.approx(33 * 4096 + 8 * 11008, rel=0.01)


def test_heads_that_flash_does_not_take_are_joined_without_a_copy() -> None:
    # Gemma's heads are 256 wide: flash on an A100, the memory-efficient kernel on an A10G. The copy is 2h = 2·4096.
    run = recipe(2024, method="qlora", optimizer="paged-adamw")
    assert kept("gemma-7b", run, A100) - kept("gemma-7b", run, A10G) == 2 * 4096


def test_adapting_all_three_needs_no_indexed_copy() -> None:
    # B's outputs (2·2h for queries and values) are kept for two of three and not for all
    two, three = (recipe(2024, targets=targets) for targets in (("query", "value"), ("query", "key", "value")))
    assert kept("llama-2-7b", two) - kept("llama-2-7b", three) == pytest.approx(4 * 4096, rel=0.01)


def test_a_scale_keeps_all_that_it_scales() -> None:
    # LLaMA-Adapter v2 against v1, per token: outputs of all linear layers (3h + h + i + i + h) at 2 bytes, and the
    # float32 input of the two norms' weights 8h: 10h + 4i + 8h
    first, second = (recipe(2023, program=f"litgpt-2023-adapter{v}") for v in ("", "-v2"))
    expected = 18 * 4096 + 4 * 11008
    assert kept("llama-2-7b", second) - kept("llama-2-7b", first) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("batch", [1, 4])
def test_logits_take_eight_bytes_per_token_and_word_when_the_backward_pass_begins(batch: int) -> None:
    run = recipe(2023, micro_batch=batch)
    log = trace(shallow("llama-2-7b", 4), run)
    expected = 8 * batch * (LENGTH - 1) * 32000  # the last position has nothing to predict: only its logits are there
    assert alive_after(log, "loss", "logits") == pytest.approx(expected + 4 * batch * 32000, rel=0.001)


def test_frozen_weights_are_kept_once_more_where_autocast_narrows_them() -> None:
    # autocast remembers 16-bit copies of what learns only; each product keeps its own copy of a frozen float32 matrix:
    # 2 bytes for each of the block's 12 h² weights, and for the head's as often as it runs
    run = recipe(2023, precision="bf16-mixed")
    few, more = (trace(shallow("stablelm-base-alpha-3b", n), run, whole=True) for n in (3, 4))
    block = alive_after(more, "loss", "activations") - alive_after(few, "loss", "activations")
    tokens = LENGTH * 4096 * 60  # what tokens keep is an order of magnitude less
    assert 2 * 12 * 4096**2 < block < 2 * 12 * 4096**2 + tokens
    assert alive_after(few, "loss", "logits") > 2 * LENGTH // 128 * 50688 * 4096


# -- what is left from step to step ------------------------------------------------------------------------------------


def test_what_a_long_batch_left_meets_the_next_long_batch_only_in_2024() -> None:
    config = shallow("llama-2-7b", 8)
    loss = {}
    for year in (2023, 2024):
        log = trace(config, recipe(year, method="qlora", optimizer="paged-adamw"))
        first, alive = peaks(log)
        again, _ = peaks(steady(log), alive)
        loss[year] = max(first["loss"].bytes, again["loss"].bytes)
    # inputs of the four-bit layers of 8 blocks (two norms' outputs, joined heads, the MLP's product); and the float32
    # logits, because the peak is where the head is unpacked, before there are new ones
    left = 8 * (6 * 4096 + 2 * 11008) + 4 * 32000
    assert loss[2024] - loss[2023] == pytest.approx(LENGTH * left, rel=0.001)


@pytest.mark.parametrize("year", [2023, 2024])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_step_leaves_only_weights_and_optimizer_state(method: str, accumulate: int, year: int) -> None:
    log = trace(shallow("tinyllama-1.1b", 6), recipe(year, method=method, accumulate=accumulate))
    _, alive = peaks(log)
    assert {log.parts[number] for number in alive} <= {"weights", "adapters", "optimizer"}


# -- the log -----------------------------------------------------------------------------------------------------------


def by_place(log: Log) -> dict[tuple[str, str, int], list[tuple[bool, int]]]:
    return {
        (s.phase, s.name, s.block): sorted((e >= 0, log.sizes[max(e, ~e)]) for e in log.events[s.start : s.end])
        for s in log.segments
    }


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("phi-1.5", {"program": "litgpt-2023"}),
        ("llama-2-7b", {"program": "litgpt-2023", "method": "qlora", "accumulate": 4}),
        ("falcon-7b", {"targets": "all-linear"}),
        ("gemma-2-2b", {"targets": "all-linear", "method": "qlora"}),
        ("tinyllama-1.1b", {"method": "full", "accumulate": 8}),
        ("stablelm-base-alpha-3b", {"precision": "bf16-mixed"}),
        ("llama-2-7b", {"program": "litgpt-2023-adapter-v2"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_few_blocks_extended_are_the_whole_model(name: str, changes: dict[str, Any]) -> None:
    config, run = shallow(name, 10), recipe(2024, micro_batch=2, **changes)
    short, whole = trace(config, run), trace(config, run, whole=True)
    assert by_place(short) == by_place(whole)
    assert short.parameters == whole.parameters
    assert peaks(short)[0] == peaks(whole)[0]


# -- parameters --------------------------------------------------------------------------------------------------------

MODELS = ("phi-2", "phi-3-mini-4k", "llama-3.2-1b", "stablelm-base-alpha-3b", "mistral-7b", "falcon-7b", "falcon-40b")


@pytest.mark.parametrize("name", [*MODELS, "gemma-2b", "gemma-2-2b", "qwen2.5-0.5b"])
def test_it_has_the_parameters_of_transformers_model_and_a_head_of_its_own(name: str) -> None:
    config = shallow(name, 4)
    ours = build(config, recipe(2024, method="full")).model
    with torch.device("meta"):
        theirs = AutoModelForCausalLM.from_config(config)
    shared = theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight
    own = config.vocab_size * config.hidden_size if shared else 0
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters() + own


@pytest.mark.parametrize(
    ("name", "changes", "learned"),
    [
        # rank 8 on queries and values: 32 blocks of 2·8·4096 for A and 2·4096·8 for B
        ("llama-2-7b", {}, 32 * (2 * 8 * 4096 + 2 * 4096 * 8)),
        ("llama-2-7b", {"program": "litgpt-2023-adapter"}, 1229760),  # the next four are published counts
        ("stablelm-base-alpha-3b", {"program": "litgpt-2023-adapter"}, 573888),
        ("llama-2-7b", {"program": "litgpt-2023-adapter-v2"}, 4279744),
        ("stablelm-base-alpha-3b", {"program": "litgpt-2023-adapter-v2"}, 2125248),
    ],
)
def test_as_many_parameters_learn_as_were_published(name: str, changes: dict[str, Any], learned: int) -> None:
    traced = build(model_config(name), recipe(2023, **changes))
    assert sum(p.numel() for _, p in traced.learned) == learned


@pytest.mark.parametrize(("double", "scales"), [(False, 65536 * 4), (True, 65536 + 256 * 4)])
def test_four_bits_and_a_scale_for_64_values(double: bool, scales: int) -> None:
    with torch.device("meta"):
        layer = FourBit(1024, 4096, False, recipe(2023, method="qlora", double_quantization=double))
    held = sum(t.numel() * t.element_size() for t in (*layer.parameters(), *layer.buffers()))
    assert held == 1024 * 4096 // 2 + scales
    assert layer.unpack().dtype is torch.float16


# -- against measurements ----------------------------------------------------------------------------------------------
# GB = 1e9 of torch.cuda.max_memory_allocated: tutorials/resource-tables.md of October 2023 on an A100, and
# config_hub/finetune/README.md of 2024 on an A10G. All rows are in the benchmarks; these are one of each kind.

EVERYTHING = {"targets": "all-linear", "accumulate": 2}


@pytest.mark.parametrize(
    ("name", "run", "capability", "measured"),
    [
        ("phi-1.5", recipe(2023, seq_len=1044), A100, 4.82),
        ("phi-1.5", recipe(2023, seq_len=1044, micro_batch=4), A100, 10.68),
        ("llama-2-7b", recipe(2023, seq_len=1304, method="qlora", double_quantization=False), A100, 14.14),
        ("llama-2-7b", recipe(2023, seq_len=1304, program="litgpt-2023-adapter-v2"), A100, 25.51),
        ("stablelm-base-alpha-3b", recipe(2023, seq_len=1034, precision="bf16-mixed"), A100, 26.92),
        ("llama-3-8b", recipe(2024, seq_len=512, rank=32, accumulate=8), A10G, 19.73),
        ("phi-2", recipe(2024, seq_len=512, micro_batch=4, **EVERYTHING), A10G, 13.98),
        (
            "gemma-2-9b",
            recipe(
                2024, seq_len=512, method="qlora", double_quantization=False, rank=16, lora_dropout=0.1, **EVERYTHING
            ),
            A10G,
            20.92,
        ),
        ("tinyllama-1.1b", recipe(2024, method="full", seq_len=512, micro_batch=4, accumulate=8), A10G, 14.10),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_published_peaks_are_met_within_one_percent(
    name: str, run: Recipe, capability: tuple[int, int], measured: float
) -> None:
    log = trace(model_config(name), run, capability=capability)
    first, alive = peaks(log)
    again, _ = peaks(steady(log), alive)
    assert max(peak.bytes for found in (first, again) for peak in found.values()) == pytest.approx(
        measured * 1e9, rel=0.01
    )


# -- what it does not do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        (LlamaConfig(num_hidden_layers=2), {"method": "inference"}, "full, lora, qlora"),
        (LlamaConfig(num_hidden_layers=2), {"checkpointing": True}, "no checkpointing"),
        (
            LlamaConfig(num_hidden_layers=2),
            {"targets": "q_proj"},
            "choose from query, key, value, projection, mlp, head",
        ),
        ("gpt2", {}, "no models of type gpt2"),
        ("qwen3-0.6b", {}, "no models of type qwen3"),
    ],
)
def test_what_litgpt_did_not_have_is_refused_in_a_sentence(config: Any, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CourseError, match=sentence):
        build(model_config(config) if isinstance(config, str) else config, recipe(2024, **changes))


def test_no_block_is_left_out_of_the_segments() -> None:
    log = trace(shallow("llama-2-7b", 5), recipe(2024), whole=True)
    for phase in ("load", "forward", "backward", "step"):
        assert {s.block for s in log.segments if s.phase == phase} - {OUTSIDE} == set(range(5))
