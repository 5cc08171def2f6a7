"""Finding the passage that has the answer: pieces of documents, two ways to compare, and how often it is found.

A model can read a few hundred tokens, a collection has many more, so a question must first choose what is read.

    words      a passage is as good as the rare words it shares with the question (BM25, Robertson and Walker 1994):
               sum over words of  idf * tf (k1 + 1) / (tf + k1 (1 - b + b * length / mean length)),
               idf = ln(1 + (N - n + 1/2) / (n + 1/2)), with tf the word's count in the passage, n of N passages have it
    meaning    an encoder turns texts into vectors, and the passage at the smallest angle is the best (Karpukhin et al.
               2020); the search compares with every passage, which is exact and fast up to some 100,000 of them

Words find names that no encoder has seen; meaning finds "Who keeps it?" where the text says "the owner". Which is
better is a question for `recall`, not for taste. Left out: approximate search, both ways combined, and re-ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import numpy as np

from course_lib.errors import CourseError

BATCH = 32
LONGEST = 256  # tokens of a passage that the encoder reads


@dataclass(frozen=True)
class Passage:
    """A piece of a document; ``number`` counts the pieces of its document from 0."""

    text: str
    document: str
    number: int = 0


@dataclass(frozen=True)
class Hit:
    """A passage that was found and its score, which is only comparable within one index."""

    passage: Passage
    score: float


class Index(Protocol):
    """Something that finds passages."""

    passages: tuple[Passage, ...]

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """The ``k`` best passages for each query, the best first."""


def sentences(text: str) -> list[str]:
    """The sentences of a plain text, by their full stops, question and exclamation marks.

    >>> sentences("It is old. Who built it? Nobody knows.")
    ['It is old.', 'Who built it?', 'Nobody knows.']
    """
    found, start = [], 0
    text = " ".join(text.split())
    for at, sign in enumerate(text):
        if sign in ".!?" and (at + 1 == len(text) or (text[at + 1] == " " and text[at + 2 : at + 3].isupper())):
            found.append(text[start : at + 1].strip())
            start = at + 1
    return [*found, rest] if (rest := text[start:].strip()) else found


def chunk(document: str, text: str, words: int = 60, overlap: int = 1) -> list[Passage]:
    """A document in pieces of whole sentences, each of at most ``words`` words (a longer sentence is its own piece).

    A piece begins with the last ``overlap`` sentences of the one before it, so that what belongs together is together
    somewhere. Raises CourseError when words is below 1 or overlap below 0.
    """
    if words < 1 or overlap < 0:
        raise CourseError(f"A piece has 1 word or more and an overlap of 0 sentences or more: {words=}, {overlap=}.")
    pieces: list[list[str]] = []
    fresh = 0  # sentences of the open piece that are in no piece before it
    current: list[str] = []
    for sentence in sentences(text):
        if fresh and sum(len(one.split()) for one in (*current, sentence)) > words:
            pieces.append(current)
            current, fresh = current[len(current) - overlap :] if overlap else [], 0
            while current and sum(len(one.split()) for one in (*current, sentence)) > words:
                current = current[1:]
        current = [*current, sentence]
        fresh += 1
    if fresh:
        pieces.append(current)
    return [Passage(" ".join(piece), document, number) for number, piece in enumerate(pieces)]


class WordIndex:
    """BM25 over the passages' words, lower case, without stemming; ``k1`` and ``b`` are its usual constants."""

    def __init__(self, passages: Sequence[Passage], k1: float = 1.5, b: float = 0.75) -> None:
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import CountVectorizer

        self.passages = _some(passages)
        self.counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b")
        try:
            counts = self.counter.fit_transform([one.text for one in self.passages]).tocoo()
        except ValueError:
            raise CourseError("There is no word in any of the passages: give texts.") from None
        length = np.bincount(counts.row, weights=counts.data, minlength=len(self.passages))
        having = np.bincount(counts.col, minlength=counts.shape[1])
        idf = np.log(1 + (len(self.passages) - having + 0.5) / (having + 0.5))
        tf, long = counts.data, length[counts.row] / length.mean()
        weights = idf[counts.col] * tf * (k1 + 1) / (tf + k1 * (1 - b + b * long))
        self.weights = csr_matrix((weights, (counts.row, counts.col)), shape=counts.shape)

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """The ``k`` best passages for each query; a word that a query has twice counts twice."""
        return _best((self.counter.transform(queries) @ self.weights.T).toarray(), self.passages, k)


