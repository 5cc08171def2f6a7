"""Models that continue texts: the course's own, with their hashes, and causal ones from the hub."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from course_lib import assets, decoder, hub
from course_lib.errors import CourseError
from course_lib.hub import shipped
from tests import hub_fixtures
from tests.hub_fixtures import point_at, refusal
from tests.loopback_hub import LoopbackHub
from tests.loopback_writers import WRITER, writer_files

server, loopback = hub_fixtures.server, hub_fixtures.loopback

WEIGHTS = "model.safetensors"
OWN = [name for name, source in hub.MODELS.items() if source.asset]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model in the place of ``course-base``, sealed."""
    monkeypatch.setattr(assets, "PACKAGE", tmp_path / "course_lib")
    folder = tmp_path / "assets" / "models" / "course-base"
    folder.mkdir(parents=True)
    for name, content in writer_files(chat=True).items():
        if "/" not in name:
            (folder / name).write_bytes(content)
    assert hub.seal(folder) == folder / "SHA256SUMS"
    return folder


# The course's own models


def test_a_sealed_model_is_served_and_loads(own: Path) -> None:
    assert hub.model_folder("course-base") == own
    assert hub.causal_folder("course-base") == own
    assert hub.config_file("course-base") == own / "config.json"
    model, tokenizer = decoder.load(own), hub.load_tokenizer(own)
    ids = torch.tensor([tokenizer("7 mangoes").input_ids])
    assert model(ids).shape == (1, 9, model.config.vocab_size)


def test_the_hashes_are_those_of_the_command_sha256sum_and_leave_the_model_card_out(own: Path) -> None:
    lines = dict(reversed(line.split("  ")) for line in (own / "SHA256SUMS").read_text().splitlines())
    assert set(shipped.NEEDED) < set(lines)
    assert not {"README.md", "SHA256SUMS"} & set(lines)
    assert lines[WEIGHTS] == shipped.hash_of(own / WEIGHTS)
    (own / "README.md").write_text("# Edited\n")
    assert hub.model_folder("course-base") == own


def test_sealing_anew_accepts_new_weights(own: Path) -> None:
    (own / WEIGHTS).write_bytes(writer_files(chat=True, layers=1)[WEIGHTS])
    assert "is not what SHA256SUMS says" in refusal("course-base")
    hub.seal(own)
    assert hub.model_folder("course-base") == own
    assert not list(own.glob(".*")), "the list was written beside the old one and took its place"


