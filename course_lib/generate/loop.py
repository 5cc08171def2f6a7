"""The loop of decoding: read the prompts once, then one token for every unfinished text at a time.

    prompts, padded on the left | t1 | t2 | ...        the cache keeps keys and values of all that was read

All samples of a prompt start from one reading of it. A finished text costs nothing once its row has left the batch;
rows leave together, when they are a quarter of it, because leaving means copying the others' cache.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course_lib.generate.decoding import Decoding
from course_lib.generate.pick import draws, penalise, pick
from course_lib.generate.reading import AnyCache, Model, read
from course_lib.generate.text import Line

STAY = 0.75  # with this part of the rows unfinished, or less, the others leave


def write(
    model: Model, lines: Sequence[Line], decoding: Decoding, ends: frozenset[int], pad: int, rows: int
) -> Iterator[None]:
    """Write all lines, at most ``rows`` at a time; yields after each token.

    Lines of one prompt share the object that holds its tokens and stand together.
    """
    prompts = [line.prompt for k, line in enumerate(lines) if k == 0 or line.prompt is not lines[k - 1].prompt]
    cache, last_PC, mask = read(model, prompts, decoding.max_new, pad)
    with torch.inference_mode():
        logits_PV = model.lm_head(last_PC).float()
    place = {id(prompt): k for k, prompt in enumerate(prompts)}
    for start in range(0, len(lines), rows):
        some, mine = lines[start : start + rows], copy.copy(cache)
        of_R = torch.tensor([place[id(line.prompt)] for line in some], device=logits_PV.device)
        if len(some) != len(prompts):
            mine.select(of_R)
        batch = _Rows(model, some, decoding, mine, logits_PV[of_R], None if mask is None else mask[of_R])
        while batch.lines:
            batch.step(ends)
            yield


def _seen(lines: Sequence[Line], logits_RV: Tensor) -> Tensor:
    """Which tokens stand in each line's prompt."""
    seen_RV = torch.zeros_like(logits_RV, dtype=torch.bool)
    for k, line in enumerate(lines):
        seen_RV[k, list(line.prompt)] = True
    return seen_RV


class _Rows:
    """Lines in a batch, and what the model and the choice of tokens remember of them."""

    def __init__(
        self,
        model: Model,
        lines: Sequence[Line],
        decoding: Decoding,
        cache: AnyCache,
        logits_RV: Tensor,
        mask: Tensor | None,
    ) -> None:
        self.model, self.lines, self.decoding = model, list(lines), decoding
        self.cache, self.logits_RV, self.mask = cache, logits_RV, mask
        self.count = 0
        numbers = [draws(decoding.seed, line.prompt, line.sample, decoding.max_new) for line in lines]
        self.draws_RN = torch.stack(numbers).to(logits_RV.device) if decoding.temperature else None
        self.seen_RV = _seen(lines, logits_RV) if decoding.repetition_penalty != 1 else None

    @torch.inference_mode()
    def step(self, ends: frozenset[int]) -> None:
        """One token for every unfinished line; without any left, there are no more ``lines``."""
        token_R = self._pick()
        logprob_R = self.logits_RV.gather(1, token_R[:, None])[:, 0] - self.logits_RV.logsumexp(-1)
        for line, token, logprob in zip(self.lines, token_R.tolist(), logprob_R.tolist(), strict=True):
            if line.finish is None:
                line.add(token, logprob, ends, self.decoding.max_new)
        self.count += 1
        going = [k for k, line in enumerate(self.lines) if line.finish is None]
        if not going or len(going) <= len(self.lines) * STAY:
            token_R = self._keep(going, token_R)
        if going:
            mask = None if self.mask is None else self.mask[:, : self.cache.length + 1]
            self.logits_RV = self.model(token_R[:, None], mask, self.cache, last=1)[:, -1].float()

    def _pick(self) -> Tensor:
        scores_RV = self.logits_RV
        if self.seen_RV is not None:
            scores_RV = penalise(scores_RV, self.seen_RV, self.decoding.repetition_penalty)
        token_R = pick(scores_RV, self.decoding, None if self.draws_RN is None else self.draws_RN[:, self.count])
        if self.seen_RV is not None:
            self.seen_RV.scatter_(1, token_R[:, None], True)
        return token_R

    def _keep(self, rows: list[int], token_R: Tensor) -> Tensor:
        """Let all rows but these leave the batch."""
        self.lines = [self.lines[k] for k in rows]
        rows_R = torch.tensor(rows, dtype=torch.long, device=token_R.device)
        if rows:
            self.cache.select(rows_R)
        for name in ("mask", "draws_RN", "seen_RV"):
            kept = getattr(self, name)
            setattr(self, name, None if kept is None else kept[rows_R])
        return token_R[rows_R]
