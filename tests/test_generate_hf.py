"""Any causal model of transformers is asked as the decoder is: the same texts as transformers' own, sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib.decoder import Decoder
from course_lib.errors import CourseError
from course_lib.generate import Decoding, Writer, writer_of
from course_lib.generate.hf import HFModel
from course_lib.pretrain.tokenizer import train_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "The market of the town opens at dawn, and the tea seller pours 12 cups.",
    "Yusra weighs figs, dates and salt, then she writes the prices on a slate.",
]
PROMPTS = ["The market", "Yusra weighs figs, dates and salt, then she", "12", "the tea seller pours"]
SAMPLED = Decoding(max_new=16, temperature=0.9, top_k=40, top_p=0.9, repetition_penalty=1.1, n=3, seed=7)
SHAPE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 96, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
HEADS = {"head_dim": 8, "sliding_window": 6}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"]}
GPT2 = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "bos_token_id": 1}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "biases": ("Qwen2Config", SHAPE),
    "learned positions": ("GPT2Config", GPT2 | {"eos_token_id": 2, "pad_token_id": 0}),
    "scaled embeddings": ("GemmaConfig", SHAPE | {"head_dim": 8}),
    "a window and capped scores": ("Gemma2Config", SHAPE | HEADS | SLIDING),
    "a window": ("MistralConfig", SHAPE | {"sliding_window": 6}),
    "no positions": ("BloomConfig", {"vocab_size": 300, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "convolutions": ("Lfm2Config", SHAPE | {"layer_types": ["conv", "full_attention"]}),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS * 3, entries=300, positions=96)


def random_model(kind: str) -> Any:
    """Sure enough of its next tokens to go its own way after each prompt."""
    import transformers

    name, numbers = KINDS[kind]
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, name)(**numbers))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0, 0.25, generator=generator)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = None
    return model


def texts_of(writer: Writer) -> list[str]:
    """What is written after each prompt."""
    return [own[0].text for own in writer.generate(PROMPTS, Decoding(max_new=20))]


@torch.inference_mode()
def table(model: Any, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of what follows each token, without cache or padding."""
    training = model.training
    found = model.eval()(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    model.train(training)
    return found


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tokenizer: Any) -> tuple[Writer, Any]:
    """A writer and its model."""
    model = random_model(request.param)
    writer = writer_of(model, tokenizer, ends=())
    assert isinstance(writer.model, HFModel)
    return writer, model


def test_greedy_texts_and_their_log_probabilities_are_those_of_transformers(pair: tuple[Writer, Any]) -> None:
    writer, model = pair
    assert model.training  # as after a step; the writer does not mind
    found = writer.generate(PROMPTS, Decoding(max_new=20))
    assert model.training
    model.eval()
    for prompt, (one,) in zip(PROMPTS, found, strict=True):
        ids = writer.tokenizer(prompt)["input_ids"]
        given = torch.tensor([ids])
        out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=20, do_sample=False)
        assert list(one.ids) == out[0, len(ids) :].tolist()
        rows = table(model, [*ids, *one.ids])[len(ids) - 1 : -1]
        expected = [row[token].item() for row, token in zip(rows, one.ids, strict=True)]
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
    assert len({one.ids for (one,) in found}) == len(PROMPTS)


def test_samples_do_not_depend_on_their_neighbours(pair: tuple[Writer, Any]) -> None:
    writer, _ = pair
    decoding = replace(SAMPLED, stop=(" t", "e"))  # rows leave at different times
    together = [[one.ids for one in own] for own in writer.generate(PROMPTS, decoding)]
    assert len({len(ids) for own in together for ids in own}) > 1
    for size in (1, 4):
        assert [[one.ids for one in own] for own in writer.generate(PROMPTS, decoding, size)] == together
    assert [[one.ids for one in writer.generate([prompt], decoding)[0]] for prompt in PROMPTS] == together


