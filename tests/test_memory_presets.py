"""Architectures, model presets and GPUs: counts to the parameter, refusals in one sentence, a table that adds up."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from course_lib.errors import CourseError
from course_lib.memory.architecture import Architecture, Linear
from course_lib.memory.families import FAMILIES
from course_lib.memory.gpus import GIB, PROCESS, UNKNOWN_CONTEXT, gpu, gpus, main_memory, real_card, this_machine
from course_lib.memory.models import find, model_config, preset, presets
from machines import CPU
from machines import gpu as machine_with

NAMES = tuple(presets())
TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
}


def built(config: Any, causal: bool) -> nn.Module:
    """The model of a config on the meta device: shapes without bytes."""
    kind = AutoModelForCausalLM if causal else AutoModel
    with torch.device("meta"):
        return kind.from_config(config)


def linears_of_a_block(model: nn.Module, layers: int) -> list[tuple[str, int, int, bool]]:
    """Name, inputs, outputs and bias of each linear layer of the first block, sorted."""
    block = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == layers)[0]
    found = []
    for path, module in block.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            inputs, outputs = module.weight.shape if isinstance(module, Conv1D) else reversed(module.weight.shape)
            found.append((path.rpartition(".")[2], inputs, outputs, module.bias is not None))
    return sorted(found)


# -- architecture ------------------------------------------------------------------------------------------------------


def test_a_small_llama_is_counted_by_hand() -> None:
    shape = Architecture.from_config(TINY)
    # Attention: q 64·64, k and v 64·(2·16) each, o 64·64; MLP 3·64·96; two norms of 64 each.
    block = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96 + 2 * 64
    assert shape.block_parameters == block == 30848
    # Embedding and head 100·64 each, one last norm.
    assert shape.parameters == 2 * 6400 + 3 * 30848 + 64 == 105408
    assert shape.linears[0] == Linear("q_proj", 64, 64, False)
    assert shape.linears[-1] == ("down_proj", 96, 64, False)
    assert shape.query_value == ("q_proj", "v_proj")


def test_the_same_model_with_fewer_blocks_follows_from_replacing_one_number() -> None:
    shape = preset("llama-2-7b").architecture
    two = dataclasses.replace(shape, layers=2)
    assert shape.parameters - two.parameters == 30 * shape.block_parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 8},
        {"model_type": "mistral", "head_dim": 32},
        {"model_type": "qwen3", "attention_bias": True, "head_dim": 32},
        {"model_type": "gemma3_text", "head_dim": 32},
        {"model_type": "phi", "qk_layernorm": True},
        {"model_type": "phi3", "pad_token_id": 0},
        {"model_type": "gpt_neox", "attention_bias": False, "use_parallel_residual": False},
        {
            "model_type": "falcon",
            "ffn_hidden_size": 96,
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "bias": True,
        },
        {
            "model_type": "falcon",
            "ffn_hidden_size": 96,
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "num_ln_in_parallel_attn": 1,
        },
        {"model_type": "falcon", "ffn_hidden_size": 96, "multi_query": False, "parallel_attn": False, "alibi": True},
        {"model_type": "stablelm", "use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True},
        {"model_type": "stablelm"},
        {"model_type": "opt", "ffn_dim": 96, "word_embed_proj_dim": 32, "do_layer_norm_before": False},
        {"model_type": "opt", "ffn_dim": 96, "enable_bias": False, "layer_norm_elementwise_affine": False},
        {"model_type": "roberta", "type_vocab_size": 1},
        {"model_type": "xlm-roberta"},
        {"model_type": "olmo2"},
        {"model_type": "granite", "attention_bias": True},
        {"model_type": "smollm3", "pad_token_id": 0},
        {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "n_inner": 100, "tie_word_embeddings": False},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_every_variant_of_a_family_is_counted_as_transformers_builds_it(changes: dict[str, Any]) -> None:
    values = TINY | {"tie_word_embeddings": False} | changes
    config = AutoConfig.for_model(**values)
    shape = Architecture.from_config(config)
    model = built(config, shape.causal)
    assert shape.parameters == model.num_parameters()
    assert sorted(shape.linears) == linears_of_a_block(model, shape.layers)
    # A config.json, in which defaults are not written out, says the same.
    assert dataclasses.replace(Architecture.from_config(values), name=shape.name) == shape


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_fills_in_what_a_config_leaves_out_as_transformers_does(kind: str) -> None:
    left_out = {"num_key_value_heads", "max_position_embeddings"}
    values = {key: value for key, value in TINY.items() if key not in left_out}
    values |= {"model_type": kind, "num_attention_heads": 32, "hidden_size": 256}
    spelt = {"falcon": "ffn_hidden_size", "gpt2": "n_inner", "opt": "ffn_dim", "distilbert": "hidden_dim"}
    if kind in spelt:
        values[spelt[kind]] = values.pop("intermediate_size")
    full = Architecture.from_config(AutoConfig.for_model(**values, pad_token_id=0))
    spoken = Architecture.from_config(values | {"max_position_embeddings": full.positions})
    settings = ("tied", "dropout", "attention_dropout", "activation", "window", "window_layers", "linears")
    assert {name: getattr(spoken, name) for name in settings} == {name: getattr(full, name) for name in settings}


def test_sliding_windows_are_read_layer_by_layer() -> None:
    gemma = preset("gemma-2-2b").architecture
    assert (gemma.window, gemma.window_layers, gemma.layers) == (4096, 13, 26)
    assert preset("mistral-7b").architecture.window_layers == 32
    assert preset("mistral-7b-v0.3").architecture.window == 0
    qwen = dict(TINY, model_type="qwen2", sliding_window=32, use_sliding_window=True, max_window_layers=1)
    assert Architecture.from_config(qwen).window_layers == 2
    assert Architecture.from_config(qwen | {"use_sliding_window": False}).window == 0


def test_an_unknown_type_with_a_llamas_keys_is_read_like_one_and_says_so() -> None:
    shape = Architecture.from_config(TINY | {"model_type": "brand_new"})
    assert not shape.known
    assert shape.parameters == Architecture.from_config(TINY).parameters
    assert Architecture.from_config(TINY).known


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_attention_heads": 128}, "128 heads are more than the width 64"),
        ({"num_attention_heads": 5}, "5 heads cannot share the width 64"),
        ({"num_key_value_heads": 3}, "4 heads of queries cannot share 3"),
        ({"hidden_size": 0}, "hidden_size must be a whole number above 0, not 0"),
        ({"num_hidden_layers": "three"}, "num_hidden_layers must be a whole number"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number"),
        ({"vocab_size": None}, "has no vocab_size"),
        ({"attention_dropout": 1.5}, "attention_dropout is a share"),
        ({"attention_dropout": "much"}, "attention_dropout is a share"),
        ({"layer_types": ["full_attention"]}, "layer_types names 1 layers"),
        ({"layer_types": ["linear_attention"] * 3}, "linear_attention"),
        ({"model_type": None}, "no model_type"),
        ({"model_type": "resnet", "rms_norm_eps": 0}, ""),
        ({"model_type": "mixtral", "num_local_experts": 8}, "mixture of experts"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "llava", "vision_config": {"hidden_size": 8}}, "more than text"),
        ({"model_type": "new", "hidden_act": "relu2"}, "no language model that the planner knows"),
        ({"sliding_window": "far", "model_type": "mistral"}, "sliding_window must be a whole number"),
        ({"sliding_window": -1}, "sliding_window must be a whole number"),
        ({"layer_types": 3}, "layer_types must be a list"),
        ({"model_type": "opt", "word_embed_proj_dim": "wide"}, "a setting of the wrong kind"),
        ({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": "few"}, "wrong kind"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_config_that_cannot_be_is_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    config = TINY | changes
    if changes.get("model_type") == "resnet":
        del config["rms_norm_eps"]
    with pytest.raises(CourseError) as refusal:
        Architecture.from_config(config)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("nonsense", [None, 3, "llama", [], object()])
def test_what_is_no_config_at_all_is_refused(nonsense: Any) -> None:
    with pytest.raises(CourseError, match="config"):
        Architecture.from_config(nonsense)


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_published_counted_and_built_parameters_are_the_same_number(name: str) -> None:
    entry, config = preset(name), model_config(name)
    shape = entry.architecture
    model = built(config, entry.causal)
    assert model.num_parameters() == entry.parameters
    assert shape.parameters == entry.parameters
    assert sorted(shape.linears) == linears_of_a_block(model, shape.layers)
    # The table says as much as the full config that transformers makes of it.
    assert dataclasses.replace(Architecture.from_config(config), name=name) == shape


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("pythia-1.4b", 1_414_647_808),
        ("pythia-6.9b", 6_857_302_016),
        ("llama-2-7b", 6_738_415_616),
        ("llama-2-13b", 13_015_864_320),
        ("llama-2-70b", 68_976_648_192),
        ("llama-3.1-8b", 8_030_261_248),
        ("llama-3.1-70b", 70_553_706_496),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("codellama-34b", 33_743_970_304),
        ("mistral-7b", 7_241_732_096),
        ("falcon-7b", 6_921_720_704),
        ("falcon-40b", 41_303_293_952),
        ("stablelm-base-alpha-3b", 3_637_321_728),
        ("phi-1.5", 1_418_270_720),
        ("phi-2", 2_779_683_840),
        ("phi-3-mini-4k", 3_821_079_552),
        ("gemma-2b", 2_506_172_416),
        ("gemma-7b", 8_537_680_896),
        ("gemma-2-2b", 2_614_341_888),
        ("gemma-2-9b", 9_241_705_984),
        ("qwen-1.8b", 1_836_828_672),
        ("qwen-7b", 7_721_324_544),
        ("qwen-14b", 14_167_290_880),
        ("qwen2.5-0.5b", 494_032_768),
        ("qwen2.5-7b", 7_615_616_512),
        ("qwen3-0.6b", 596_049_920),
        ("tinyllama-1.1b", 1_100_048_384),
        ("smollm2-135m", 134_515_008),
        ("smollm2-360m", 361_821_120),
        ("smollm2-1.7b", 1_711_376_384),
        ("course-base-small", 2_619_456),
        ("course-base", 5_951_232),
        ("distilbert", 66_362_880),
        ("minilm", 22_713_216),
    ],
)
def test_the_table_keeps_the_published_counts(name: str, parameters: int) -> None:
    assert preset(name).parameters == parameters


def test_the_embedded_encoder_has_the_presets_architecture() -> None:
    from course_lib.hub import model_folder

    config = json.loads((model_folder("minilm") / "config.json").read_text(encoding="utf-8"))
    shape = Architecture.from_config(config, "minilm")
    assert shape == preset("minilm").architecture


def test_the_readmes_count_of_stablelm_is_explained_to_the_parameter() -> None:
    shape = preset("stablelm-base-alpha-3b").architecture
    # Four tensor-parallel ranks each hold all norms and the biases of the layers that lead back to the width.
    outputs = (shape.attention_linears[-1], shape.mlp_linears[-1])
    copied = shape.layers * (2 * shape.norm_parameters + sum(linear.outputs for linear in outputs)) + shape.outside
    assert shape.parameters + 3 * copied == 3_638_525_952


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Llama-2-7B", "llama-2-7b"),
        ("llama-2-7b-hf", "llama-2-7b"),
        ("meta-llama/Llama-2-7b-hf", "llama-2-7b"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b"),
        (" qwen/qwen2.5-0.5b-instruct ", "qwen2.5-0.5b"),
        ("phi-1_5", "phi-1.5"),
        ("gpt2", "gpt2"),
        ("sentence-transformers/all-MiniLM-L6-v2", "minilm"),
    ],
)
def test_a_preset_is_found_by_each_of_its_names(said: str, name: str) -> None:
    assert preset(said).name == name


def test_a_hub_id_of_somebody_else_is_no_preset() -> None:
    assert find("somebody/llama-2-7b-hf") is None


def test_no_two_presets_claim_the_same_name() -> None:
    said = [name.lower() for one in presets().values() for name in {one.name, one.hub_id, *one.also} - {""}]
    assert len(said) == len(set(said))


def test_every_preset_says_where_it_comes_from() -> None:
    for name, entry in presets().items():
        assert name == name.lower()
        assert entry.hub_id.count("/") == 1 or entry.source.startswith("assets/")
        assert entry.title
        assert "/" in entry.source


@pytest.mark.parametrize(
    ("said", "near"), [("lama-2-7b", "llama-2-7b"), ("qwen2.5", "qwen2.5-0.5b"), ("gema-2b", "gemma-2b")]
)
def test_a_misspelt_model_gets_what_comes_near(said: str, near: str) -> None:
    with pytest.raises(CourseError, match=f"no model preset '{said}'.*{near}"):
        preset(said)


def test_a_name_like_no_other_gets_the_command_that_lists_them() -> None:
    with pytest.raises(CourseError, match="course plan --list"):
        preset("")
    with pytest.raises(CourseError, match="course plan --list"):
        gpu("§")


# -- GPUs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gpus())
def test_a_gpu_of_the_table_makes_sense(name: str) -> None:
    card = gpu(name)
    assert card.is_cuda
    assert 0.9 * card.memory < card.usable < card.memory
    assert 0.1 * GIB < card.context < 0.6 * GIB
    assert card.free == card.usable - card.context
    assert 2e11 < card.bandwidth < 1e13
    assert 5e12 < card.fp32 < card.fp16 < 2e15
    # bf16 is in hardware from compute capability 8 on, and there as fast as fp16.
    assert card.bf16 == (card.fp16 if card.capability >= (8, 0) else 0)
    assert 50 < card.watts <= 700
    assert 0 <= card.dollars_per_hour < 10
    assert all((card.source, card.context_source, card.rates_source))
    assert bool(card.price_source) == (card.dollars_per_hour > 0)


@pytest.mark.parametrize(
    ("name", "gib"), [("t4", 14.56), ("a100-40", 39.39), ("a100-80", 79.15), ("h100", 79.11), ("h200", 139.8)]
)
def test_usable_memory_is_what_torch_reports(name: str, gib: float) -> None:
    assert gpu(name).usable / GIB == pytest.approx(gib, abs=0.005)


def test_a_rate_falls_back_to_fp32_where_a_precision_is_emulated() -> None:
    assert gpu("t4").rate("bf16") == gpu("t4").fp32
    assert gpu("a100-80").rate("bf16") == 312e12


@pytest.mark.parametrize(
    ("said", "near"), [("a100", "a100-40 or a100-80"), ("rtx4090", "rtx-4090"), ("h10", "h100"), ("l40", "l40s")]
)
def test_a_misspelt_gpu_gets_what_comes_near(said: str, near: str) -> None:
    with pytest.raises(CourseError, match=f"no GPU '{said}'.*{near}"):
        gpu(said)


@pytest.mark.parametrize(("said", "name"), [("T4", "t4"), ("v100-16", "v100"), ("4090", "rtx-4090"), ("H100", "h100")])
def test_a_gpu_is_found_by_each_of_its_names(said: str, name: str) -> None:
    assert gpu(said).name == name


@pytest.mark.parametrize(
    ("device", "gib", "name"),
    [
        ("Tesla T4", 14.74, "t4"),
        ("Tesla V100-SXM2-16GB", 15.77, "v100"),
        ("Tesla V100-SXM2-32GB", 31.74, "v100-32"),
        ("NVIDIA A10", 21.99, "a10"),
        ("NVIDIA A10G", 22.06, "a10g"),
        ("NVIDIA L4", 22.03, "l4"),
        ("NVIDIA L40S", 44.4, "l40s"),
        ("NVIDIA A100-SXM4-40GB", 39.5, "a100-40"),
        ("NVIDIA A100 80GB PCIe", 79.25, "a100-80"),
        ("NVIDIA H100 80GB HBM3", 79.19, "h100"),
        ("NVIDIA H200", 139.8, "h200"),
        ("NVIDIA GeForce RTX 4090", 23.64, "rtx-4090"),
        ("NVIDIA H100 NVL", 93.0, "nvidia-h100-nvl"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", 5.8, "nvidia-geforce-rtx-3060-laptop-gpu"),
    ],
)
def test_the_real_card_is_recognised_by_name_and_memory(device: str, gib: float, name: str) -> None:
    total = round(gib * GIB)
    found = dataclasses.replace(machine_with((8, 0), total), device_name=device, gpu_free=total)
    card = real_card(found, reserved=0)
    assert card.name == name
    assert card.usable == total  # what it has, not what the table says


def test_what_other_processes_hold_is_not_usable_and_what_this_one_holds_is() -> None:
    total = gpu("t4").usable
    found = dataclasses.replace(machine_with((7, 5), total), device_name="Tesla T4", gpu_total=total)
    mine = 2 * GIB + gpu("t4").context
    assert real_card(dataclasses.replace(found, gpu_free=total - mine), reserved=2 * GIB).usable == total
    shared = dataclasses.replace(found, gpu_free=total - mine - GIB)
    assert real_card(shared, reserved=2 * GIB).usable == total - GIB


def test_an_unknown_card_has_its_own_memory_a_cautious_context_and_no_rates() -> None:
    found = dataclasses.replace(machine_with((12, 0), 32 * GIB), device_name="A Card", gpu_free=32 * GIB)
    card = real_card(found, reserved=0)
    assert (card.usable, card.context, card.fp32, card.capability) == (32 * GIB, UNKNOWN_CONTEXT, 0.0, (12, 0))
    assert card.is_cuda


def test_without_a_gpu_the_memory_that_this_process_may_use_counts() -> None:
    machine = main_memory(CPU, resident=GIB)
    assert (machine.name, machine.memory, machine.usable) == ("cpu", 16 * GIB, 13 * GIB)
    assert machine.context == PROCESS
    assert not machine.is_cuda
    assert main_memory(CPU, resident=8 * GIB).usable == 16 * GIB  # never more than there is


def test_this_machine_can_hold_at_least_what_it_holds() -> None:
    machine = this_machine()
    assert 0 < machine.context < machine.usable <= machine.memory


# -- imports -----------------------------------------------------------------------------------------------------------


def test_presets_gpus_and_architectures_need_no_torch() -> None:
    code = (
        "import sys; from course_lib.memory import gpus, models; "
        "read = models.presets.cache_info().currsize + gpus.gpus.cache_info().currsize; "
        "models.preset('llama-2-70b').architecture.parameters; gpus.gpu('t4'); "
        "print(read, [n for n in ('torch', 'transformers', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "[]"]  # importing reads no table, and reading imports no library
