"""The course's metrics in the form that other programs know: modules of Hugging Face's `evaluate`.

`evaluate` ships no metrics. A bare name sends it to the hub, whose code it runs without asking; the path of a file in
this package does not. It still copies that file into its cache (HF_HOME) and imports the copy, which is why each module
is a few lines that call the functions of this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import evaluate

MODULES = Path(__file__).parent / "modules"


def available() -> list[str]:
    """The names that `load` takes."""
    return sorted(path.parent.name for path in MODULES.glob("*/[!_]*.py"))


def load(name: str, **options: Any) -> evaluate.EvaluationModule:
    """The metric of this name, whose ``compute`` takes predictions and references (seconds at the first call).

    ``options`` go to `evaluate.load`; "perplexity" also takes ``model``. No network is used. Raises CourseError for a
    name that is not there, and when the cache cannot be written.
    """
    if name not in available():
        raise CourseError(f"There is no metric {name!r}; load one of {', '.join(available())}.")
    import evaluate

    try:
        return evaluate.load(str(MODULES / name / f"{name}.py"), **{"keep_in_memory": True, **options})
    except OSError as error:
        raise CourseError(
            f"The metric {name!r} cannot be copied into {evaluate.config.HF_CACHE_HOME} ({error.strerror or error}):"
            " set HF_HOME to a folder that can be written."
        ) from error
