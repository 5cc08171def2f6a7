"""The rungs of the ladder, from a guess to full fine-tuning, and what each of them leaves behind.

Every rung starts clean: a fresh copy of the pretrained blocks it trains, fresh heads, its own seed. A rung is a
function from a task to an outcome: predictions for the test texts, how many weights it trained, and the trained thing.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import hardware, train
from course_lib.batching import Batches, mean_pool, pad
from course_lib.classify.encoder import Classifier, Head, Span, find_blocks
from course_lib.classify.task import Task
from course_lib.errors import CourseError
from course_lib.train import History, TrainConfig


@dataclass(frozen=True)
class Outcome:
    """What a rung leaves: scores (N, C) for the test texts, the trained weights' count and the trained thing."""

    scores: np.ndarray
    trainable_params: int
    trained: Any
    level: int | None = None  # of the cached states it used
    history: History | None = None


@dataclass(frozen=True)
class Rung:
    """One way to get a classifier. ``checkpoints`` is where its training may save itself."""

    name: str
    title: str
    run: Callable[[Task, Path | None], Outcome]


def rungs(depth: int) -> dict[str, Rung]:
    """All rungs for an encoder with ``depth`` blocks, from the bottom to the top."""
    found = [
        Rung("majority", "most frequent class", majority),
        Rung("tfidf", "tf-idf + logistic regression", tfidf),
        Rung("rnn", "recurrent network from scratch", recurrent),
        Rung("features-logreg", "frozen features + logistic regression", features_logreg),
        Rung("features-svm", "frozen features + linear SVM", features_svm),
        Rung("head", "frozen encoder + trained head (I)", head),
    ]
    for n in range(1, depth + 1):
        title = f"last {n} blocks" if n > 1 else "last block"
        found.append(Rung(f"last-{n}", title, partial(last_blocks, n=n)))
    found += [
        Rung("all", "all layers (II)", all_layers),
        Rung("layerwise", "all layers, layer-wise rates", layerwise),
        Rung("lora", "LoRA", lora),
    ]
    return {rung.name: rung for rung in found}


def select(depth: int, names: list[str] | None) -> list[Rung]:
    """The rungs with these names in the ladder's order; all of them without names."""
    known = rungs(depth)
    for name in names or []:
        if name not in known:
            raise CourseError(f"There is no rung {name!r}; choose among {', '.join(known)}.")
    return [rung for rung in known.values() if not names or rung.name in names]


# -- without a pretrained encoder --------------------------------------------------------------------------------------


def majority(task: Task, saves: Path | None) -> Outcome:
    """Always the most frequent class: the figure that every other one must beat."""
    counts = np.bincount(task.train.labels, minlength=task.classes).astype(float)
    return Outcome(np.tile(counts, (len(task.test), 1)), 0, counts)


def tfidf(task: Task, saves: Path | None) -> Outcome:
    """Words and pairs of words weighted by rarity, and a linear classifier."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = vectorizer.fit_transform(task.train.texts)
    weights, bias = _linear(features, task, svm=False)
    scores = vectorizer.transform(task.test.texts) @ weights.T + bias
    return Outcome(scores, weights.size + bias.size, (vectorizer, weights, bias))


class Recurrent(nn.Module):
    """Token embeddings, a bidirectional GRU, the mean over time and a linear head: ids (B, T) to logits (B, C)."""

    def __init__(self, vocabulary: int, width: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(0.3)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, C)."""
        states, _ = self.gru(self.dropout(self.embedding(inputs)))
        return self.head(self.dropout(mean_pool(states, mask)))


def recurrent(task: Task, saves: Path | None) -> Outcome:
    """A recurrent network that has only ever seen the training texts."""
    config, split = task.config, len(task.train)
    # Only the tokens of the training texts get an embedding; 0 stands for all others.
    known = torch.unique(torch.cat(task.ids[:split]))
    rows = [_renumber(row, known) for row in task.ids]
    torch.manual_seed(config.seed)
    model = Recurrent(len(known) + 1, config.rnn_width, task.classes)
    settings = _settings(task, saves, "rnn", epochs=config.rnn_epochs, learning_rate=config.rnn_rate)
    history = train.fit(model, task.batches(rows[:split], task.train.labels), cross_entropy, settings)
    scores = _scores(model, task, rows[split:])
    return Outcome(scores, _trainable(model), (model, known), history=history)


