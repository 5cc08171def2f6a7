"""A pretrained encoder that can be cut between its blocks.

An encoder is embeddings, L blocks and a pooling. Freezing the first k blocks and training the rest means that the
first k compute the same for a text each time; so we make the cut a thing of its own. ``Encoder.span(k, m)`` is a module
of the blocks k to m that takes token ids where k is 0 and hidden states where it is not, and
``span(k, L)(span(0, k)(ids))`` equals the whole encoder (checked once when it is loaded).

Shapes: B texts, T tokens, d width, C classes. Left out: encoders that normalise before their blocks or share them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.batching import mean_pool, pad
from course_lib.errors import CourseError


class Encoder:
    """A pretrained model and its tokenizer. The model is never trained itself: spans are copies."""

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 128, name: str = "") -> None:
        self.model, self.tokenizer, self.name = model.eval().requires_grad_(False), tokenizer, name
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # trained for another task; the course pools by the mean over tokens
        self.max_length = min(max_length, _longest(model, tokenizer))
        self.depth, self.width = model.config.num_hidden_layers, model.config.hidden_size
        self._check_cut()

    @classmethod
    def load(cls, name: str, max_length: int = 128) -> Encoder:
        """The encoder with this name in the hub's table, in a local folder or on the hub."""
        from course_lib import hub

        return cls(*hub.load_encoder(name), max_length=max_length, name=name)

    def tokenize(self, texts: Sequence[str]) -> list[Tensor]:
        """Token ids (T_i,) of each text, cut to ``max_length``."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.max_length, return_attention_mask=False)
        return [torch.tensor(ids) for ids in encoded["input_ids"]]

    def span(self, start: int, stop: int | None = None) -> Span:
        """A trainable copy of the blocks ``start`` to ``stop``; 0 includes the embeddings."""
        stop = self.depth if stop is None else stop
        if not 0 <= start <= stop <= self.depth:
            raise ValueError(f"blocks {start} to {stop} of an encoder with {self.depth}")
        path, blocks = find_blocks(self.model)
        kept = [*blocks[start:stop], *([self.model.embeddings] if start == 0 else [])]
        needed = {id(p) for module in kept for p in module.parameters()}
        # What the span drops is not copied: deepcopy takes an object that its memo knows as it is.
        part = copy.deepcopy(self.model, {id(p): p for p in self.model.parameters() if id(p) not in needed})
        parent = part.get_submodule(path.rpartition(".")[0]) if "." in path else part
        setattr(parent, path.rpartition(".")[2], nn.ModuleList(list(part.get_submodule(path))[start:stop]))
        part.config.num_hidden_layers = stop - start
        if start > 0:
            part.embeddings = _Given()
        return Span(part, takes_states=start > 0)

    def _check_cut(self) -> None:
        """One short text through the whole and through two halves: an architecture that differs is refused here."""
        find_blocks(self.model)
        ids = self.tokenize(["One short sentence, cut in two."])[0][None]
        mask, middle = torch.ones_like(ids), self.depth // 2
        with torch.no_grad():
            whole = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            halves = self.span(middle)(self.span(0, middle)(ids, mask), mask)
        if whole.shape != halves.shape or not torch.allclose(whole, halves, atol=1e-4):
            raise CourseError(
                f"The encoder {self.name or type(self.model).__name__} cannot be cut between its blocks; choose one"
                " that is built like BERT, DistilBERT or RoBERTa."
            )


class Span(nn.Module):
    """Some consecutive blocks: (B, T) ids or (B, T, d) states, and a mask (B, T), to states (B, T, d)."""

    model: Any  # peft and transformers wrap it in types of their own

    def __init__(self, model: nn.Module, takes_states: bool) -> None:
        super().__init__()
        self.model, self.takes_states = model, takes_states

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """States (B, T, d) after the last block of the span."""
        key = "inputs_embeds" if self.takes_states else "input_ids"
        return self.model(**{key: inputs}, attention_mask=mask).last_hidden_state


class _Given(nn.Module):
    """In the place of the embeddings of a span that begins later: hands on the states it is given."""

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        assert inputs_embeds is not None
        return inputs_embeds


def find_blocks(model: Any) -> tuple[str, nn.ModuleList]:
    """The list of an encoder's blocks and where it stands, e.g. ``("encoder.layer", ...)``."""
    depth = model.config.num_hidden_layers
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth and hasattr(model, "embeddings"):
            return path, module
    raise CourseError(
        f"{type(model).__name__} has no plain list of blocks after its embeddings; choose an encoder that is built like"
        " BERT, DistilBERT or RoBERTa."
    )


class Head(nn.Sequential):
    """Pooled features (B, d) to logits (B, C): a hidden layer, or with ``hidden=0`` none."""

    def __init__(self, width: int, classes: int, hidden: int = 0, dropout: float = 0.1) -> None:
        if hidden:
            super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, classes))
        else:
            super().__init__(nn.Linear(width, classes))


class Classifier(nn.Module):
    """A span, the mean over tokens, and a head: ids or states to logits (B, C)."""

    def __init__(self, span: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.span, self.head = span, head

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, C)."""
        return self.head(mean_pool(self.span(inputs, mask), mask))


def collate(items: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """(ids or states, label) pairs to a padded batch with inputs, mask and labels."""
    inputs, mask = pad([row for row, _ in items])
    return {"inputs": inputs, "mask": mask, "labels": torch.tensor([label for _, label in items])}


def _longest(model: Any, tokenizer: Any) -> int:
    """The longest text both can take; tokenizers without a limit say 10^30."""
    return min(getattr(model.config, "max_position_embeddings", 512), tokenizer.model_max_length)
