"""A model and its tokenizer, ready to be asked: complete, stream, score.

writer = Writer.from_name("course-base")
writer.generate(["The market opens"], Decoding(max_new=20, stop=("\n",)))[0][0].text

Prompts and continuations are texts or token ids. Texts get what the tokenizer puts before every text; ids are taken as
they are, which is what chat templates need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from course_lib import hardware, hub
from course_lib.errors import CourseError
from course_lib.generate.decoding import Completion, Decoding
from course_lib.generate.hf import load, readable
from course_lib.generate.likelihood import Ids, log_probabilities
from course_lib.generate.loop import write
from course_lib.generate.reading import Model, asking
from course_lib.generate.text import Line, decoder_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

Prompt = str | Sequence[int]

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Writer:
    """Writes and scores texts with a causal model. The same prompt with the same seed gives the same samples, whatever
    else is asked in the same call (but for ties within rounding, which differs with a batch's shape).

    ``ends`` are the tokens that end a completion and are not shown; without them it is the tokenizer's end token. The
    model is left in the mode, of training or not, in which it is.
    """

    def __init__(self, model: Model, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int] | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        usual = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        self.ends = frozenset(usual if ends is None else ends)
        self.pad: int = tokenizer.pad_token_id or 0
        self._decode = decoder_of(tokenizer)
        self._special = frozenset(tokenizer.all_special_ids)

    @classmethod
    def from_name(cls, name: str) -> Writer:
        """The model of this name (see `course_lib.hub`), on this machine's device.

        Raises CourseError when it cannot be had or continues no texts.
        """
        folder, device = hub.causal_folder(name), hardware.device()
        return cls(load(folder, asking_dtype(device)).to(device), hub.load_tokenizer(folder))

    # -- tokens ----------------------------------------------------------------------------------------------------

    @property
    def positions(self) -> int:
        """The longest text the model takes, prompt and completion together, in tokens."""
        return self.model.config.max_position_embeddings

    def tokens(self, text: Prompt) -> int:
        """How many tokens a prompt has, the one at the beginning included."""
        return len(self._encode([text])[0])

    def _encode(self, given: Sequence[Prompt], special: bool = True) -> list[Ids]:
        """The tokens of texts; what is given as tokens stays as it is."""
        if isinstance(given, str) or not all(isinstance(one, str) or _are_ids(one) for one in given):
            what = type(given).__name__
            raise CourseError(f"Texts are given as a list of strings (or of token ids), not as {what}: [text] is one.")
        texts = [one for one in given if isinstance(one, str)]
        found = self.tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"] if texts else []
        encoded = iter(found)
        return [tuple(next(encoded) if isinstance(one, str) else one) for one in given]

    def _prompts(self, prompts: Sequence[Prompt], more: int, what: str) -> list[Ids]:
        """The tokens of prompts that leave room for that many more."""
        found = self._encode(prompts)
        for k, ids in enumerate(found):
            if not ids:
                raise CourseError(
                    f"Prompt {k + 1} is empty, and this tokenizer puts no token before a text: add a word."
                )
            if len(ids) + more > self.positions:
                raise CourseError(
                    f"Prompt {k + 1} has {len(ids)} tokens, and with {more} {what} that is more than the"
                    f" {self.positions} positions of this model: shorten it."
                )
        return found

    # -- writing ---------------------------------------------------------------------------------------------------

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding | None = None, batch_size: int = 32
    ) -> list[list[Completion]]:
        """``decoding.n`` completions of each prompt, at most ``batch_size`` of them written at a time.

        Raises CourseError for a prompt that, with max_new more tokens, does not fit the model's positions.
        """
        decoding = decoding or Decoding()
        if batch_size < 1:
            raise CourseError(f"batch_size must be at least 1, not {batch_size}.")
        ids = self._prompts(prompts, decoding.max_new, "new ones")
        lines = [self._lines(prompt, decoding) for prompt in ids]
        # Prompts of similar length stand together, which leaves little padding.
        order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
        together = max(1, batch_size // decoding.n)
        with asking(self.model):
            for start in range(0, len(order), together):
                some = [line for k in order[start : start + together] for line in lines[k]]
                for _ in write(self.model, some, decoding, self.ends, self.pad, batch_size):
                    pass
        return [[line.completion() for line in own] for own in lines]

    def stream(self, prompt: Prompt, decoding: Decoding | None = None) -> Iterator[str]:
        """The text of one completion in pieces, as it is written; together they are what `generate` gives.

        A piece ends with a whole character, and a stop string never shows, not even its beginning.
        """
        decoding = decoding or Decoding()
        if decoding.n != 1:
            raise CourseError(f"A stream has one completion, and n is {decoding.n}: use n=1, or generate.")
        (line,) = self._lines(self._prompts([prompt], decoding.max_new, "new ones")[0], decoding)
        return self._stream(line, decoding)

    def _stream(self, line: Line, decoding: Decoding) -> Iterator[str]:
        shown = 0
        steps = write(self.model, [line], decoding, self.ends, self.pad, 1)
        while line.finish is None:
            with asking(self.model):  # between two pieces the model is somebody else's
                next(steps)
            text = line.settled()
            if len(text) > shown:
                yield text[shown:]
                shown = len(text)

    def _lines(self, prompt: Ids, decoding: Decoding) -> list[Line]:
        hidden = self._special | self.ends
        return [Line(prompt, sample, decoding.stop, self._decode, hidden) for sample in range(decoding.n)]

    # -- scoring ---------------------------------------------------------------------------------------------------

    def score(self, prompt: Prompt, continuations: Sequence[Prompt]) -> list[float]:
        """The log-probability of each continuation (the space before it, if any, included) after the prompt."""
        if isinstance(continuations, str):
            raise CourseError("Continuations are given as a list of strings: [text] is a list.")
        return self.scores([(prompt, text) for text in continuations])

    def scores(self, pairs: Sequence[tuple[Prompt, Prompt]], batch_size: int = 32) -> list[float]:
        """The total log-probability of the continuation in each pair (prompt, continuation), natural logarithm.

        Raises CourseError for an empty continuation and for pairs that do not fit the model's positions.
        """
        prompts = dict.fromkeys(prompt if isinstance(prompt, str) else tuple(prompt) for prompt, _ in pairs)
        encoded = dict(zip(prompts, self._prompts(list(prompts), 1, "more"), strict=True))
        alone = self._encode([text for _, text in pairs], special=False)
        texts = [pair for pair in pairs if isinstance(pair[0], str) and isinstance(pair[1], str)]
        whole = dict(zip(texts, self._encode([f"{prompt}{text}" for prompt, text in texts]), strict=True))
        found: list[tuple[Ids, Ids]] = []
        for (prompt, text), rest in zip(pairs, alone, strict=True):
            ids = encoded[prompt if isinstance(prompt, str) else tuple(prompt)]
            if isinstance(prompt, str) and isinstance(text, str):
                # Where a token reaches across the border, prompt and continuation are cut apart, as in generating.
                both = whole[prompt, text]
                rest = both[len(ids) :] if both[: len(ids)] == ids else rest
            if not rest:
                raise CourseError(f"A continuation needs at least one token, and {text!r} has none.")
            if len(ids) + len(rest) > self.positions:
                raise CourseError(
                    f"A prompt of {len(ids)} tokens with a continuation of {len(rest)} does not fit the"
                    f" {self.positions} positions of this model: shorten it."
                )
            found.append((ids, rest))
        with asking(self.model):
            return log_probabilities(self.model, found, self.pad, batch_size)

    def next_tokens(self, prompt: Prompt, top: int = 10) -> list[tuple[str, float]]:
        """The likeliest next tokens as text, each with its probability."""
        if top < 1:
            raise CourseError(f"top must be at least 1, not {top}.")
        ids = torch.tensor(self._prompts([prompt], 0, "more"), device=self.model.device)
        with asking(self.model), torch.inference_mode():
            best = self.model(ids, last=1)[0, -1].float().softmax(-1).topk(min(top, self.model.config.vocab_size))
        tokens = [self.tokenizer.decode([token]) for token in best.indices.tolist()]
        return list(zip(tokens, best.values.tolist(), strict=True))

    def perplexity(self, texts: Sequence[Prompt], batch_size: int = 32) -> float:
        """exp(- mean log-probability) of the tokens of these texts, each text's first token given and not counted.

        Raises CourseError when a text does not fit the model's positions or there is nothing to predict.
        """
        pairs = [(ids[:1], ids[1:]) for ids in self._prompts(texts, 0, "more") if len(ids) > 1]
        if not pairs:
            raise CourseError("Perplexity needs at least one text of at least one word.")
        with asking(self.model):
            total = math.fsum(log_probabilities(self.model, pairs, self.pad, batch_size))
        return math.exp(-total / sum(len(rest) for _, rest in pairs))


def writer_of(model: nn.Module, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int] | None = None) -> Writer:
    """The writer of a live model: a `Decoder`, or any causal model of transformers, bare or within peft.

    It shares the model's weights, so that it writes as the model is at that time. Raises CourseError for models without
    a cache and for prompts that were learned.
    """
    return Writer(readable(model), tokenizer, ends)


def asking_dtype(device: str) -> torch.dtype:
    """In what weights are held for asking: they are read for every token, so half the bytes are nearly twice the speed
    on a GPU."""
    return torch.float32 if device == "cpu" else DTYPES[hardware.detect().precision]


def _are_ids(given: object) -> bool:
    return isinstance(given, Sequence) and all(isinstance(token, int) for token in given)
