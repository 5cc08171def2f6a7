"""A model is asked through its chat template: as transformers would answer, alive or from disk, with adapters too."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib.decoder import Decoder
from course_lib.errors import CourseError
from course_lib.generate import Decoding
from course_lib.instruct.assistant import Assistant
from course_lib.pretrain.tokenizer import train_tokenizer
from course_lib.prompts.chat import Chat

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "The market of the town opens at dawn, and the tea seller pours 12 cups.",
    "Yusra weighs figs, dates and salt, then she writes the prices on a slate.",
]
POSITIONS = 160
SHAPE = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": POSITIONS, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
KINDS = ["Llama", "Qwen2"]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


TALK = [
    {"role": "system", "content": "The town."},
    {"role": "user", "content": "What is on the slate?"},
    {"role": "assistant", "content": "The prices."},
    {"role": "user", "content": "And the tea?"},
]
PROMPTS = [user("Who weighs figs?"), TALK, user("12"), user("Why do the dates and the salt and the figs open at dawn?")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS * 3, entries=320, positions=POSITIONS)


def random_model(kind: str, entries: int, **more: Any) -> Any:
    """Sure enough of its next tokens to go its own way after each prompt."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=entries, **(SHAPE | more))
    model = transformers.AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1) if "norm" in name else weight.normal_(0, 0.2, generator=generator)
    return model


