"""The benchmark of instruction tuning compares what it says: the same examples, tokens and training."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[tuple[Any, Any, Any]]:
    """The benchmark's runs and data, and a base model of two thin layers with the course's tokenizer."""
    sys.path.insert(0, str(BENCHMARKS))
    import tuning_data
    import tuning_runs
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base")
    config = json.loads((tuning_runs.BASE / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8, "dtype": "float32"}
    with tuning_runs.quietly():
        LlamaForCausalLM(LlamaConfig(**config)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tuning_runs.BASE / name).read_bytes())
    yield tuning_runs, tuning_data, tuning_runs.Setting(base=folder, batch=4, rate=1e-2)
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def some(parts: tuple[Any, Any, Any]) -> list[Any]:
    """Twenty examples of the course's own mixture."""
    runs, data, setting = parts
    return data.examples("own", 20, runs.tokenizer(setting))


@pytest.mark.parametrize("name", ["course", "trainer", "trainer-grouped", "trl-packed"])
def test_every_way_trains_once_on_each_example_and_counts_its_tokens(
    name: str, parts: tuple[Any, Any, Any], some: list[Any]
) -> None:
    runs, _, setting = parts
    done = runs.RUNNERS[name](some, setting)
    assert done.lengths == sorted(len(one.ids) for one in some)
    first = len(done.batches) // done.steps
    assert done.useful == sum(done.lengths) - sum(map(sum, done.batches[:first]))
    assert done.cpu_seconds > 0
    assert done.steps >= 2


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_course_and_the_trainer_take_the_same_steps(
    method: str, parts: tuple[Any, Any, Any], some: list[Any]
) -> None:
    runs, _, setting = parts
    setting = replace(setting, method=method)
    ours, theirs = runs.with_course(some, setting), runs.with_trainer(some, setting)
    assert ours.batches == theirs.batches
    assert ours.steps == theirs.steps
    before = runs.held_out_loss(runs.fresh(setting), some)
    after = [runs.held_out_loss(run.model, some) for run in (ours, theirs)]
    assert after[0] < before - 1e-3
    assert after[0] == pytest.approx(after[1], abs=1e-4)


def test_the_three_sets_are_what_they_are_called(parts: tuple[Any, Any, Any]) -> None:
    runs, data, setting = parts
    tokenizer = runs.tokenizer(setting)
    for name in data.NAMES:
        chosen = data.examples(name, 24, tokenizer)
        assert chosen == data.examples(name, 24, tokenizer)
        assert len(chosen) == 24
        assert all(one.ids[-1] == tokenizer.eos_token_id and one.learn[-1] and not one.learn[0] for one in chosen)
        share = data.describe(chosen)["answer_share"]
        assert share > 0.7 if name == "long answers" else share < 0.5
        if name == "long prompts":
            assert share < 0.05