def _renumber(ids: Tensor, known: Tensor) -> Tensor:
    """Token ids to 1..V for the known ones (sorted) and 0 for the rest."""
    place = torch.searchsorted(known, ids).clamp(max=len(known) - 1)
    return torch.where(known[place] == ids, place + 1, 0)


# -- the encoder as it is ----------------------------------------------------------------------------------------------


def features_logreg(task: Task, saves: Path | None) -> Outcome:
    """The mean of the encoder's last states, and logistic regression on it."""
    return _on_features(task, svm=False)


def features_svm(task: Task, saves: Path | None) -> Outcome:
    """The mean of the encoder's last states, and a linear support vector machine on it."""
    return _on_features(task, svm=True)


def _on_features(task: Task, svm: bool) -> Outcome:
    train_x, test_x = features(task)
    weights, bias = _linear(train_x.numpy(), task, svm)
    linear = Head(task.encoder.width, task.classes)
    linear[0].weight.data, linear[0].bias.data = torch.from_numpy(weights).float(), torch.from_numpy(bias).float()
    model = Classifier(task.encoder.span(0), linear)
    with torch.no_grad():
        scores = linear(test_x).numpy()
    return Outcome(scores, weights.size + bias.size, model, level=task.encoder.depth)


def head(task: Task, saves: Path | None) -> Outcome:
    """A head with a hidden layer on the frozen encoder's features: fine-tuning I."""
    config = task.config
    train_x, test_x = features(task)
    model = _new_head(task)
    settings = _settings(task, saves, "head", epochs=config.head_epochs, learning_rate=config.head_rate)
    rows = Batches(
        list(zip(train_x, task.train.labels, strict=True)), [1] * len(train_x), _stack, config.batch_size, config.seed
    )
    history = train.fit(
        model, rows, lambda m, b: F.cross_entropy(m(b["inputs"]), b["labels"], reduction="sum"), settings
    )
    with torch.no_grad():
        scores = model.cpu()(test_x).float().numpy()
    return Outcome(scores, _trainable(model), Classifier(task.encoder.span(0), model), task.encoder.depth, history)


