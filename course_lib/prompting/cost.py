"""What 1000 answers cost: prompting, retrieval, fine-tuning.

Every way of adapting a model has a price before its first answer and a price for each answer:

    per 1000 answers = 1000 * (per answer + (once + monthly * months) / (answers per month * months))

Prompting costs little before and much each time, because the examples are sent with every question; fine-tuning is the
other way round: labels, hours of a GPU and a test first, then short prompts. Where the two lines cross is `break_even`,
and it is a number of answers, not a belief. Retrieval lies between: a collection is cut and embedded once, and every
question then brings its passages along.

No price here is a quotation. All are arguments; `EXAMPLE` has round numbers that are assumed, and says what they stand
for. What is bought with the money (accuracy) is measured, not computed: `evaluate.measure` has it, and the tokens. Left
out: the wages of whoever writes prompts, errors that cost something, discounts for prompts that repeat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from course_lib.errors import CourseError

MILLION = 1_000_000
EMBED_WORDS = 1.35  # tokens per English word, for collections that are counted in words


def _amount(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise CourseError(f"{name} must be a number of 0 or more, not {value}.")
    return value


@dataclass(frozen=True)
class Prices:
    """Dollars for work that is bought. Raises CourseError for a negative or endless number."""

    per_million_in: float  # tokens read by the model
    per_million_out: float  # tokens written by it
    per_million_embedded: float  # tokens turned into vectors
    per_label: float  # one checked example
    gpu_per_hour: float
    index_per_month: float = 0.0  # keeping vectors where they can be searched
    hosting_per_month: float = 0.0  # keeping a model of one's own ready
    note: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "note":
                _amount(field.name, getattr(self, field.name))


# Round numbers, assumed for the exercise: put your own in their place.
EXAMPLE = Prices(
    per_million_in=0.50,
    per_million_out=1.50,
    per_million_embedded=0.02,
    per_label=0.30,
    gpu_per_hour=1.00,
    index_per_month=10.0,
    hosting_per_month=0.0,
    note="assumed: a small hosted model, a label by a person in a minute, a rented card, a tuned model billed by token",
)


@dataclass(frozen=True)
class Way:
    """One way to get answers. Money in dollars; ``accuracy`` is a share from 0 to 1 where it was measured."""

    name: str
    once: float
    monthly: float
    per_answer: float
    accuracy: float | None = None
    note: str = ""

    def per_thousand(self, answers_per_month: float, months: float = 12) -> float:
        """Dollars per 1000 answers when everything is paid by that many answers.

        Raises CourseError when there are no answers to pay it.

        >>> Way("tuned", once=120, monthly=0, per_answer=0.001).per_thousand(1000, months=12)
        11.0
        """
        if not answers_per_month > 0 or not months > 0:
            raise CourseError(
                "The cost of an answer needs answers: give more than 0 per month, for more than 0 months."
            )
        return 1000 * (self.per_answer + (self.once + self.monthly * months) / (answers_per_month * months))


def prompting(
    tokens_in: float, tokens_out: float, prices: Prices = EXAMPLE, *, name: str = "prompting", examples: int = 0,
    tests: int = 200, accuracy: float | None = None,
) -> Way:  # fmt: skip
    """Prompts with their examples: tokens per answer as measured, and labels for the examples and for ``tests`` records
    to measure with (any way needs those; without them nobody knows what was bought).
    """
    once = (examples + tests) * prices.per_label
    return Way(name, once, 0.0, _tokens(tokens_in, tokens_out, prices), accuracy, f"{examples} examples in each prompt")


def retrieval(
    tokens_in: float, tokens_out: float, prices: Prices = EXAMPLE, *, words: float, query_tokens: float = 20,
    changed_per_month: float = 0.1, name: str = "retrieval", tests: int = 200, accuracy: float | None = None,
) -> Way:  # fmt: skip
    """Passages of a collection of ``words`` words in the prompt, of which a share changes each month."""
    _amount("words", words)
    embedding = words * EMBED_WORDS / MILLION * prices.per_million_embedded
    monthly = prices.index_per_month + _amount("changed_per_month", changed_per_month) * embedding
    each = (
        _tokens(tokens_in, tokens_out, prices)
        + _amount("query_tokens", query_tokens) / MILLION * prices.per_million_embedded
    )
    note = f"{words:,.0f} words embedded, {changed_per_month:.0%} of them anew each month"
    return Way(name, tests * prices.per_label + embedding, monthly, each, accuracy, note)


def fine_tuning(
    tokens_in: float, tokens_out: float, prices: Prices = EXAMPLE, *, labels: int, gpu_hours: float, runs: int = 5,
    per_year: float = 1, name: str = "fine-tuning", tests: int = 200, accuracy: float | None = None,
) -> Way:  # fmt: skip
    """A model trained on ``labels`` examples: short prompts afterwards. ``runs`` is how many trainings it takes until
    it is right, ``per_year`` how often that is done again (with half as many new labels), because the world moves on.
    """
    for key, value in {"labels": labels, "gpu_hours": gpu_hours, "runs": runs, "per_year": per_year}.items():
        _amount(key, value)
    training = runs * gpu_hours * prices.gpu_per_hour
    again = per_year / 12 * (training + labels / 2 * prices.per_label)
    once = (labels + tests) * prices.per_label + training
    note = f"{labels:,} labels, {runs} trainings of {gpu_hours:g} h, again {per_year:g} times a year"
    return Way(name, once, prices.hosting_per_month + again, _tokens(tokens_in, tokens_out, prices), accuracy, note)


def own_machine(seconds: float, prices: Prices = EXAMPLE, utilisation: float = 0.3) -> float:
    """Dollars per answer that takes ``seconds`` of a rented machine that is busy the share ``utilisation`` of a day.

    Raises CourseError for a utilisation that is not above 0 and at most 1.

    >>> round(own_machine(3.6, utilisation=0.5), 4)  # $1.00 an hour
    0.002
    """
    if not 0 < utilisation <= 1:
        raise CourseError(f"Utilisation is a share above 0 and at most 1, not {utilisation}.")
    return _amount("seconds", seconds) / 3600 * prices.gpu_per_hour / utilisation


def break_even(first: Way, second: Way, months: float = 12) -> float:
    """Answers per month from which the way with the lower price per answer is the cheaper one.

    ``math.inf`` where it never is (equal prices per answer), 0 where it always is.

    >>> break_even(Way("a", 0, 0, 0.003), Way("b", 120, 0, 0.001), months=12)
    5000.0
    """
    if not months > 0:
        raise CourseError(f"Months must be more than 0, not {months}.")
    low, high = sorted((first, second), key=lambda way: way.per_answer)
    fixed = (low.once - high.once) / months + low.monthly - high.monthly
    if fixed <= 0:
        return 0.0
    saved = high.per_answer - low.per_answer
    return round(fixed / saved, 6) if saved > 0 else math.inf


def table(
    ways: Sequence[Way], volumes: Sequence[float] = (1_000, 100_000, 10_000_000), months: float = 12
) -> list[dict[str, str | float]]:
    """A row per way: its accuracy where known, and dollars per 1000 answers at each volume (answers per month)."""
    return [
        {
            "way": way.name,
            **({"accuracy": way.accuracy} if way.accuracy is not None else {}),
            **{f"at {volume:,.0f} a month": way.per_thousand(volume, months) for volume in volumes},
        }
        for way in ways
    ]


def _tokens(tokens_in: float, tokens_out: float, prices: Prices) -> float:
    """Dollars for the tokens of one answer."""
    read = _amount("tokens_in", tokens_in) * prices.per_million_in
    return (read + _amount("tokens_out", tokens_out) * prices.per_million_out) / MILLION
