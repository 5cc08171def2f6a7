"""Fine-tuning on pairs: what counts for the loss, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from course_lib import decoder, supervised, train
from course_lib.batching import IGNORE
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.errors import CourseError
from course_lib.pretrain.tokenizer import train_tokenizer

TEXTS = ["mango : zomek", "goat : talu", "the market opens at dawn", "Question: who?\nAnswer: Ama"] * 20


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, entries=300, positions=32)


def tiny(tokenizer) -> Decoder:
    model = Decoder(DecoderConfig(len(tokenizer), 32, 64, 2, 2, 1, 16, max_position_embeddings=32))
    decoder.initialise(model, 0)
    return model


def test_only_the_answer_and_its_end_have_labels(tokenizer):
    items = supervised.encode(tokenizer, [("mango :", " zomek"), ("goat :", " talu")], 32)
    batch = supervised.collate(items, tokenizer.pad_token_id)
    for row, answer in zip(batch["labels"], (" zomek", " talu"), strict=True):
        wanted = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert row[row != IGNORE].tolist() == wanted


def test_each_label_is_the_token_behind_its_position(tokenizer):
    items = supervised.encode(tokenizer, [("mango :", " zomek")], 32)
    batch = supervised.collate(items, tokenizer.pad_token_id)
    ids, labels, whole = batch["ids"][0], batch["labels"][0], items[0][0]
    assert len(ids) == len(whole) - 1
    for k in range(len(ids)):
        assert labels[k] in (IGNORE, whole[k + 1])


def test_the_loss_is_the_sum_over_labels_of_the_full_logits(tokenizer):
    model = tiny(tokenizer)
    batch = supervised.collate(supervised.encode(tokenizer, [("mango :", " zomek"), ("go", " talu")], 32), 0)
    wanted = F.cross_entropy(
        model(batch["ids"]).flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE, reduction="sum"
    )
    torch.testing.assert_close(supervised.loss(model, batch), wanted)


def test_a_model_learns_its_pairs_and_stops_after_the_answer(tokenizer):
    from course_lib.generate import Decoding, Writer

    model = tiny(tokenizer)
    config = train.TrainConfig(epochs=120, learning_rate=1e-2, precision="no")
    history = supervised.tune(model, tokenizer, [("mango :", " zomek"), ("goat :", " talu")], config)
    assert history.loss[-1] < 0.1 * history.loss[0]
    said = Writer(model, tokenizer).generate(["mango :", "goat :"], Decoding(max_new=12))
    assert [(one[0].text, one[0].finish) for one in said] == [(" zomek", "end"), (" talu", "end")]


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [([], "empty"), ([("a", "")], "example 1 is empty"), ([("a", " b"), ("long " * 40, " b")], "Example 2 has")],
)
def test_pairs_that_cannot_be_learned_are_named(tokenizer, pairs, sentence):
    with pytest.raises(CourseError, match=sentence):
        supervised.tune(tiny(tokenizer), tokenizer, pairs, train.TrainConfig())


class Bare:
    """A tokenizer like those of some base models: no token at the beginning, none for padding."""

    pad_token_id = None

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.eos_token_id = tokenizer, tokenizer.eos_token_id

    def __call__(self, texts, add_special_tokens=True):
        return self.tokenizer(texts, add_special_tokens=False)


def test_without_a_token_at_the_beginning_an_empty_prompt_gives_the_first_token_of_the_answer(tokenizer):
    (item,) = supervised.encode(Bare(tokenizer), [("", "the market opens")], 32)
    labels = supervised.collate([item], 0)["labels"][0]
    assert labels.tolist() == item[0][1:]


def test_a_model_without_a_padding_token_can_be_tuned(tokenizer):
    config = train.TrainConfig(epochs=1, memory="ignore", progress=False)
    history = supervised.tune(tiny(tokenizer), Bare(tokenizer), [("", "goat : talu"), ("mango :", " zomek")], config)
    assert history.loss[-1] > 0