def test_a_flipped_bit_of_any_file_is_noticed_and_the_file_named(own: Path) -> None:
    for name in shipped.NEEDED:
        whole = (own / name).read_bytes()
        (own / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        sentence = refusal("course-base")
        assert f"{name} is not what" in sentence
        assert "course pretrain" in sentence
        (own / name).write_bytes(whole)
    assert hub.model_folder("course-base") == own


@pytest.mark.parametrize("name", [*shipped.NEEDED, "SHA256SUMS"])
def test_a_missing_file_of_a_model_is_named(own: Path, name: str) -> None:
    (own / name).unlink()
    assert f"no sound {name}:" in refusal("course-base")


@pytest.mark.parametrize("content", [b"", b"no hashes\n", b"\xff\xfe", b"0" * 64 + b"  ../../elsewhere\n"])
def test_a_damaged_list_of_hashes_is_named(own: Path, content: bytes) -> None:
    (own / "SHA256SUMS").write_bytes(content)
    assert "no sound SHA256SUMS" in refusal("course-base")


def test_a_list_that_leaves_the_weights_out_vouches_for_nothing(own: Path) -> None:
    lines = (own / "SHA256SUMS").read_text().splitlines(keepends=True)
    (own / "SHA256SUMS").write_text("".join(line for line in lines if WEIGHTS not in line))
    assert f"no sound {WEIGHTS}" in refusal("course-base")


def test_a_model_that_was_not_installed_is_named_with_the_ways_to_get_it(own: Path) -> None:
    sentence = refusal("course-base-small")  # only the larger one lies in the folder of this test
    assert "'course-base-small' is missing" in sentence
    assert "course pretrain" in sentence


def test_half_a_model_is_not_sealed(own: Path) -> None:
    (own / "tokenizer.json").unlink()
    (own / WEIGHTS).unlink()
    with pytest.raises(CourseError, match=r"no model.safetensors, no tokenizer.json"):
        hub.seal(own)


@pytest.mark.parametrize("name", OWN)
def test_the_models_in_the_assets_are_what_the_table_says(name: str) -> None:
    source = hub.MODELS[name]
    folder = hub.causal_folder(name)
    assert (folder / "README.md").is_file()
    assert decoder.load(folder).config == decoder.DecoderConfig.from_hf(
        json.loads((folder / "config.json").read_text())
    )
    assert sum(weight.numel() for weight in decoder.load(folder).parameters()) == source.parameters
    assert round((folder / WEIGHTS).stat().st_size / 1e6) == source.megabytes <= 25


# Causal models of the hub


@pytest.mark.parametrize("name", ["smollm2-135m", "smollm2-360m", "smollm2-1.7b", "smollm2-1.7b-instruct"])
def test_a_writer_of_the_hub_gives_the_scores_that_transformers_gives(loopback: LoopbackHub, name: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = hub.causal_folder(name)
    tokenizer = hub.load_tokenizer(folder)
    ids = torch.tensor([tokenizer("Question: 12 jars and 30 more?").input_ids])
    assert tokenizer.decode(ids[0]) == "Question: 12 jars and 30 more?", "no token in front, digits apart"
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(decoder.load(folder)(ids), reference(ids).logits, atol=1e-5, rtol=0)
    assert not loopback.asked_for("*.onnx")


def test_the_instruction_model_brings_its_chat_format(loopback: LoopbackHub) -> None:
    tokenizer = hub.load_tokenizer(hub.causal_folder("smollm2-1.7b-instruct"))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_writer_is_opened_without_a_network_once_it_is_here(loopback: LoopbackHub, monkeypatch) -> None:
    assert not hub.model_held("smollm2-135m")
    folder = hub.causal_folder("smollm2-135m")
    assert hub.model_held("smollm2-135m")
    point_at(monkeypatch, "http://127.0.0.1:9")
    assert hub.causal_folder("smollm2-135m") == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.causal_folder("smollm2-135m") == folder
    assert "COURSE_TIER=cpu" in refusal("smollm2-1.7b-instruct", hub.causal_folder)


def test_a_chat_format_in_a_file_of_its_own_is_fetched(loopback: LoopbackHub, monkeypatch) -> None:
    repo = loopback.repos["models", WRITER[0]]
    newer = dataclasses.replace(repo, files=repo.files | {"chat_template.jinja": b"{{ messages[0].content }}"})
    monkeypatch.setitem(loopback.repos, ("models", WRITER[0]), newer)
    assert (hub.model_folder("smollm2-1.7b-instruct") / "chat_template.jinja").is_file()


# What causal_folder refuses


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("distilbert", ["an encoder", "cannot continue one", "course-base-small or course-base or smollm2"]),
        ("course-tests/both", ["an encoder-decoder", "turns one text into another"]),
        ("course-tests/custom-code", ["never runs"]),
        ("course-tests/pickled", ["an encoder"]),
    ],
)
def test_what_writes_no_text_is_refused_before_its_weights_are_downloaded(
    loopback: LoopbackHub, name: str, words: list[str]
) -> None:
    sentence = refusal(name, hub.causal_folder)
    assert all(word in sentence for word in words), sentence
    assert not loopback.asked_for(WEIGHTS)


def test_the_embedded_encoder_is_no_writer_and_a_writer_no_encoder(own: Path) -> None:
    assert "an encoder, which reads a whole text at once" in refusal("minilm", hub.causal_folder)
    sentence = refusal("course-base", hub.load_encoder)
    assert "a decoder, which sees each word's past only" in sentence
    assert sentence.endswith("minilm or distilbert will do.")


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "vit"}, "no language model"),
        ({"model_type": ["llama"]}, "upgrade"),
        ({"model_type": "tomorrow"}, "upgrade"),
        ({}, "upgrade"),
    ],
)
def test_a_configuration_of_something_else_is_no_writers(config: dict[str, object], word: str) -> None:
    with pytest.raises(CourseError, match=word):
        hub.check_causal("mine", config)


def test_a_folder_of_the_readers_own_is_a_writer_too(own: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    os.rename(own, mine)
    (mine / "SHA256SUMS").unlink()  # nobody promised anything about these
    assert hub.causal_folder(str(mine)) == mine
    (mine / "tokenizer.json").write_text("{")
    for name in ("vocab.json", "merges.txt"):
        (mine / name).unlink()
    with pytest.raises(CourseError, match="cannot be loaded"):
        hub.load_tokenizer(mine)
    (mine / "config.json").unlink()
    assert "no config.json" in refusal(str(mine), hub.causal_folder)


def test_encoders_and_writers_share_the_table() -> None:
    assert hub.encoders() == ["minilm", "distilbert"]
    assert sorted(hub.encoders() + hub.writers()) == sorted(hub.MODELS)
