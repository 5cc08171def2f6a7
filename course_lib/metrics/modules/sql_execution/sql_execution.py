"""SQL execution accuracy: the share of predicted statements that find the rows which the reference finds."""

import datasets
import evaluate

from course_lib.metrics.interval import summary
from course_lib.metrics.sql import sql_match

INPUTS = """
    predictions: statements; references: as many statements; create: CREATE TABLE and INSERT statements for each.
Returns sql_execution, the mean over all items, and low and high, its 95% interval.
"""
FEATURES = {name: datasets.Value("string") for name in ("predictions", "references", "create")}


class SqlExecution(evaluate.Metric):
    """What `metrics.load("sql_execution")` gives; the scoring is `course_lib.metrics.sql.sql_match`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(__doc__, "", datasets.Features(FEATURES), INPUTS)

    def _compute(self, *, predictions: list[str], references: list[str], create: list[str]) -> dict[str, float]:
        items = zip(create, predictions, references, strict=True)
        return summary("sql_execution", [sql_match(*item) for item in items])
