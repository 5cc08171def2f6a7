"""The triangle of compute, tokens and parameters: any two give the third, and a fit says which two are well chosen.

``C = 6 N D``. For a given C a larger N means fewer tokens D. Hoffmann et al. 2022 (Chinchilla) trained 400 models and
found that both should grow alike, about 20 tokens per parameter. Their fitted loss,

    L(N, D) = E + A / N**alpha + B / D**beta

is often quoted as the source of the 20, but with its published constants its own optimum lies near 90 tokens per
parameter at Chinchilla's budget; the refit of Besiroglu et al. 2024 on the same runs agrees with about 20.

Left out: what a model costs afterwards. Whoever serves it much does better with a smaller model trained far beyond 20
tokens per parameter (Llama-3.1 8B: 1900).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from course_lib.errors import CourseError
from course_lib.memory.arithmetic.checks import amount, choice


class Fit(NamedTuple):
    """Constants of ``L(N, D) = E + A / N**alpha + B / D**beta``, in nats per token."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float


FITS = {
    "hoffmann": Fit(E=1.69, A=406.4, alpha=0.34, B=410.7, beta=0.28),  # 2022, equation 10
    "besiroglu": Fit(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658),  # 2024, a refit of the same runs
}


class Triangle(NamedTuple):
    """A training run: ``flops = 6 * parameters * tokens``."""

    parameters: float
    tokens: float
    flops: float


def chinchilla_tokens(parameters: float, tokens_per_parameter: float = 20.0) -> float:
    """Tokens that make the best use of compute for a model of this size. Source: Hoffmann et al. 2022, table 3.

    >>> chinchilla_tokens(70e9) / 1e12  # Chinchilla itself
    1.4
    """
    return amount("parameters", parameters) * amount("tokens_per_parameter", tokens_per_parameter, positive=True)


def chinchilla_loss(parameters: float, tokens: float, fit: str = "hoffmann") -> float:
    """Expected loss, in nats per token of Chinchilla's data and tokenizer: no forecast for other data.

    ``fit``: "hoffmann" or "besiroglu". CourseError for an unknown fit, and for no parameters or tokens at all.

    >>> round(chinchilla_loss(70e9, 1.4e12), 3), round(chinchilla_loss(280e9, 300e9), 3)  # Chinchilla, Gopher
    (1.937, 1.993)
    """
    known = FITS[choice("fit", fit, FITS)]
    n, d = amount("parameters", parameters, positive=True), amount("tokens", tokens, positive=True)
    return float(known.E + known.A / n**known.alpha + known.B / d**known.beta)


def compute_optimal(flops: float, fit: str = "besiroglu") -> Triangle:
    """Parameters and tokens of least `chinchilla_loss` for a budget: ``N = G (C/6)**(beta / (alpha + beta))``.

    ``G = (alpha A / (beta B))**(1 / (alpha + beta))``. Source: Hoffmann et al. 2022, equation 4.

    >>> [round(compute_optimal(5.76e23, fit).tokens / compute_optimal(5.76e23, fit).parameters) for fit in FITS]
    [93, 18]
    """
    known, budget = FITS[choice("fit", fit, FITS)], amount("flops", flops, positive=True)
    both = known.alpha + known.beta
    scale = (known.alpha * known.A / (known.beta * known.B)) ** (1 / both)
    parameters = scale * (budget / 6) ** (known.beta / both)
    return Triangle(parameters, budget / (6 * parameters), budget)


def triangle(
    parameters: float | None = None,
    tokens: float | None = None,
    flops: float | None = None,
    *,
    tokens_per_parameter: float = 20.0,
) -> Triangle:
    """The third of parameters, tokens and FLOPs from two of them; from one alone at ``tokens_per_parameter``.

    CourseError for none, and for three that contradict ``6 N D`` by more than 1%.

    >>> triangle(parameters=7e9, tokens=2e12).flops
    8.4e+22
    >>> triangle(flops=5.76e23)  # Chinchilla's budget: 69 billion parameters, 1.4 trillion tokens
    Triangle(parameters=69282032302.7..., tokens=1385640646055..., flops=5.76e+23)
    """
    ratio = amount("tokens_per_parameter", tokens_per_parameter, positive=True)
    given = {"parameters": parameters, "tokens": tokens, "flops": flops}
    n, d, c = (None if value is None else amount(name, value, positive=True) for name, value in given.items())
    if n is None and d is None:
        if c is None:
            raise CourseError("Give at least one of parameters, tokens and flops.")
        n = math.sqrt(c / (6 * ratio))
    if n is None:
        assert d is not None
        n = d / ratio if c is None else c / (6 * d)
    elif d is None:
        d = n * ratio if c is None else c / (6 * n)
    if c is not None and not math.isclose(c, 6 * n * d, rel_tol=0.01):
        raise CourseError(f"{n:.4g} parameters and {d:.4g} tokens need {6 * n * d:.4g} FLOPs, not {c:.4g}; give two.")
    return Triangle(n, d, 6 * n * d if c is None else c)


def tokens_for_words(words: float, tokens_per_word: float = 4 / 3) -> float:
    """Tokens of a text of ``words`` words: 4 for 3 English words is the rule of thumb, 1.3 to 1.4 is usual.

    Depends on tokenizer and language: a language rare in the tokenizer's training text takes several times as many.

    >>> tokens_for_words(75_000)
    100000.0
    """
    return amount("words", words) * amount("tokens_per_word", tokens_per_word, positive=True)
