"""Packed rows: the same loss, the same gradients, and no text that sees another, whatever computes them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib import decoder
from course_lib.batching import Item, packed, padded
from course_lib.decoder import Decoder
from course_lib.instruct.attention import forward, packs, use_packing
from course_lib.instruct.tune import loss

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {
    "vocab_size": 160, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {"vocab_size": 160, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": SHAPE,
    "Qwen2": SHAPE,
    "Mistral": {**SHAPE, "sliding_window": 5},
    "Gemma": SHAPE,
    "GPT2": {**GPT2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "Bloom": {"vocab_size": 160, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0},
    "OPT": {**SHAPE, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
}


def a_model(family: str, seed: int = 0, **more: Any) -> Any:
    """Random weights, large enough that a token changes what comes after it."""
    import transformers

    config = getattr(transformers, f"{family}Config")(**{**FAMILIES.get(family, SHAPE), **more})
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "norm" not in name:
                weight.normal_(0, 0.15)
    return model.train()


def some_items(lengths: Sequence[int] = (9, 3, 14, 2, 7), seed: int = 1) -> list[Item]:
    """Texts of these lengths in which some tokens count, the last always."""
    draw = random.Random(seed)
    return [
        (
            [draw.randrange(3, 160) for _ in range(length)],
            [k == length - 1 or draw.random() < 0.5 for k in range(length)],
        )
        for length in lengths
    ]


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_packed_row_by_hand() -> None:
    no, yes = False, True
    row = packed([([10, 11, 12, 13], [no, no, yes, yes]), ([20, 21, 22], [yes, no, yes])])
    assert row["input_ids"].tolist() == [[10, 11, 12, 13, 20, 21, 22]]
    assert row["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert row["lengths"] == (4, 3)
    # 12 comes after place 1, 13 after 2, 22 after 5; 20 is the first of its text, and is predicted from nothing.
    assert row["keep"].tolist() == [1, 2, 5]
    assert row["labels"].tolist() == [12, 13, 22]


def test_padded_rows_by_hand() -> None:
    no, yes = False, True
    rows = padded([([10, 11, 12, 13], [no, no, yes, yes]), ([20, 21, 22], [yes, no, yes])], pad=7)
    assert rows["input_ids"].tolist() == [[10, 11, 12, 13], [20, 21, 22, 7]]
    assert rows["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert rows["keep"].tolist() == [1, 2, 5]
    assert rows["labels"].tolist() == [12, 13, 22]


def test_both_ways_ask_for_the_same_tokens() -> None:
    items = some_items()
    flat = padded(items, pad=0)["input_ids"].flatten()
    assert packed(items)["labels"].tolist() == padded(items, pad=0)["labels"].tolist()
    assert flat[padded(items, pad=0)["keep"]].tolist() == packed(items)["input_ids"][0, packed(items)["keep"]].tolist()


@pytest.mark.parametrize("make", [packed, lambda items: padded(items, 0)])
def test_texts_without_anything_to_predict_give_no_labels(make: Callable[[list[Item]], dict[str, Any]]) -> None:
    batch = make([([4], [True]), ([5, 6], [True, False])])
    assert batch["labels"].tolist() == []
    assert batch["keep"].dtype == batch["labels"].dtype == torch.long


# -- the same loss and the same gradients ------------------------------------------------------------------------------


def learned_from(model: Any, batches: Sequence[dict[str, Any]], count: int) -> tuple[float, dict[str, Tensor]]:
    """The mean loss over all labels of some batches, and its gradients."""
    model.zero_grad()
    total = 0.0
    for batch in batches:
        value = loss(model, batch) / count
        value.backward()
        total += float(value.detach())
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def the_same(first: tuple[float, dict[str, Tensor]], second: tuple[float, dict[str, Tensor]]) -> None:
    assert first[0] == pytest.approx(second[0], abs=1e-6)
    assert first[1].keys() == second[1].keys()
    assert first[1]
    for name, gradient in first[1].items():
        torch.testing.assert_close(gradient, second[1][name], atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def alone(model: Any, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Each text as a row of its own, through the model's own attention: packed has no say in it."""
    return [padded([item], 0) for item in items]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "Bloom"])
def test_packed_loss_and_gradients_are_those_of_the_texts_one_by_one_and_padded(family: str) -> None:
    model, items = a_model(family), some_items()
    count = len(packed(items)["labels"])
    one_by_one = learned_from(model, alone(model, items), count)
    side_by_side = learned_from(model, [padded(items, 0)], count)
    the_same(side_by_side, one_by_one)
    assert use_packing(model)
    the_same(learned_from(model, [packed(items)], count), one_by_one)
    the_same(learned_from(model, [packed(items[:2]), packed(items[2:])], count), one_by_one)


