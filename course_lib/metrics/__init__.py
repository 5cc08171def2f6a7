"""Figures that lessons report, each with its uncertainty.

`text` compares what a model wrote with a reference, `forms` with the form that was asked for; `sql` runs statements of
strangers; `perplexity` needs no reference. `interval` says how sure a mean is and which of two models is better,
`classification` the same of labels. `report` scores the records of many tasks, each by its own metric. ``load`` gives
the metrics in the form of Hugging Face's `evaluate`.
"""

from course_lib.metrics.loading import available, load

__all__ = ["available", "load"]
