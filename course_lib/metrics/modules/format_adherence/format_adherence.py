"""Format adherence: the share of predictions in the form that was asked for, right or wrong."""

import datasets
import evaluate

from course_lib.metrics.forms import in_format
from course_lib.metrics.interval import summary

INPUTS = """
    predictions: texts; references: the form of each, such as "choice: good | bad" (see `course_lib.metrics.forms`).
Returns format_adherence, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}


class FormatAdherence(evaluate.Metric):
    """What `metrics.load("format_adherence")` gives; the scoring is `course_lib.metrics.forms.in_format`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str]) -> dict[str, float]:
        return summary(
            "format_adherence", [in_format(one, other) for one, other in zip(predictions, references, strict=True)]
        )
