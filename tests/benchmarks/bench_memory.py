"""How far off memory calculators are: the course's two engines and public ones, on published measurements.

    python tests/benchmarks/bench_memory.py [--rows] [--engines trace formulas] [--record]

Every calculator answers for every complete training row of `assets/published_peak_memory.csv` (how a row becomes a
question: `course_lib.memory.published`). Reported are the median and the worst absolute error over all rows, the median
signed error, which says to which side a calculator errs, and the medians of the groups of rows. ``--rows`` prints each
row's error by the course's engines. Nothing here needs a GPU.

Most rows are of a program that is not transformers, and the course's engines model that program. What they would say
without knowing whose program ran is a line of its own: the difference is what a program's own habits cost.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from calculators import CALCULATORS
from recording import about, write

from course_lib.memory.published import Measured, Missed, Summary, by_group, complete, errors

ENGINES = {"trace": "this course, trace", "formulas": "this course, formulas"}


def evaluate(name: str, predict: str | Callable[[Measured], int], source: str = "", omits: str = "") -> dict[str, Any]:
    """One calculator's errors on the complete rows, as plain values."""
    start = time.perf_counter()
    found = errors(predict)
    groups = by_group(found)
    return {
        "calculator": name,
        "source": source,
        "omits": omits,
        **_summary(groups.pop("all")),
        "median_signed": round(statistics.median(one.error for one in found), 4),
        "groups": {group: _summary(summary) for group, summary in groups.items()},
        "seconds": round(time.perf_counter() - start, 2),
        "rows": [_row(one) for one in found],
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "count": summary.rows,
        "median": round(summary.median, 4),
        "worst": round(summary.worst, 4),
        "worst_row": summary.worst_row,
    }


def _row(one: Missed) -> dict[str, Any]:
    return {
        "group": one.row.group,
        "run": one.row.title,
        "measured_gb": (one.row.bytes or 0) / 1e9,
        "predicted_gb": round(one.predicted / 1e9, 3),
        "error": round(one.error, 4),
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """One line to a calculator, the best first."""
    names = list(results[0]["groups"])
    header = f"{'calculator':44}{'median':>8}{'worst':>8}{'signed':>9}" + "".join(f"{name:>14}" for name in names)
    lines = [header, "-" * len(header)]
    for result in sorted(results, key=lambda one: one["median"]):
        medians = "".join(f"{result['groups'][name]['median']:14.1%}" for name in names)
        line = f"{result['calculator']:44}{result['median']:8.1%}{result['worst']:8.1%}{result['median_signed']:+9.1%}"
        lines.append(line + medians)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", action="store_true", help="print every row by the course's engines")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--record", action="store_true", help="write assets/recordings/memory_errors.json")
    options = parser.parse_args()
    results = [evaluate(ENGINES[engine], engine, "course_lib.memory") for engine in options.engines]
    for result in results if options.rows else ():
        print(result["calculator"])
        for row in result["rows"]:
            print(f"  {row['run']:50}{row['measured_gb']:8.2f} GB{row['predicted_gb']:8.2f} GB{row['error']:+8.1%}")
    title = "this course, trace, all as transformers"
    results.append(evaluate(title, Measured.as_transformers, "course_lib.memory", "whose program ran"))
    results += [evaluate(one.name, one.predict, one.source, one.omits) for one in CALCULATORS]
    print(f"{len(complete())} published training runs; absolute error, and the median of each group of rows\n")
    print(table(results))
    if options.record:
        for result in results[len(options.engines) :]:
            del result["rows"]
        content = about("python tests/benchmarks/bench_memory.py --record", seed=0, calculators=results)
        write("memory_errors.json", content)


if __name__ == "__main__":
    main()
