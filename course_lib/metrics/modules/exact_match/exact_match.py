"""Exact match: the share of predictions that are the reference, but for case, spaces and a full stop at the end."""

import datasets
import evaluate

from course_lib.metrics.interval import summary
from course_lib.metrics.text import exact_match

INPUTS = """
    predictions: texts; references: as many texts.
Returns exact_match, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}


class ExactMatch(evaluate.Metric):
    """What `metrics.load("exact_match")` gives; the scoring is `course_lib.metrics.text.exact_match`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        return summary(
            "exact_match", [exact_match(one, other) for one, other in zip(predictions, references, strict=True)]
        )
