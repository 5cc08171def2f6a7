"""A writer without a model: what it writes follows a rule, so that what a strategy does can be tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from course_lib.generate import Completion, Decoding

Rule = Callable[[str, int], str]  # the prompt and the number of the sample; what follows, stop strings and all


class RuleWriter:
    """Has the methods of `generate.Writer` that strategies use; a token is a word, and every text begins with one."""

    def __init__(
        self,
        rule: Rule = lambda prompt, sample: "",
        likes: Callable[[str, str], float] = lambda prompt, continuation: 0.0,
        positions: int = 512,
    ) -> None:
        self.rule, self.likes, self.positions = rule, likes, positions
        self.prompts: list[str] = []
        self.decodings: list[Decoding] = []

    def tokens(self, text: str) -> int:
        return len(text.split()) + 1

    def generate(
        self, prompts: Sequence[str], decoding: Decoding | None = None, batch_size: int = 32
    ) -> list[list[Completion]]:
        decoding = decoding or Decoding()
        self.prompts += prompts
        self.decodings.append(decoding)
        assert all(self.tokens(prompt) + decoding.max_new <= self.positions for prompt in prompts), "does not fit"
        return [[self._complete(prompt, k, decoding) for k in range(decoding.n)] for prompt in prompts]

    def scores(self, pairs: Sequence[tuple[str, str]], batch_size: int = 32) -> list[float]:
        self.prompts += [prompt for prompt, _ in pairs]
        return [self.likes(prompt, continuation) for prompt, continuation in pairs]

    def _complete(self, prompt: str, sample: int, decoding: Decoding) -> Completion:
        text = self.rule(prompt, sample)
        ends = [text.index(stop) for stop in decoding.stop if stop in text]
        written = text[: min(ends)] if ends else text
        size = len(written.split()) + bool(ends)
        return Completion(written, (0,) * size, (-0.5,) * size, "stop" if ends else "end", self.tokens(prompt))
