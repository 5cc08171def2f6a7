"""Pretraining: the tokenizer, the rows, a run that learns, is the same twice, and goes on after a kill."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import pretrain
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.errors import CourseError
from course_lib.pretrain import rows as packing
from course_lib.pretrain.run import loss
from course_lib.pretrain.tokenizer import BEGIN, END, PAD, SPECIAL

ROOT = Path(__file__).parents[1]
SHAPE = DecoderConfig(512, 32, 64, 2, 2, 1, 16, max_position_embeddings=512)
TINY = pretrain.Recipe("tiny", SHAPE, tokens=24_000, batch_size=4, learning_rate=5e-3, tokenizer_documents=60)


@pytest.fixture(scope="module")
def prepared():
    return pretrain.prepared(TINY, None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return pretrain.pretrain(TINY, tmp_path_factory.mktemp("whole"), precision="no")


# -- tokenizer and rows


def test_a_short_run_reads_about_as_much_as_it_asks_for(prepared):
    _, data = prepared
    assert 0.8 * TINY.tokens < sum(map(len, data)) < 2 * TINY.tokens


def test_digits_are_tokens_of_their_own(prepared):
    tokenizer, _ = prepared
    assert [token for token in tokenizer.tokenize("42 + 7") if token.strip("Ġ").isdigit()] == ["4", "2", "7"]


def test_every_text_comes_back_whatever_its_script(prepared):
    tokenizer, _ = prepared
    for text in ("Ama has 42 mangoes.\n\n", "Zürich, 東京", "a\tb  c"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_padding_beginning_and_end_are_three_tokens(prepared):
    tokenizer, _ = prepared
    ids = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert tokenizer.convert_ids_to_tokens(ids) == [PAD, BEGIN, END]
    assert len(set(tokenizer.convert_tokens_to_ids(list(SPECIAL)))) == len(SPECIAL)


def test_a_text_begins_with_the_token_of_beginning(prepared):
    tokenizer, _ = prepared
    assert tokenizer("The market")["input_ids"][0] == tokenizer.bos_token_id


def test_rows_are_full_and_begin_where_a_document_begins(prepared):
    tokenizer, rows = prepared
    assert {len(row) for row in rows} == {256, 512}
    assert all(row[0] == tokenizer.bos_token_id for row in rows)
    assert not any((row == tokenizer.pad_token_id).any() for row in rows)
    assert sum(map(len, rows)) >= TINY.tokens


def test_what_follows_an_end_is_a_beginning(prepared):
    tokenizer, rows = prepared
    for row in rows:
        behind = row[1:][row[:-1] == tokenizer.eos_token_id]
        assert (behind == tokenizer.bos_token_id).all()


def test_labels_are_the_next_tokens_and_mixed_lengths_are_cut():
    batch = packing.collate([np.arange(10, dtype=np.uint16), np.arange(20, 26, dtype=np.uint16)])
    assert batch["ids"].tolist() == [[0, 1, 2, 3, 4], [20, 21, 22, 23, 24]]
    assert batch["labels"].tolist() == [[1, 2, 3, 4, 5], [21, 22, 23, 24, 25]]


# -- the run


def test_the_first_loss_is_that_of_guessing_and_the_last_is_lower(finished):
    losses = finished.history.loss
    assert losses[0] == pytest.approx(math.log(SHAPE.vocab_size), abs=0.2)
    assert losses[-1] < losses[0] - 1


def test_the_loss_in_chunks_is_the_whole_cross_entropy(finished, monkeypatch):
    batch = packing.collate(pretrain.prepared(TINY, None)[1][:2])
    with torch.no_grad():
        whole = torch.nn.functional.cross_entropy(
            finished.model(batch["ids"]).flatten(0, 1), batch["labels"].flatten(), reduction="sum"
        )
        monkeypatch.setattr("course_lib.pretrain.run.CHUNK", 100)
        torch.testing.assert_close(loss(finished.model, batch), whole)


def test_an_interrupted_run_ends_as_if_it_had_not_been(finished, tmp_path, monkeypatch):
    from course_lib.train import loop

    take, taken = loop.Run.take, []

    def stops(run, step):
        if len(taken) == 7:
            raise KeyboardInterrupt
        taken.append(step)
        take(run, step)

    monkeypatch.setattr(loop.Run, "take", stops)
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(TINY, tmp_path, precision="no", save_every=3)
    monkeypatch.setattr(loop.Run, "take", take)
    before = float((tmp_path / "seconds.json").read_text(encoding="utf-8"))
    again = pretrain.pretrain(TINY, tmp_path, precision="no", save_every=3)
    assert again.seconds > before > 0
    assert again.history.resumed_at == 6
    assert again.history.loss == finished.history.loss
    for name, weight in finished.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name])


def test_a_folder_of_another_recipe_is_refused(finished, tmp_path):
    pretrain.prepared(TINY, tmp_path)
    with pytest.raises(CourseError, match="another recipe"):
        pretrain.prepared(replace(TINY, seed=1), tmp_path)


def test_the_saved_model_is_one_that_transformers_loads(finished, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pretrain.save(finished, tmp_path)
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([tokenizer("The market of Saromi opens")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, finished.model(ids), atol=1e-5, rtol=1e-5)
    assert theirs.config.eos_token_id == tokenizer.eos_token_id != tokenizer.pad_token_id


def test_the_outlook_counts_what_the_run_then_does(finished):
    ahead = pretrain.outlook(TINY, precision="no")
    assert ahead.steps == len(finished.history.loss)
    assert ahead.parameters == sum(p.numel() for p in finished.model.parameters())
    assert ahead.seconds > 0
    assert ahead.flops > 6 * ahead.parameters * TINY.tokens


def test_a_recipe_without_tokens_is_refused():
    with pytest.raises(CourseError, match="tokens must be at least 1"):
        replace(TINY, tokens=0)


# -- the committed models


def test_the_committed_recipes_say_how_the_committed_models_were_made():
    folders = [path for path in (ROOT / "assets" / "models").iterdir() if path.is_dir()]
    assert {path.name for path in folders} == set(pretrain.RECIPES)
    for folder in folders:
        recipe = pretrain.RECIPES[folder.name]
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        assert record["recipe"] == json.loads(json.dumps(asdict(recipe)))
        assert record["parameters"] == sum(p.numel() for p in Decoder(recipe.shape).parameters())
        assert record["tokens"] >= 0.99 * recipe.tokens
        assert (folder / "model.safetensors").stat().st_size <= 25e6


def test_the_committed_tokenizer_is_the_one_that_the_corpus_gives():
    from transformers import AutoTokenizer

    name = "course-base-small"
    made, _ = pretrain.prepared(replace(pretrain.RECIPES[name], tokens=1), None)
    held = AutoTokenizer.from_pretrained(ROOT / "assets" / "models" / name)
    assert held.get_vocab() == made.get_vocab()
    text = "Question: Ama has 42 mangoes.\nzomek : talu"
    assert held(text)["input_ids"] == made(text)["input_ids"]
