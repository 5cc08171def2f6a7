"""The decoder against transformers' Llama: the same numbers, whatever the architecture's options."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib.decoder import Cache, Decoder, DecoderConfig, adopt, initialise, load, save
from course_lib.errors import CourseError

pytestmark = pytest.mark.usefixtures("one_thread")

BASE = DecoderConfig(
    vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
)  # fmt: skip
LLAMA3 = (
    ("factor", 8.0), ("high_freq_factor", 4.0), ("low_freq_factor", 1.0), ("original_max_position_embeddings", 16.0),
)  # fmt: skip
CONFIGS = {
    "grouped queries, tied": BASE,
    "a head for each query": replace(BASE, num_key_value_heads=4),
    "one head for all queries": replace(BASE, num_key_value_heads=1),
    "not tied": replace(BASE, tie_word_embeddings=False),
    "heads wider than the model": replace(BASE, head_dim=20),
    "biases": replace(BASE, attention_bias=True, mlp_bias=True),
    "another base and eps": replace(BASE, rope_theta=500000.0, rms_norm_eps=1e-6),
    "positions of Llama 3": replace(BASE, rope_theta=500000.0, rope_scaling=LLAMA3),
}
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def random_decoder(config: DecoderConfig, seed: int = 0) -> Decoder:
    """Weights large enough that scores differ clearly, norms and biases that are not 1 and 0."""
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            centre, width = (1.0, 0.2) if "norm" in name else (0.0, 0.15)
            weight.normal_(centre, width, generator=generator)
    return model.eval()


def theirs(model: Decoder, folder: Path) -> Any:
    """The same model in transformers, by way of its files."""
    import transformers

    save(model, folder)
    found, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert isinstance(found, transformers.LlamaForCausalLM)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return found.eval()


def some_ids(rows: int = 3, length: int = 40) -> torch.Tensor:
    return torch.randint(0, BASE.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def left_mask(rows: int, length: int) -> torch.Tensor:
    """A row without padding, and rows with ever more."""
    return (torch.arange(length) >= 7 * torch.arange(rows)[:, None]).long()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.inference_mode()
def test_logits_equal_those_of_transformers(config: DecoderConfig, tmp_path: Path) -> None:
    model = random_decoder(config)
    llama, ids = theirs(model, tmp_path), some_ids()
    expected = llama(ids).logits
    assert expected.std() > 0.1  # the scores of a model that says nothing would be equal, too
    torch.testing.assert_close(model(ids), expected, **CLOSE)
    mask = left_mask(*ids.shape)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    padded = llama(ids, attention_mask=mask, position_ids=positions).logits
    real = mask.bool()
    torch.testing.assert_close(model(ids, mask)[real], padded[real], **CLOSE)
    # and padding changes nothing: the tokens of the last row on their own
    torch.testing.assert_close(model(ids[2:, 14:])[0], padded[2, 14:], **CLOSE)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@torch.inference_mode()
def test_a_cache_changes_nothing(config: DecoderConfig, padded: bool, tmp_path: Path) -> None:
    model, ids = random_decoder(config), some_ids()
    mask = left_mask(*ids.shape) if padded else torch.ones_like(ids)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    expected = theirs(model, tmp_path)(ids, attention_mask=mask, position_ids=positions).logits
    cache = Cache(model, 3, 40)
    pieces = []
    for start, end in ((0, 20), (20, 21), (21, 22), (22, 35), (35, 40)):  # a prompt, tokens, several tokens at once
        pieces.append(model(ids[:, start:end], mask[:, :end] if padded else None, cache))
    assert cache.length == 40
    torch.testing.assert_close(torch.cat(pieces, 1)[mask.bool()], expected[mask.bool()], **CLOSE)


@torch.inference_mode()
def test_rows_of_a_cache_may_leave_change_places_and_repeat() -> None:
    model, ids = random_decoder(BASE), some_ids()
    cache, rows = Cache(model, 3, 40), torch.tensor([2, 0, 0, 2])
    model(ids[:, :30], cache=cache)
    cache.select(rows)
    torch.testing.assert_close(model(ids[rows, 30:], cache=cache), model(ids)[rows, 30:], **CLOSE)


@torch.inference_mode()
def test_only_the_last_logits_or_what_the_head_is_given() -> None:
    model, ids = random_decoder(BASE), some_ids()
    torch.testing.assert_close(model(ids, last=2), model(ids)[:, -2:], **CLOSE)
    torch.testing.assert_close(model.lm_head(model(ids, scores=False)), model(ids), **CLOSE)


def test_gradients_equal_those_of_transformers(tmp_path: Path) -> None:
    model, ids = random_decoder(BASE), some_ids()
    llama = theirs(model, tmp_path)
    llama(ids, labels=ids).loss.backward()
    torch.nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    expected = dict(llama.named_parameters())
    assert len(expected) == len(list(model.parameters()))
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.inference_mode()
def test_what_transformers_saves_is_read_again(config: DecoderConfig, tmp_path: Path) -> None:
    model, ids = random_decoder(config), some_ids()
    theirs(model, tmp_path / "ours").save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 1
    again = load(tmp_path / "theirs")
    assert again.config == config
    assert not again.training
    assert torch.equal(again(ids), model(ids))


def test_the_config_of_transformers_4_is_read() -> None:
    old = {"model_type": "llama", "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
           "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
           "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", **dict(LLAMA3)},
           "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True}  # fmt: skip
    assert DecoderConfig.from_hf(old) == CONFIGS["positions of Llama 3"]
    older = {name: value for name, value in old.items() if not name.startswith(("num_key", "rope"))}
    assert DecoderConfig.from_hf(older) == CONFIGS["a head for each query"]


def test_half_precision_survives_the_files(tmp_path: Path) -> None:
    save(random_decoder(BASE).to(torch.bfloat16), tmp_path, eos_token_id=2)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["dtype"], config["eos_token_id"]) == ("bfloat16", 2)
    assert load(tmp_path).model.norm.weight.dtype == torch.float32
    assert load(tmp_path, torch.bfloat16).model.norm.weight.dtype == torch.bfloat16


def test_a_rotation_keeps_lengths_and_sees_distances_only() -> None:
    """By hand, D = 2: position 3 turns (1, 0) by 3 radians to (cos 3, sin 3)."""
    from course_lib.decoder.model import rotate

    model = Decoder(replace(BASE, head_dim=2))
    turned = rotate(torch.tensor([[[[1.0, 0.0]]]]), model.turn(torch.tensor([3]))).flatten()
    torch.testing.assert_close(turned, torch.tensor([3.0, 3.0 - torch.pi / 2]).cos())
    model, q, k = Decoder(BASE), torch.randn(8), torch.randn(8)

    def product(at: int, other: int) -> torch.Tensor:
        a, b = (rotate(x.view(1, 1, 1, 8), model.turn(torch.tensor([p]))) for x, p in ((q, at), (k, other)))
        return (a * b).sum()

    torch.testing.assert_close(product(9, 4), product(35, 30), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_the_stream_is_written_to_gently() -> None:
    one, two, other = Decoder(BASE), Decoder(BASE), Decoder(BASE)
    for model, seed in ((one, 0), (two, 0), (other, 1)):
        initialise(model, seed)
    key = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(one.state_dict()[key], two.state_dict()[key])
    assert not torch.equal(one.state_dict()[key], other.state_dict()[key])
    # 0.02 / sqrt(2 * 3 layers) = 0.00816
    assert one.state_dict()[key].std().item() == pytest.approx(0.00816, rel=0.1)
    assert one.state_dict()["model.embed_tokens.weight"].std().item() == pytest.approx(0.02, rel=0.1)


# -- adopted from transformers -----------------------------------------------------------------------------------------


def with_lora(llama: Any) -> Any:
    """LoRA that changes something: its second matrices are zero at first."""
    import peft

    settings = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.5, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(6)  # its first matrices are drawn
    model = peft.get_peft_model(llama, settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.2, generator=generator)
    return model


def in_four_bits(folder: Path) -> Any:
    """Weights as NF4, in the mode of training: outside it bitsandbytes may store them in another order."""
    import transformers

    from course_lib import hub

    bits = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    with hub.quiet():
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, quantization_config=bits, dtype=torch.float32, device_map={"": "cpu"}
        ).train()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@torch.inference_mode()
def test_an_adopted_llama_gives_its_own_logits(config: DecoderConfig, tmp_path: Path) -> None:
    llama, ids = theirs(random_decoder(config), tmp_path), some_ids()
    made = adopt(llama)
    assert made.config == config
    torch.testing.assert_close(made(ids), llama(ids).logits, **CLOSE)
    ours, given = {id(w) for w in made.parameters()}, {id(w) for w in llama.parameters()}
    assert ours == given  # shared, not copied


@pytest.mark.parametrize("how", ["adapter", "merged", "switched off", "4 bits", "adapter on 4 bits"])
@torch.inference_mode()
def test_what_peft_and_bitsandbytes_put_in_is_adopted(how: str, tmp_path: Path) -> None:
    config = replace(BASE, hidden_size=64, head_dim=16, intermediate_size=64)  # NF4 takes 64 numbers at a time
    llama, ids = theirs(random_decoder(config), tmp_path), some_ids()
    plain = llama(ids).logits
    if "4 bits" in how:
        llama = in_four_bits(tmp_path)
    model = llama if how == "4 bits" else with_lora(llama).eval()
    if how == "adapter on 4 bits":
        for module in model.modules():
            module.training = type(module).__name__ == "Linear4bit"
    if how == "merged":
        model = model.merge_and_unload()
    if how == "switched off":
        model.base_model.disable_adapter_layers()
    expected = model(ids).logits
    torch.testing.assert_close(adopt(model)(ids), expected, **CLOSE)
    assert torch.allclose(expected, plain, atol=1e-5) == (how == "switched off")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("how", ["bare", "adapter in float32"])
@torch.inference_mode()
def test_half_precision_is_adopted_as_it_is(dtype: torch.dtype, how: str, tmp_path: Path) -> None:
    llama, ids = theirs(random_decoder(BASE), tmp_path).to(dtype), some_ids()
    model = llama if how == "bare" else with_lora(llama).eval()
    assert {w.dtype for w in model.parameters()} == ({dtype} if how == "bare" else {dtype, torch.float32})
    made, expected, mask = adopt(model), model(ids).logits, left_mask(*ids.shape)
    error = torch.finfo(dtype).eps * 8 * expected.abs().max().item()
    found = made(ids, cache=Cache(made, *ids.shape))
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0.0, atol=error)
    padded = made(ids, mask, Cache(made, *ids.shape))[2, 14:]
    torch.testing.assert_close(padded, model(ids[2:, 14:]).logits[0], rtol=0.0, atol=error)


def test_an_adopted_model_follows_training(tmp_path: Path) -> None:
    llama, ids = theirs(random_decoder(BASE), tmp_path), some_ids()
    made = adopt(llama)
    before = made(ids)
    torch.optim.SGD(llama.parameters(), 0.1).step(lambda: llama(ids, labels=ids).loss.backward())
    torch.testing.assert_close(made(ids), llama(ids).logits, **CLOSE)
    assert not torch.allclose(made(ids), before, atol=1e-3)
    llama.double()
    torch.testing.assert_close(made(ids), llama(ids).logits, rtol=0.0, atol=1e-4)


def test_models_that_compute_otherwise_are_not_adopted(tmp_path: Path) -> None:
    import peft
    import transformers

    numbers = {name: value for name, value in BASE.to_hf().items() if name not in ("architectures", "model_type")}
    qwen = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**numbers))
    with pytest.raises(CourseError, match="is a Qwen2ForCausalLM and no plain Llama: ask it through transformers"):
        adopt(qwen)
    stretched = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(numbers | {"rope_parameters": stretched})))
    with pytest.raises(CourseError, match=r"another Llama .*'linear'"):
        adopt(llama)
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**numbers))
    prompted = peft.get_peft_model(llama, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(CourseError, match="prompt that was learned"):
        adopt(prompted)
    llama.model.layers[1].mlp = torch.nn.Identity()
    with pytest.raises(CourseError, match="has Identity in its layers"):
        adopt(llama)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_key_value_heads": 3}, "4 query heads cannot share 3"),
        ({"head_dim": 7}, "must be even"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1"),
        ({"vocab_size": -5}, "vocab_size must be at least 1"),
    ],
)
def test_impossible_numbers_are_refused(change: dict[str, int], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        replace(BASE, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gpt2"}, "reads Llama checkpoints, not 'gpt2'"),
        ({"hidden_act": "gelu"}, "silu, not 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
    ],
)
def test_other_architectures_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        DecoderConfig.from_hf({**BASE.to_hf(), **change})


def test_a_folder_without_its_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"config\.json cannot be read"):
        load(tmp_path)
    save(random_decoder(BASE), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(CourseError, match=r"lack 9 tensors of this shape \(model\.layers\.3\."):
        load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CourseError, match="get a complete copy"):
        load(tmp_path)


@torch.inference_mode()
def test_too_many_tokens_are_refused() -> None:
    model = random_decoder(BASE)
    with pytest.raises(CourseError, match="65 tokens do not fit the 64 positions"):
        model(torch.zeros(1, 65, dtype=torch.long))
    cache = Cache(model, 1, 10)
    with pytest.raises(CourseError, match="holds 10 tokens and is full"):
        model(torch.zeros(1, 11, dtype=torch.long), cache=cache)