def adapted(model: Any, **settings: Any) -> Any:
    """LoRA that changes something."""
    import peft

    torch.manual_seed(6)  # LoRA's first matrices are drawn, and dropout
    options = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3, "target_modules": "all-linear", **settings}
    tuned = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.1, generator=generator)
    return tuned


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model."""
    folder = tmp_path_factory.mktemp(request.param)
    random_model(request.param, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    random_model("Llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def live(folder: Path) -> Any:
    import transformers

    from course_lib import hub

    with hub.quiet():
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def saved(tuned: Any, folder: Path, **record: Any) -> Path:
    """An adapter as training leaves it."""
    tuned.save_pretrained(folder)
    if record:
        (folder / "finetune.json").write_text(json.dumps(record))
    return folder


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_transformers(kind: str, tokenizer: Any) -> None:
    model = random_model(kind, len(tokenizer))
    assistant = Assistant(model, tokenizer)
    found = assistant.answer(PROMPTS, max_new=24)
    model.eval()
    for messages, text in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([assistant.chat.prompt_ids(messages)])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert text == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
    assert len(set(found)) == len(PROMPTS)
    assert assistant.answer(PROMPTS, max_new=24, batch_size=1) == found
    assert assistant.answer([]) == []


def test_an_answer_ends_with_the_templates_token_and_does_not_show_it(tokenizer: Any) -> None:
    model = random_model("Llama", len(tokenizer))
    chat = Chat(tokenizer)
    (one,) = Assistant(model, tokenizer, chat).writer.generate([chat.prompt_ids(PROMPTS[0])])[0]
    end = one.ids[3]
    chat.__dict__["stop_ids"] = frozenset({end})
    (text,) = Assistant(model, tokenizer, chat).answer(PROMPTS[:1])
    assert text == tokenizer.decode(one.ids[: one.ids.index(end)], skip_special_tokens=True).strip()


def test_draws_follow_their_seed(tokenizer: Any) -> None:
    assistant = Assistant(random_model("Llama", len(tokenizer)), tokenizer)
    drawn = assistant.answer(PROMPTS, temperature=1.0, seed=3)
    assert assistant.answer(PROMPTS, temperature=1.0, seed=3, batch_size=2) == drawn
    assert assistant.answer(PROMPTS, temperature=1.0, seed=4) != drawn
    assert assistant.answer(PROMPTS, temperature=1.0, top_p=1e-6) == assistant.answer(PROMPTS)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_reply_in_pieces_is_the_answer(temperature: float, tokenizer: Any) -> None:
    assistant = Assistant(random_model("Llama", len(tokenizer)), tokenizer)
    for messages in PROMPTS:
        pieces = list(assistant.reply(messages, max_new=40, temperature=temperature))
        assert "".join(pieces) == assistant.answer([messages], max_new=40, temperature=temperature)[0]
        assert len(pieces) > 3
        assert all(pieces)


def test_spaces_around_a_reply_are_not_shown() -> None:
    from course_lib.instruct.assistant import _stripped

    assert list(_stripped(iter([" ", "\n a", " ", " b", "c ", "\n"]))) == ["a", "  b", "c"]
    assert list(_stripped(iter([" ", "\n"]))) == []


@torch.inference_mode()
def test_scores_are_sums_over_the_answer_and_its_end(base: Path, tokenizer: Any) -> None:
    assistant, model = Assistant.from_name(base), live(base).eval()
    pairs = [(messages, text) for messages in PROMPTS for text in ("figs", "The prices on a slate.", "")]
    expected = []
    for messages, text in pairs:
        prompt = assistant.chat.prompt_ids(messages)
        whole = assistant.chat.encode([*messages, {"role": "assistant", "content": text}])
        assert list(whole.ids[: len(prompt)]) == prompt
        answer = [k for k in range(len(prompt), len(whole.ids)) if whole.learn[k]]
        assert whole.ids[answer[-1]] == tokenizer.eos_token_id
        table = model(input_ids=torch.tensor([whole.ids])).logits[0].log_softmax(-1)
        expected.append(math.fsum(table[k - 1, whole.ids[k]].item() for k in answer))
    assert assistant.scores(pairs) == pytest.approx(expected, abs=1e-3)
    assert assistant.scores([]) == []


def test_plain_texts_go_without_the_template(llama: Path) -> None:
    assistant = Assistant.from_name(llama)
    decoding = Decoding(max_new=10)
    assert assistant.continue_(TEXTS, decoding) == [one.text for (one,) in assistant.writer.generate(TEXTS, decoding)]
    assert assistant.perplexity(TEXTS) == assistant.writer.perplexity(TEXTS)


def test_a_model_is_asked_while_it_learns(tokenizer: Any) -> None:
    tuned = adapted(random_model("Llama", len(tokenizer)), lora_dropout=0.05).train()
    assistant = Assistant(tuned, tokenizer)
    assert isinstance(assistant.writer.model, Decoder)
    first = assistant.answer(PROMPTS, max_new=16)
    assert first == assistant.answer(PROMPTS, max_new=16)
    assert all(module.training for module in tuned.modules())
    whole = assistant.chat.encode([*PROMPTS[0], {"role": "assistant", "content": "Yusra"}])
    ids = torch.tensor([whole.ids])
    labels = torch.where(torch.tensor([whole.learn]), ids, -100)
    steps = torch.optim.Adam([w for w in tuned.parameters() if w.requires_grad], 0.02)
    for _ in range(60):
        steps.zero_grad()
        tuned(input_ids=ids, labels=labels).loss.backward()
        steps.step()
    assert assistant.answer(PROMPTS[:1]) == ["Yusra"]
    with tuned.disable_adapter():
        assert assistant.answer(PROMPTS[:1]) != ["Yusra"]


# -- from disk ---------------------------------------------------------------------------------------------------------


def test_a_model_is_found_by_its_folder(base: Path) -> None:
    tokens = Assistant.from_name(str(base)).tokenizer
    assert Assistant.from_name(base, device="cpu").answer(PROMPTS) == Assistant(live(base), tokens).answer(PROMPTS)


def test_an_adapter_answers_as_it_did_alive_and_is_merged(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    tuned = adapted(live(base))
    expected = Assistant(tuned, tokenizer).answer(PROMPTS)
    assert expected != Assistant.from_name(base).answer(PROMPTS)
    with_record = saved(tuned, tmp_path / "one", base=str(base), method="lora")
    without = saved(tuned, tmp_path / "two")  # peft's own file names the base, too
    for folder in (with_record, without):
        assistant = Assistant.from_name(folder)
        assert assistant.answer(PROMPTS) == expected
        assert not any("lora" in name for name, _ in assistant.model.named_parameters())


def test_the_template_saved_with_an_adapter_is_its_own(llama: Path, tokenizer: Any, tmp_path: Path) -> None:
    folder = saved(adapted(live(llama)), tmp_path, base=str(llama), method="lora")
    assert Assistant.from_name(folder).chat.name == "course"
    mine = Assistant.from_name(llama).tokenizer
    mine.chat_template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    mine.save_pretrained(folder)
    chat = Assistant.from_name(folder).chat
    assert (chat.name, chat.template) == ("own", mine.chat_template)


def test_an_adapter_on_four_bits_stays_beside_them(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    import transformers

    from course_lib import hub

    bits = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    with hub.quiet():
        small = transformers.AutoModelForCausalLM.from_pretrained(
            base, quantization_config=bits, dtype=torch.float32, device_map={"": "cpu"}
        )
    tuned = adapted(small)
    expected = Assistant(tuned, tokenizer).answer(PROMPTS)
    folder = saved(tuned, tmp_path, base=str(base), method="qlora")
    assistant = Assistant.from_name(folder)
    assert assistant.answer(PROMPTS) == expected
    assert any(type(module).__name__ == "Linear4bit" for module in assistant.model.modules())
    assert any("lora_B" in name for name, _ in assistant.model.named_parameters())


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_is_told_its_length(llama: Path) -> None:
    assistant = Assistant.from_name(llama)
    long = user("a " * POSITIONS)
    count = len(assistant.chat.prompt_ids(long))
    with pytest.raises(
        CourseError, match=rf"Prompt 2 has {count} tokens, and with 8 new ones .* {POSITIONS} positions"
    ):
        assistant.answer([PROMPTS[0], long], max_new=8)
    with pytest.raises(CourseError, match=f"Prompt 1 has {count} tokens"):
        assistant.reply(long, max_new=8)
    with pytest.raises(CourseError, match="A prompt ends with a message of the user"):
        assistant.answer([[*PROMPTS[0], {"role": "assistant", "content": "figs"}]])


def test_a_missing_base_is_named(llama: Path, tmp_path: Path) -> None:
    folder = saved(adapted(live(llama)), tmp_path / "a", base=str(tmp_path / "gone"), method="lora")
    with pytest.raises(CourseError, match=r"The adapter in .* needs its base model '.*gone'\."):
        Assistant.from_name(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    (folder / "finetune.json").unlink()
    with pytest.raises(CourseError, match=r"does not say what its base model is: write it into finetune\.json"):
        Assistant.from_name(folder)
    (folder / "finetune.json").write_text("{")
    with pytest.raises(CourseError, match=r"finetune\.json cannot be read as JSON"):
        Assistant.from_name(folder)


@pytest.mark.parametrize("change", [{"hidden_size": 32}, {"num_hidden_layers": 3}], ids=["narrower", "deeper"])
def test_an_adapter_of_another_base_is_refused(
    change: dict[str, int], llama: Path, tokenizer: Any, tmp_path: Path
) -> None:
    other = adapted(random_model("Llama", len(tokenizer), **change))
    folder = saved(other, tmp_path, base=str(llama), method="lora")
    with pytest.raises(CourseError, match=r"does not fit the base model '.*' \(.+\): it was made for another one, or"):
        Assistant.from_name(folder)


def test_a_damaged_or_missing_adapter_is_named(llama: Path, tmp_path: Path) -> None:
    folder = saved(adapted(live(llama)), tmp_path, base=str(llama), method="lora")
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if ".0." in name}, weights)
    with pytest.raises(CourseError, match=r"layers\.1\..* is in one of them only"):
        Assistant.from_name(folder)
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(CourseError, match="or its files are damaged"):
        Assistant.from_name(folder)
    weights.unlink()
    with pytest.raises(CourseError, match=r"lacks adapter_model\.safetensors: copy or download the adapter again"):
        Assistant.from_name(folder)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(CourseError, match="holds no JSON object"):
        Assistant.from_name(folder)


def test_four_bits_need_bitsandbytes(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(adapted(live(llama)), tmp_path, base=str(llama), method="qlora")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(CourseError, match="pip install bitsandbytes"):
        Assistant.from_name(folder)
