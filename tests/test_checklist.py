"""Six questions to a model's files: what is there is found, and silence is called silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from course_lib.teach.checklist import SILENT, checklist

CARD = """---
license: mit
---
# A model

It was trained on letters that nobody had sent, from three towns.

| data set | texts |
|---|---|
| letters | 100 |

## Results

| task | accuracy |
|---|---|
| greeting | 93% |
| farewell | 87% |
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    save_file({"a": torch.zeros(3, 4), "b.position_ids": torch.zeros(7)}, tmp_path / "model.safetensors")
    return tmp_path


def answers(folder: Path) -> dict[str, tuple[str, str]]:
    return {row["question"]: (row["answer"], row["source"]) for row in checklist(str(folder))}


def test_a_model_without_a_card_says_little(folder: Path) -> None:
    found = answers(folder)
    assert found["What is it for?"] == ("continues a text (LlamaForCausalLM: decoder)", "config.json")
    assert found["How large is it?"][0].startswith("12 parameters")
    silent = [question for question, (answer, source) in found.items() if (answer, source) == (SILENT, "nowhere")]
    assert silent == ["May I use it?", "Trained on what?", "Measured how?"]


def test_a_card_answers_what_it_tells(folder: Path) -> None:
    (folder / "README.md").write_text(CARD)
    found = answers(folder)
    assert found["May I use it?"] == ("mit", "README.md")
    assert found["Trained on what?"][0].startswith("It was trained on letters")
    assert found["Measured how?"] == ("a table of 2 results", "README.md")


def test_a_table_of_data_sets_is_no_evaluation(folder: Path) -> None:
    (folder / "README.md").write_text(CARD.split("## Results")[0])
    assert answers(folder)["Measured how?"][0] == SILENT


def test_a_chat_format_is_the_trace_of_instruction_tuning(folder: Path) -> None:
    assert answers(folder)["Does it take orders?"][0].startswith("no chat format")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert answers(folder)["Does it take orders?"] == ("yes: it has a chat format", "tokenizer_config.json")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"architectures": ["BertModel"]}, "turns a text into vectors"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "encoder and decoder"),
        ({}, SILENT),
    ],
)
def test_the_architecture_tells_what_a_model_is_for(folder: Path, config: dict[str, object], says: str) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
    assert says in answers(folder)["What is it for?"][0]
