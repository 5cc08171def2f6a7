"""Lesson 03: which rung to choose. The slips are the rules by which people choose too dear or too poor a one."""

from __future__ import annotations

from typing import Any

from course_lib.teach.judging import Case, Exercise, Slip, Wrong, described, judge

Rows = list[dict[str, Any]]


def rows(*given: tuple[str, float, float, float]) -> Rows:
    """Results from (rung, accuracy, CPU seconds, p against the best); the interval reaches 3 points to each side."""
    names = ("rung", "accuracy", "cpu_seconds", "p_against_best")
    plain: Rows = [dict(zip(names, row, strict=True)) for row in given]
    return [row | {"accuracy_low": row["accuracy"] - 0.03, "accuracy_high": row["accuracy"] + 0.03} for row in plain]


CHOOSE_CASES = (
    Case((rows(("majority", 0.52, 0.1, 1e-30), ("tf-idf", 0.832, 1, 0.0004), ("frozen features", 0.868, 22, 0.008),
               ("last 2 blocks", 0.894, 77, 0.21), ("all layers", 0.905, 230, 1.0), ("LoRA", 0.901, 180, 0.64)),)),
    Case((rows(("all layers", 0.91, 300, 1.0), ("last block", 0.895, 50, 0.03), ("LoRA", 0.908, 290, 0.9),
               ("frozen features", 0.89, 20, 0.04), ("majority", 0.5, 0.1, 1e-40), ("last 3 blocks", 0.9, 150, 0.3)),),
         "Sort by CPU seconds, not by the order of the list."),
    Case((rows(("majority", 0.6, 0.1, 1e-9), ("LoRA", 0.93, 200, 1.0), ("frozen features", 0.88, 9, 0.001),
               ("all layers", 0.92, 250, 0.4)),),
         "The best rung cannot be told apart from itself (p = 1), so it is a candidate too."),
    Case((rows(("tf-idf", 0.88, 2, 0.35), ("majority", 0.7, 0.2, 1e-6), ("frozen features", 0.89, 15, 0.7),
               ("all layers", 0.9, 100, 1.0)),)),
    Case((rows(("recurrent", 0.78, 60, 0.0001), ("tf-idf", 0.86, 1, 0.3), ("frozen features", 0.84, 20, 0.03),
               ("all layers", 0.9, 200, 1.0)),)),
    Case((rows(("majority", 0.55, 1, 1e-9), ("tf-idf", 0.9, 1.2, 0.4), ("frozen features", 0.91, 15, 1.0)),)),
)  # fmt: skip


def choose(results: Rows) -> str:
    """The cheapest rung that the paired test does not tell apart from the best."""
    return str(min((r for r in results if r["p_against_best"] > 0.05), key=lambda r: r["cpu_seconds"])["rung"])


def _cheapest(results: Rows) -> str:
    return str(min(results, key=lambda r: r["cpu_seconds"])["rung"])


def _best(results: Rows) -> dict[str, Any]:
    return max(results, key=lambda r: r["accuracy"])


def _overlapping(results: Rows) -> str:
    low = _best(results)["accuracy_low"]
    return _cheapest([r for r in results if r["accuracy_high"] >= low])


def _close_second(results: Rows) -> str:
    others = [r for r in results if r is not _best(results) and r["p_against_best"] > 0.05]
    return str(_best(others)["rung"])


CHOOSE_SLIPS = (
    Slip("That is the most accurate rung; a cheaper one may be just as good, as far as the test set can tell.",
         lambda r: str(_best(r)["rung"])),
    Slip("That is the cheapest rung of all; first leave out those that are worse than the best (p at most 0.05).",
         _cheapest),
    Slip("The comparison is the wrong way round: p at most 0.05 means that the rung *is* worse than the best. Keep"
         " those above 0.05.", lambda r: _cheapest([row for row in r if row["p_against_best"] <= 0.05])),
    Slip("You compare intervals. Two intervals may overlap although the paired test tells the rungs apart, because both"
         " were measured on the same reviews: use `p_against_best`.", _overlapping),
    Slip("You keep the rungs whose accuracy lies in the best one's interval; the paired test is sharper: use"
         " `p_against_best`.", lambda r: _cheapest([x for x in r if x["accuracy"] >= _best(r)["accuracy_low"]])),
    Slip("That is the most accurate of those that cannot be told apart from the best; the cheapest of them is wanted.",
         _close_second),
    Slip("That is the rung with the lowest p; a low p means that it is worse than the best.",
         lambda r: str(min(r, key=lambda row: row["p_against_best"])["rung"])),
    Slip("That is the dearest of those that cannot be told apart from the best; the cheapest is wanted.",
         lambda r: str(max((x for x in r if x["p_against_best"] > 0.05), key=lambda x: x["cpu_seconds"])["rung"])),
    Slip("Accuracy divided by seconds favours the cheapest, however bad; leave out those that are worse first.",
         lambda r: str(max(r, key=lambda row: row["accuracy"] / row["cpu_seconds"])["rung"])),
    Slip("You take the first rung of the list that passes; take the cheapest one that passes.",
         lambda r: next(str(x["rung"]) for x in r if x["p_against_best"] > 0.05)),
    Slip("You leave the best rung out of the candidates; if nothing cheaper passes, it is the answer.",
         lambda r: _cheapest([x for x in r if 0.05 < x["p_against_best"] < 1])),
)  # fmt: skip


def _read_rung(value: Any) -> str:
    if isinstance(value, dict):
        raise Wrong('the whole row of the table; return its name, `row["rung"]`')
    if not isinstance(value, str):
        raise Wrong(f"{described(value)} where the name of a rung is wanted")
    return value


def choose_problems(answer: Any) -> list[str]:
    """What is wrong with a choice of rung."""
    return judge(answer, "choose", CHOOSE_CASES, choose, CHOOSE_SLIPS, _read_rung, lambda a, b: a == b)


EXERCISE = Exercise(
    id="03-choose-rung",
    title="Which rung would you choose?",
    prompt=(
        "`results` is a list of dictionaries with the keys `rung`, `accuracy`, `accuracy_low`, `accuracy_high`,"
        " `cpu_seconds` and `p_against_best` (the paired test against the most accurate rung; 1.0 for that rung"
        " itself). Write a function that returns the name of the cheapest rung that cannot be told apart from the best"
        " one: `p_against_best` above 0.05."
    ),
    stub="def choose(results):\n    ...",
    hints=(
        'Two steps: which rungs are candidates, and which of them has the smallest `row["cpu_seconds"]`?',
        'Candidates: `[row for row in results if row["p_against_best"] > 0.05]`. The best rung is among them.',
        '`min(candidates, key=lambda row: row["cpu_seconds"])` is the whole row; return its `["rung"]`.',
    ),
    code=(
        "def choose(results):\n"
        '    candidates = [row for row in results if row["p_against_best"] > 0.05]\n'
        '    return min(candidates, key=lambda row: row["cpu_seconds"])["rung"]'
    ),
    why=(
        "A difference that the test set cannot show is no reason to pay more. It is no proof of equality either: a"
        " larger test set may tell the two apart. Then the question becomes what a point of accuracy is worth to you."
    ),
    problems=choose_problems,
)