class VectorIndex:
    """Passages by the angle between vectors of an encoder: the name of one, or the pair that `hub` loads."""

    def __init__(self, passages: Sequence[Passage], encoder: str | tuple[Any, Any] = "minilm") -> None:
        self.passages = _some(passages)
        if isinstance(encoder, str):
            from course_lib import hub

            encoder = hub.load_encoder(encoder)
        self.encoder = encoder
        self.vectors = embed([one.text for one in self.passages], encoder)

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """The ``k`` passages nearest to each query; scores are cosines."""
        return _best(embed(queries, self.encoder) @ self.vectors.T, self.passages, k)


def embed(texts: Sequence[str], encoder: tuple[Any, Any], max_length: int = LONGEST) -> np.ndarray:
    """Vectors (texts, width) of length 1: the mean over the states of the tokens. Longer texts are cut."""
    import torch

    from course_lib.batching import mean_pool

    model, tokenizer = encoder
    rows = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(
            list(texts[start : start + BATCH]),
            truncation=True,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        rows.append(torch.nn.functional.normalize(mean_pool(states, batch["attention_mask"]), dim=-1).cpu().numpy())
    return np.concatenate(rows) if rows else np.zeros((0, model.config.hidden_size), dtype=np.float32)


def recall(
    index: Index, records: Sequence[Mapping[str, Any]], ks: Sequence[int] = (1, 3, 5), query: str = "question"
) -> dict[int, tuple[float, float, float]]:
    """For each k the share of records for which one of the k best passages is the right one, and its 95% interval.

    The right one is a piece of the record's ``document`` that has its ``answer`` in it (any piece, where a record has
    no answer): another piece of the same document does not help.

    Raises CourseError when a record has no document or query, or there are no records.
    """
    from course_lib.metrics.classification import wilson_interval

    if not records or not ks:
        raise CourseError("Recall needs at least one record and one k.")
    for name in ("document", query):
        if any(name not in record for record in records):
            raise CourseError(f"Every record needs the field {name!r} to measure recall: add it.")
    found = index.search([record[query] for record in records], max(ks))
    table = {}
    for k in ks:
        right = sum(
            any(_holds(hit.passage, record) for hit in hits[:k]) for hits, record in zip(found, records, strict=True)
        )
        table[k] = (right / len(records), *wilson_interval(right, len(records)))
    return table


def misspelt(text: str, seed: int = 0) -> str:
    """Two neighbouring letters exchanged inside every word of more than four: what people type, and a test of an index.

    >>> misspelt("Who keeps the lantern?")
    'Who kepes the latnern?'
    """
    rng, words = Random(f"{seed} {text}"), text.split()
    for i, word in enumerate(words):
        spots = [at for at in range(1, len(word) - 2) if word[at] != word[at + 1]] if len(word) > 4 else []
        if spots:
            at = rng.choice(spots)
            words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _holds(passage: Passage, record: Mapping[str, Any]) -> bool:
    return passage.document == record["document"] and str(record.get("answer", "")).lower() in passage.text.lower()


def _some(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    if not passages:
        raise CourseError("There is nothing to search in: give at least one passage.")
    return tuple(passages)


def _best(scores: np.ndarray, passages: Sequence[Passage], k: int) -> list[list[Hit]]:
    """The k largest of every row (queries, passages); equal scores keep the passages' order."""
    if k < 1:
        raise CourseError(f"A search gives 1 passage or more, not {k}.")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[Hit(passages[i], float(row[i])) for i in best] for row, best in zip(scores, order, strict=True)]