@pytest.mark.parametrize("tied", [True, False])
def test_the_courses_decoder_gives_the_packed_loss_and_gradients_of_transformers(tied: bool) -> None:
    model, items = a_model("Llama", tie_word_embeddings=tied), some_items()
    count = len(packed(items)["labels"])
    theirs = learned_from(model, alone(model, items), count)
    ours = decoder.adopt(model)
    assert isinstance(ours, Decoder)
    value = learned_from(ours, [packed(items)], count)
    named = {id(p): name for name, p in model.named_parameters()}
    mine = {named[id(p)]: value[1][name] for name, p in ours.named_parameters()}
    the_same((value[0], mine), theirs)


def test_a_packed_row_may_be_longer_than_the_model_has_positions() -> None:
    items = some_items(lengths=[40, 50, 60])
    count = len(packed(items)["labels"])
    for family in ("Llama", "GPT2"):
        model = a_model(family)
        expected = learned_from(model, alone(model, items), count)
        assert use_packing(model)
        the_same(learned_from(model, [packed(items)], count), expected)


def test_the_decoder_takes_a_row_longer_than_its_positions_and_refuses_such_a_text() -> None:
    from course_lib.errors import CourseError

    ours = decoder.adopt(a_model("Llama"))
    items = some_items(lengths=[60, 64])
    assert forward(ours, packed(items)).shape == (len(packed(items)["labels"]), 160)
    with pytest.raises(CourseError, match="65 tokens do not fit the 64 positions"):
        forward(ours, packed(some_items(lengths=[5, 65])))


# -- no leak -----------------------------------------------------------------------------------------------------------


def all_logits(model: Any, items: Sequence[Item]) -> list[Tensor]:
    """The logits after each token but the last of each text."""
    whole = [(ids, [True] * len(ids)) for ids, _ in items]
    with torch.no_grad():
        return list(forward(model, packed(whole)).split([len(ids) - 1 for ids, _ in whole]))


@pytest.mark.parametrize("family", ["Llama", "decoder", "Qwen2", "Mistral", "Gemma", "GPT2"])
def test_a_changed_token_changes_no_other_text(family: str) -> None:
    model = a_model("Llama" if family == "decoder" else family).eval()
    if family == "decoder":
        model = decoder.adopt(model)
    else:
        assert use_packing(model)
    items = some_items(lengths=[6, 8, 7])
    before = all_logits(model, items)
    for changed in range(len(items)):
        other = copy.deepcopy(items)
        other[changed][0][0] = 2  # the first token of a text: all others of this text see it
        after = all_logits(model, other)
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            if k == changed:
                assert (old - new).abs().max() > 1e-3
            else:
                assert torch.equal(old, new)


def test_a_window_is_heeded_within_a_text() -> None:
    model = a_model("Mistral", num_hidden_layers=1).eval()
    assert use_packing(model)
    items = some_items(lengths=[12, 4])
    other = copy.deepcopy(items)
    other[0][0][0] = 2
    (old, _), (new, _) = all_logits(model, items), all_logits(model, other)
    near = FAMILIES["Mistral"]["sliding_window"]
    assert (old[:near] - new[:near]).abs().amax(-1).min() > 1e-4
    assert torch.equal(old[near:], new[near:])


# -- models that cannot be packed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["Gemma2", "Bloom"])
def test_a_model_that_cannot_be_packed_stays_as_it_was(family: str, capfd: pytest.CaptureFixture[str]) -> None:
    model = a_model(family)  # the one has a soft cap, the other no attention but its own
    before = model.config._attn_implementation
    items = some_items()
    expected = learned_from(model, [padded(items, 0)], 10)
    assert not use_packing(model)
    assert model.config._attn_implementation == before
    assert model.training
    the_same(learned_from(model, [padded(items, 0)], 10), expected)
    assert capfd.readouterr().err == ""


def test_a_leak_is_noticed() -> None:
    """The trial that decides about packing, on a model that hears of lengths and does not heed them."""
    model = a_model("Llama")
    assert use_packing(model)
    assert packs(model)
    plain = a_model("Llama")
    ask = plain.forward
    plain.forward = lambda *given, lengths=(), **options: ask(*given, **options)
    assert not packs(plain)
