"""Token F1: the words that prediction and reference share, as SQuAD counts them (Rajpurkar et al. 2016)."""

import datasets
import evaluate

from course_lib.metrics.interval import summary
from course_lib.metrics.text import token_f1

INPUTS = """
    predictions: texts; references: as many texts.
Returns token_f1, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}


class TokenF1(evaluate.Metric):
    """What `metrics.load("token_f1")` gives; the scoring is `course_lib.metrics.text.token_f1`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        return summary("token_f1", [token_f1(one, other) for one, other in zip(predictions, references, strict=True)])
