"""Numeric answer: the share of predictions whose last number is that of the reference."""

import datasets
import evaluate

from course_lib.metrics.interval import summary
from course_lib.metrics.text import numeric_match

INPUTS = """
    predictions: texts; references: as many texts.
Returns numeric_answer, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}


class NumericAnswer(evaluate.Metric):
    """What `metrics.load("numeric_answer")` gives; the scoring is `course_lib.metrics.text.numeric_match`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        return summary(
            "numeric_answer", [numeric_match(one, other) for one, other in zip(predictions, references, strict=True)]
        )