def _stack(items: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    return {"inputs": torch.stack([x for x, _ in items]), "labels": torch.tensor([y for _, y in items])}


def features(task: Task) -> tuple[Tensor, Tensor]:
    """Pooled features (N, d) of the training and the test texts."""
    depth = task.encoder.depth
    states = task.states(depth)
    if states is not None:
        return tuple(torch.stack([row.mean(0) for row in part]) for part in states)  # type: ignore[return-value]
    model = Classifier(task.encoder.span(0), nn.Identity())
    split = len(task.train)
    both = torch.from_numpy(_scores(model, task, task.ids))
    return both[:split], both[split:]


# -- the encoder trained -----------------------------------------------------------------------------------------------


def last_blocks(task: Task, saves: Path | None, n: int) -> Outcome:
    """The last n blocks and a head; what lies below is frozen and, if it fits into memory, computed once."""
    level = task.encoder.depth - n
    if task.states(level) is not None:
        span = task.encoder.span(level)
        span.requires_grad_(True)
    else:
        span, level = task.encoder.span(0), 0
        for block in list(find_blocks(span.model)[1])[-n:]:
            block.requires_grad_(True)
    return _tune(task, saves, f"last-{n}", span, level)


def all_layers(task: Task, saves: Path | None) -> Outcome:
    """Every weight, embeddings included: fine-tuning II."""
    span = task.encoder.span(0).requires_grad_(True)
    return _tune(task, saves, "all", span, 0)


def layerwise(task: Task, saves: Path | None) -> Outcome:
    """Every weight, each block slower than the one above it (Howard and Ruder 2018, discriminative fine-tuning)."""
    span = task.encoder.span(0).requires_grad_(True)
    blocks = list(find_blocks(span.model)[1])
    rate, decay = task.learning_rate, task.config.layer_decay
    groups: list[dict[str, Any]] = [
        {"params": list(block.parameters()), "lr": rate * decay**depth} for depth, block in enumerate(reversed(blocks))
    ]
    placed = {id(p) for group in groups for p in group["params"]}
    rest = [p for p in span.parameters() if id(p) not in placed]
    groups.append({"params": rest, "lr": rate * decay ** len(blocks)})
    return _tune(task, saves, "layerwise", span, 0, groups)


def lora(task: Task, saves: Path | None) -> Outcome:
    """Low-rank adapters on the attention's queries and values (Hu et al. 2021), through peft."""
    span, rank = task.encoder.span(0), task.config.lora_rank
    torch.manual_seed(task.config.seed)
    with _quietly():
        import peft

        targets = query_and_value(span)
        settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=targets)
        span.model = peft.get_peft_model(span.model, settings)
    groups = [{"params": [p for p in span.parameters() if p.requires_grad], "lr": task.config.lora_rate}]
    outcome = _tune(task, saves, "lora", span, 0, groups)
    span.model = span.model.merge_and_unload()
    return outcome


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the remarks of peft about transformers and of bitsandbytes about kernels that this course never uses."""
    log = logging.getLogger("bitsandbytes")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
            yield
    finally:
        log.setLevel(level)


def query_and_value(span: Span) -> list[str]:
    """The names that this architecture gives to the query and value projections."""
    names = {path.rpartition(".")[2] for path, m in span.model.named_modules() if isinstance(m, nn.Linear)}
    found = [name for name in sorted(names) if re.search(r"^(q|v)(uery|alue)?(_(lin|proj))?$", name)]
    if not found:
        raise CourseError("LoRA found no query and value projections in this encoder; leave out the rung 'lora'.")
    return found


def _tune(
    task: Task,
    saves: Path | None,
    name: str,
    span: Span,
    level: int,
    groups: list[dict[str, Any]] | None = None,
) -> Outcome:
    """Train what is trainable in ``span`` and a new head, from the cached states of ``level`` if it is not 0."""
    config, split = task.config, len(task.train)
    states = task.states(level)
    train_rows, test_rows = states if states is not None else (task.ids[:split], task.ids[split:])
    model = Classifier(span, _new_head(task))
    groups = groups or [{"params": [p for p in span.parameters() if p.requires_grad], "lr": task.learning_rate}]
    groups.append({"params": list(model.head.parameters()), "lr": config.head_rate})
    settings = _settings(task, saves, name, epochs=config.epochs, learning_rate=task.learning_rate)
    batches = task.batches(train_rows, task.train.labels)
    history = train.fit(model, batches, cross_entropy, settings, groups=groups)
    return Outcome(_scores(model, task, test_rows), _trainable(model), model, level, history)


def cross_entropy(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The sum over a batch of ``-log p(label)``, in float32 whatever the model computes in."""
    return F.cross_entropy(model(batch["inputs"], batch["mask"]).float(), batch["labels"], reduction="sum")


def _new_head(task: Task) -> Head:
    torch.manual_seed(task.config.seed)
    return Head(task.encoder.width, task.classes, task.config.head_hidden)


def _settings(task: Task, saves: Path | None, title: str, epochs: int, learning_rate: float) -> TrainConfig:
    return TrainConfig(
        epochs=epochs,
        learning_rate=learning_rate,
        precision=task.precision,
        seed=task.config.seed,
        save_to=saves,
        title=title,
    )


def _scores(model: nn.Module, task: Task, rows: list[Tensor]) -> np.ndarray:
    """Outputs (N, ...) of a model for padded batches of similar length, in the order of ``rows``."""
    device = hardware.device()
    model = model.to(device).eval()
    out: list[np.ndarray] = [np.empty(0)] * len(rows)
    with torch.no_grad(), hardware.autocast(task.precision, device):
        for indices in task.batches(rows, [0] * len(rows), shuffle=False).epoch(0, 2 * task.config.batch_size):
            inputs, mask = pad([rows[i] for i in indices])
            for i, row in zip(indices, model(inputs.to(device), mask.to(device)).float().cpu().numpy(), strict=True):
                out[i] = row
    return np.stack(out)


def _linear(features: Any, task: Task, svm: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, d) and bias (C,) of a linear classifier whose regularisation is chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import LinearSVC

    labels = np.asarray(task.train.labels)
    seed = task.config.seed
    model = LinearSVC(random_state=seed, dual=False) if svm else LogisticRegression(max_iter=2000, random_state=seed)
    folds = min(3, int(np.bincount(labels).min()))
    if folds > 1:
        shuffled = StratifiedKFold(folds, shuffle=True, random_state=seed)
        model = GridSearchCV(model, {"C": [0.1, 1.0, 10.0, 100.0]}, cv=shuffled)
    model.fit(features, labels)
    best = model.best_estimator_ if folds > 1 else model
    weights, bias = best.coef_, best.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps one row, the score of the second class
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return weights, bias


def _trainable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
