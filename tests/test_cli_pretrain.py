"""`course pretrain` and `course evaluate`: a tiny model from nothing to its card, mistakes, an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib import pretrain
from course_lib.decoder import DecoderConfig
from course_lib.train import loop

SHAPE = DecoderConfig(512, 32, 64, 2, 2, 1, 16, max_position_embeddings=4096)
TINY = pretrain.Recipe("tiny", SHAPE, tokens=12_000, batch_size=4, learning_rate=5e-3, tokenizer_documents=60)
Captured = Callable[..., tuple[int, str, str]]


@pytest.fixture
def course(course: Captured, monkeypatch: pytest.MonkeyPatch) -> Captured:
    """A command line with a recipe that takes seconds."""
    monkeypatch.setitem(pretrain.RECIPES, "tiny", TINY)
    return course


def test_the_plan_says_what_a_run_takes_and_trains_nothing(course: Captured, tmp_path: Path) -> None:
    code, out, err = course("pretrain", "tiny", "--plan", "--out", tmp_path, "--precision", "no")
    assert (code, out) == (0, "")
    assert all(word in err for word in ("parameters", "tokens", "steps", "FLOPs", "on this machine"))
    assert not (tmp_path / "checkpoints").exists()


def test_a_model_comes_with_a_card_that_says_how_it_was_made(course: Captured, tmp_path: Path) -> None:
    code, out, err = course("pretrain", "tiny", "--out", tmp_path, "--precision", "no", "--items", "10")
    assert code == 0, err
    record = json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert out.strip() == card.strip()
    assert f"{record['tokens']:,} tokens" in card
    assert record["recipe"]["seed"] == 0
    assert record["loss"][0]["loss"] > record["loss"][-1]["loss"]
    rows = record["evaluation"]["scores"]
    assert {row["n"] for row in rows} == {10}
    assert all(0 <= row["interval"][0] <= row["share"] <= row["interval"][1] <= 1 for row in rows)
    ratio = record["evaluation"]["perplexity"]
    assert min(ratio.values()) > 1

    code, out, _ = course("evaluate", tmp_path / "model", "--items", "10", "--json")
    assert code == 0
    again = json.loads(out)["scores"]
    before_tuning = [row for row in rows if row["how"] != "after 320 examples"]
    assert [row for row in again if row["how"] != "after 320 examples"] == before_tuning


def test_an_interruption_says_where_the_run_continues(
    course: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = loop.Run.take, []

    def stops(run: loop.Run, step: list[list[int]]) -> None:
        if run.config.save_to and len(taken) == 3:
            raise KeyboardInterrupt
        if run.config.save_to:
            taken.append(step)
        take(run, step)

    monkeypatch.setattr(loop.Run, "take", stops)
    code, _, err = course("pretrain", "tiny", "--out", tmp_path, "--precision", "no", "--items", "0")
    assert code == 130
    assert f"{tmp_path}, where the same command continues." in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pretrain", "gpt-5"), "choose course-base-small or course-base"),
        (("pretrain", "tiny", "--tokens", "0"), "--tokens"),
        (("pretrain", "tiny", "--precision", "int3"), "precision must be"),
        (("evaluate", "nowhere/at/all"), "nowhere/at/all"),
        (("evaluate", "minilm"), "encoder"),
    ],
)
def test_mistakes_are_one_sentence(course: Captured, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    more = ("--out", tmp_path) if arguments[0] == "pretrain" else ()
    code, out, err = course(*arguments, *more)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_a_file_where_a_folder_is_wanted_and_a_damaged_run_are_one_sentence_each(
    course: Captured, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    code, _, err = course("pretrain", "tiny", "--out", tmp_path / "note.txt", "--plan")
    assert code != 0
    assert "is a file: name a folder" in err
    assert (tmp_path / "note.txt").read_text() == "mine"
    run = tmp_path / "run"
    assert course("pretrain", "tiny", "--out", run, "--plan", "--precision", "no")[0] == 0
    (run / "rows.npz").unlink()
    code, _, err = course("pretrain", "tiny", "--out", run, "--plan")
    assert code != 0
    assert f"The run in {run} cannot be read" in err
