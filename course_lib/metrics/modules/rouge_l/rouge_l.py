"""ROUGE-L: the longest common subsequence of words, as an F-measure (Lin 2004)."""

import datasets
import evaluate

from course_lib.metrics.interval import summary
from course_lib.metrics.text import rouge_l

INPUTS = """
    predictions: texts; references: as many texts.
Returns rouge_l, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}


class RougeL(evaluate.Metric):
    """What `metrics.load("rouge_l")` gives; the scoring is `course_lib.metrics.text.rouge_l`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        return summary("rouge_l", [rouge_l(one, other) for one, other in zip(predictions, references, strict=True)])
