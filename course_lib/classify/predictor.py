"""A trained classifier as a folder: written by the ladder, loaded anywhere, used with one call.

The folder holds `classifier.json` (what it is), `weights.safetensors` (the head, or the whole small model) and, for
rungs with an encoder, `encoder/` in Hugging Face format with adapters merged in. Nothing in it can run code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import hardware
from course_lib.batching import pad
from course_lib.classify.encoder import Classifier, Encoder, Head, Span, find_blocks
from course_lib.classify.rungs import Outcome, Recurrent, _renumber
from course_lib.errors import CourseError

if TYPE_CHECKING:
    from course_lib.classify.ladder import RungResult
    from course_lib.classify.task import Task

ABOUT, WEIGHTS, ENCODER = "classifier.json", "weights.safetensors", "encoder"


@dataclass(frozen=True)
class Prediction:
    """A label and its share of the scores' softmax, which for a support vector machine is no probability."""

    label: str
    probability: float


class Predictor:
    """Texts to predictions."""

    def __init__(self, about: dict[str, Any], score: Any) -> None:
        self.about, self._score = about, score

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Scores (N, C) in the order of ``about["classes"]``."""
        return np.asarray(self._score(list(texts)))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The most likely label of each text."""
        if not texts:
            return []
        scores = self.scores(texts)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return [Prediction(self.about["classes"][row.argmax()], float(row.max())) for row in shares]


def save_predictor(folder: Path, outcome: Outcome, task: Task, result: RungResult) -> None:
    """Write what an outcome has trained; an older model in ``folder`` is replaced only when the new one is whole."""
    from safetensors.torch import save_file

    temporary = folder.with_name(folder.name + ".writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    about: dict[str, Any] = {
        "rung": result.rung,
        "title": result.title,
        "classes": list(task.train.classes),
        "accuracy": result.accuracy,
        "train_records": result.train_records,
        "max_length": task.encoder.max_length,
        "precision": task.precision,
        "base": task.encoder.name,
    }
    kind, tensors, extra = _parts(outcome, task, temporary)
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, temporary / WEIGHTS)
    (temporary / ABOUT).write_text(json.dumps({**about, "kind": kind, **extra}), encoding="utf-8")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def _parts(outcome: Outcome, task: Task, folder: Path) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """The kind of a trained thing, its tensors, and what else is needed to build it again."""
    trained = outcome.trained
    if isinstance(trained, np.ndarray):
        return "majority", {"scores": torch.from_numpy(trained)}, {}
    if isinstance(trained, Classifier):
        _save_encoder(_whole_encoder(trained.span, task.encoder), folder / ENCODER)
        task.encoder.tokenizer.save_pretrained(folder / ENCODER)
        return "encoder", dict(trained.head.state_dict()), {"hidden": _hidden(trained.head)}
    if isinstance(trained[0], Recurrent):
        model, known = trained
        task.encoder.tokenizer.save_pretrained(folder / ENCODER)
        return "rnn", {**model.cpu().state_dict(), "known": known}, {"width": model.gru.hidden_size}
    vectorizer, weights, bias = trained
    tensors = {"weights": weights, "bias": bias, "idf": vectorizer.idf_}
    words = {word: int(place) for word, place in vectorizer.vocabulary_.items()}
    return "tfidf", {k: torch.from_numpy(np.asarray(v)) for k, v in tensors.items()}, {"vocabulary": words}


def _save_encoder(model: Any, folder: Path) -> None:
    """What ``save_pretrained`` writes, without its progress bar."""
    from safetensors.torch import save_file

    model.config.save_pretrained(folder)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _whole_encoder(span: nn.Module, base: Encoder) -> Any:
    """The pretrained model with the trained blocks of a span put back in their places."""
    if not span.takes_states:
        return span.model.cpu()
    model = base.span(0).model
    blocks, trained = list(find_blocks(model)[1]), list(_blocks_of(span))
    for block, new in zip(blocks[-len(trained) :], trained, strict=True):
        block.load_state_dict({name: value.cpu() for name, value in new.state_dict().items()})
    return model


def _blocks_of(span: nn.Module) -> nn.ModuleList:
    assert isinstance(span, Span)
    return find_blocks(span.model)[1]


def _hidden(head: nn.Module) -> int:
    return head[0].out_features if isinstance(head, Head) and len(head) > 1 else 0  # type: ignore[return-value]


def load_predictor(folder: Path) -> Predictor:
    """The classifier saved in ``folder``. Raises CourseError when there is none or it is damaged."""
    folder = Path(folder)
    if not (folder / ABOUT).is_file() and (folder / "model" / ABOUT).is_file():
        folder = folder / "model"  # the folder of the climb was meant
    try:
        from safetensors.torch import load_file

        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        return Predictor(about, _BUILDERS[about["kind"]](folder, about, tensors))
    except FileNotFoundError as error:
        raise CourseError(
            f"There is no trained classifier in {folder}; give the folder that `course ladder --out` has written."
        ) from error
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise CourseError(f"The classifier in {folder} is damaged ({type(error).__name__}); train it again.") from error


def _build_majority(folder: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    scores = np.log(np.maximum(tensors["scores"].numpy(), 1e-9))  # so that the softmax gives the classes' shares
    return lambda texts: np.tile(scores, (len(texts), 1))


def _build_tfidf(folder: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, vocabulary=about["vocabulary"])
    vectorizer.idf_ = tensors["idf"].numpy()
    weights, bias = tensors["weights"].numpy(), tensors["bias"].numpy()
    return lambda texts: vectorizer.transform(texts) @ weights.T + bias


def _build_rnn(folder: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / ENCODER)
    known = tensors.pop("known")
    model = Recurrent(len(known) + 1, about["width"], len(about["classes"]))
    model.load_state_dict(tensors)

    def rows(texts: list[str]) -> list[Tensor]:
        ids = tokenizer(texts, truncation=True, max_length=about["max_length"])["input_ids"]
        return [_renumber(torch.tensor(row), known) for row in ids]

    return lambda texts: _in_batches(model.eval(), rows(texts), about["precision"])


def _build_encoder(folder: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    encoder = Encoder.load(str(folder / ENCODER), about["max_length"])
    head = Head(encoder.width, len(about["classes"]), about["hidden"])
    head.load_state_dict(tensors)
    model = Classifier(encoder.span(0), head).eval()
    return lambda texts: _in_batches(model, encoder.tokenize(texts), about["precision"])


_BUILDERS = {"majority": _build_majority, "tfidf": _build_tfidf, "rnn": _build_rnn, "encoder": _build_encoder}


def _in_batches(model: nn.Module, rows: list[Tensor], precision: str, size: int = 32) -> np.ndarray:
    """Logits (N, C), in the order given; neighbours in length share a batch."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    out: list[Any] = [None] * len(rows)
    with torch.no_grad(), hardware.autocast(precision, "cpu"):
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            logits = model(*pad([rows[i] for i in chosen])).float().numpy()
            for i, row in zip(chosen, logits, strict=True):
                out[i] = row
    return np.stack(out)
