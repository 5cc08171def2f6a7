"""Lesson 03: a ladder of text classifiers, from the most frequent class to fine-tuning everything.

task = Task(train, test, Encoder.load("minilm"))
results = climb(task)
"""

from course_lib.batching import mean_pool
from course_lib.classify.encoder import Classifier, Encoder, Head
from course_lib.classify.ladder import RungResult, climb, label_curve
from course_lib.classify.predictor import Prediction, Predictor, load_predictor
from course_lib.classify.prefix import Cost, PrefixCache
from course_lib.classify.rungs import Rung, rungs, select
from course_lib.classify.task import LadderConfig, Task

__all__ = [
    "Classifier",
    "Cost",
    "Encoder",
    "Head",
    "LadderConfig",
    "Prediction",
    "Predictor",
    "PrefixCache",
    "Rung",
    "RungResult",
    "Task",
    "climb",
    "label_curve",
    "load_predictor",
    "mean_pool",
    "rungs",
    "select",
]