def test_scores_are_sums_by_hand(pair: tuple[Writer, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from course_lib.generate import likelihood

    writer, model = pair
    texts = [" opens", " sells figs at dawn", "!"]
    pairs = [(prompt, text) for text in texts for prompt in PROMPTS]
    expected = []
    for prompt, text in pairs:
        ids = writer.tokenizer(prompt)["input_ids"]
        more = writer.tokenizer(text, add_special_tokens=False)["input_ids"]
        rows = table(model, ids + more)[len(ids) - 1 :]
        expected.append(math.fsum(rows[k, token].item() for k, token in enumerate(more)))
    assert writer.scores(pairs) == pytest.approx(expected, abs=1e-3)
    monkeypatch.setattr(likelihood, "ALL_LOGITS", 300 * 10)  # ten tokens at a time
    assert writer.scores(pairs) == pytest.approx(expected, abs=1e-3)


def test_ends_stops_and_streams_are_the_loops(tokenizer: Any) -> None:
    model = random_model("biases")
    whole = writer_of(model, tokenizer, ends=()).generate(["12"], Decoding(max_new=20))[0][0]
    writer = writer_of(model, tokenizer, ends={whole.ids[4]})
    one = writer.generate(["12"], Decoding(max_new=20))[0][0]
    assert (one.finish, one.ids) == ("end", whole.ids[: whole.ids.index(whole.ids[4]) + 1])
    assert "".join(writer.stream("12", Decoding(max_new=20))) == one.text
    assert writer_of(model, tokenizer).ends == {tokenizer.eos_token_id}
    assert writer.positions == 96
    assert writer_of(random_model("no positions"), tokenizer).positions > 10**9
    with pytest.raises(CourseError, match="the 96 positions of this model"):
        writer.generate(["12"], Decoding(max_new=96))


def test_next_tokens_and_perplexity_by_hand(tokenizer: Any) -> None:
    model = random_model("learned positions")
    writer = writer_of(model, tokenizer)
    ids = tokenizer(TEXTS[0])["input_ids"]
    rows = table(model, ids)
    best = rows[-1].exp().topk(3)
    found = writer.next_tokens(TEXTS[0], top=3)
    assert [chance for _, chance in found] == pytest.approx(best.values.tolist(), abs=1e-5)
    total = math.fsum(rows[k, token].item() for k, token in enumerate(ids[1:]))
    assert writer.perplexity(TEXTS[:1]) == pytest.approx(math.exp(-total / (len(ids) - 1)), rel=1e-4)


@pytest.mark.parametrize("kind", ["biases", "a window"])
def test_models_that_learn_from_packed_rows_are_asked_as_before(kind: str, tokenizer: Any) -> None:
    from course_lib.instruct.attention import use_packing

    model = random_model(kind)
    writer = writer_of(model, tokenizer, ends=())
    expected = writer.generate(PROMPTS, Decoding(max_new=20))
    assert use_packing(model)
    model.config.use_cache = False
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()  # its name until 5.23
    again = writer.generate(PROMPTS, Decoding(max_new=20))
    assert [own[0].ids for own in again] == [own[0].ids for own in expected]
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    assert not model.config.use_cache


def test_adapters_are_heard_and_left_alone(tokenizer: Any) -> None:
    import peft

    model = random_model("biases")
    plain = texts_of(writer_of(model, tokenizer, ends=()))
    settings = peft.LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(6)  # LoRA's first matrices are drawn
    adapted = peft.get_peft_model(model, settings)
    writer = writer_of(adapted, tokenizer, ends=())
    assert texts_of(writer) == plain  # as long as the second matrices are zero
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    tuned = texts_of(writer)
    assert tuned != plain
    assert tuned == texts_of(writer)  # no dropout
    with adapted.disable_adapter():
        assert texts_of(writer) == plain
    assert all(module.training for module in adapted.modules())


def test_a_base_in_four_bits_learns_on_after_it_was_asked(tokenizer: Any, tmp_path: Path) -> None:
    import peft
    import transformers

    from course_lib import hub

    wide = SHAPE | {"hidden_size": 64, "intermediate_size": 64}
    transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**wide)).save_pretrained(tmp_path)
    bits = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    with hub.quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path, quantization_config=bits, dtype=torch.float32, device_map={"": "cpu"}
        )
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, settings).train()
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])

    def gradients() -> list[torch.Tensor]:
        adapted.zero_grad()
        adapted(input_ids=ids, labels=ids).loss.backward()
        return [w.grad.clone() for w in adapted.parameters() if w.grad is not None]

    before = gradients()
    writer_of(adapted, tokenizer).generate(PROMPTS)
    for found, expected in zip(gradients(), before, strict=True):
        assert torch.equal(found, expected)


def test_llamas_are_adopted_and_models_without_a_cache_refused(tokenizer: Any) -> None:
    import peft
    import transformers

    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE))
    assert isinstance(writer_of(llama, tokenizer).model, Decoder)
    mamba = transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1))
    with pytest.raises(CourseError, match="MambaForCausalLM cannot be asked here, because its call does not take"):
        writer_of(mamba, tokenizer)
    prompted = peft.get_peft_model(llama, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(CourseError, match="it begins with a prompt that was learned"):
        writer_of(prompted, tokenizer)


def test_a_writer_of_any_architecture_is_found_by_name(tokenizer: Any, tmp_path: Path) -> None:
    model = random_model("biases")
    model.generation_config.eos_token_id = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    writer = Writer.from_name(str(tmp_path))
    assert not writer.model.training
    expected = writer_of(model, tokenizer).generate(PROMPTS)
    assert [own[0].ids for own in writer.generate(PROMPTS)] == [own[0].ids for own in expected]
    weights = tmp_path / "model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(CourseError, match=r"lack 1 of the model's tensors \(model\.layers\.1\.mlp\.up_proj"):
        Writer.from_name(str(tmp_path))
