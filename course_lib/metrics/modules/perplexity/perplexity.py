"""Perplexity: how surprised a model is by texts. It compares only models that cut texts into the same tokens."""

from typing import Any

import datasets
import evaluate

from course_lib.metrics.perplexity import Reads, perplexity

INPUTS = """
    With ``model``, which has a method perplexity(texts), given to `load`: predictions: texts.
    Without: predictions: the total log-probability of each text (natural logarithm); references: its number of tokens.
Returns perplexity, of all tokens together.
"""
TEXTS = {"predictions": datasets.Value("string")}
NUMBERS = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}


class Perplexity(evaluate.Metric):
    """What `metrics.load("perplexity")` gives; the formula is `course_lib.metrics.perplexity.perplexity`."""

    def __init__(self, *args: Any, model: Reads | None = None, **options: Any) -> None:
        self.model = model
        super().__init__(*args, **options)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(TEXTS if self.model else NUMBERS), INPUTS)

    def _compute(self, *, predictions: list[Any], references: list[int] | None = None) -> dict[str, float]:
        found = perplexity(predictions, references or []) if self.model is None else self.model.perplexity(predictions)
        return {"perplexity": found}
