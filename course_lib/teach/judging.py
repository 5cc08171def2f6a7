"""How a learner's answer is judged: try it on several cases, and recognise the mistakes that people make.

A check that only says "wrong" sends people to the solution. So an exercise brings its known slips as functions: the
Wald interval instead of Wilson's, accuracy instead of macro-F1. If an answer computes on every case what a slip
computes, that is the mistake, and its sentence says so. Whatever the answer does, raise or return nonsense, becomes a
sentence too: nothing a learner hands in stops the notebook.
"""

from __future__ import annotations

import copy
import dis
import inspect
import linecache
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class Unattempted(Exception):
    """The answer is still the stub."""


class Wrong(Exception):
    """The answer cannot be judged further; ``str`` is the sentence for the learner."""


@dataclass(frozen=True)
class Exercise:
    """A task with all that a learner may ask for. ``problems`` returns what is wrong with an answer, [] if nothing."""

    id: str
    title: str
    prompt: str
    stub: str  # what the learner's cell contains
    hints: tuple[str, ...]
    code: str  # what the solution's cell contains
    why: str
    problems: Callable[[Any], list[str]]


@dataclass(frozen=True)
class Case:
    """Arguments to try an answer on, and what to add where it fails on just these."""

    args: tuple[Any, ...]
    note: str = ""


@dataclass(frozen=True)
class Slip:
    """A known mistake: what to tell the learner (a line for each part of it), and a function that makes it."""

    sentence: str
    compute: Callable[..., Any]


@dataclass(frozen=True)
class Failed:
    """What an answer did instead of giving a result that can be compared."""

    sentence: str
    error: type[BaseException] | None = None


Read = Callable[[Any], Any]  # a raw result to one that can be compared; raises Wrong
Same = Callable[[Any, Any], bool]


def judge(
    answer: Any,
    name: str,
    cases: Sequence[Case],
    right: Callable[..., Any],
    slips: Sequence[Slip],
    read: Read,
    same: Same,
) -> list[str]:
    """The problems of a function ``name`` that should compute what ``right`` does."""
    function = as_function(answer, name)
    results = [_try(function, name, case, read) for case in cases]
    expected = [right(*copy.deepcopy(case.args)) for case in cases]
    good = [not isinstance(r, Failed) and same(r, e) for r, e in zip(results, expected, strict=True)]
    if all(good):
        return []
    failures = [r.sentence for r in results if isinstance(r, Failed)]
    if len(failures) == len(results):
        return failures[:1]
    for slip in slips:
        if _slipped(slip, cases, results, expected, same):
            return [*slip.sentence.splitlines(), *failures[:1]]
    first = good.index(False)
    return [_difference(name, cases[first], results[first], expected[first], good), *_constant(results, same)]


def as_function(answer: Any, name: str) -> Callable[..., Any]:
    """The answer, if it can be called."""
    if not callable(answer):
        raise Wrong(
            f"Hand over the function itself, `{name}` without brackets behind it; what arrived is {described(answer)}."
        )
    if is_stub(answer):
        raise Unattempted
    return answer


def is_stub(answer: Any) -> bool:
    """Whether this is a function that does nothing: its body is ``...``, ``pass``, a docstring or ``return None``."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP"}
    steps = list(dis.get_instructions(code))
    return all(step.opname in idle for step in steps) and all(
        step.argval is None or step.argval is Ellipsis for step in steps if step.opname.endswith("_CONST")
    )


def number(value: Any) -> float:
    """A result as a number."""
    shape = getattr(value, "shape", ())
    if isinstance(value, str | bool | complex) or not hasattr(value, "__float__") or tuple(shape) != ():
        raise Wrong(f"{described(value)} where one number is wanted")
    return float(value)


def pair(value: Any) -> tuple[float, float]:
    """A result as two numbers in an order."""
    if isinstance(value, dict | set | frozenset | str) or not hasattr(value, "__len__") or len(value) != 2:
        raise Wrong(f"{described(value)} where a pair of numbers is wanted")
    first, second = value
    return number(first), number(second)


def close(tolerance: float) -> Same:
    """Numbers, or pairs of them, that differ by at most this much, absolutely for small ones, relatively for large."""

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, tuple):
            return all(same(x, y) for x, y in zip(a, b, strict=True))
        return a == b or abs(a - b) <= tolerance * max(1.0, abs(b)) or (math.isnan(a) and math.isnan(b))

    return same


def described(value: Any) -> str:
    """A value in the learner's words: its kind, and what it looks like if that is short."""
    if value is None:
        return "nothing (`None`; a function hands its result back with `return`, `print` only shows it)"
    kind = {"str": "the text", "bool": "the truth value", "function": "the function", "int": "the number",
            "float": "the number"}.get(type(value).__name__, f"a {type(value).__name__}")  # fmt: skip
    look = getattr(value, "__name__", None) or shown(value)
    return f"{kind} {look}" if len(look) <= 60 else kind


def shown(value: Any) -> str:
    """A value as text, numbers with few digits; never raises."""
    try:
        if isinstance(value, float):
            return f"{value:.6g}"
        if isinstance(value, tuple):
            return f"({', '.join(shown(part) for part in value)})"
        return repr(value)
    except Exception as error:
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def _try(function: Callable[..., Any], name: str, case: Case, read: Read) -> Any:
    """The result of one call, or what went wrong in it."""
    call = f"`{name}({', '.join(_short(part) for part in case.args)})`"
    try:
        inspect.signature(function).bind(*case.args)
    except TypeError as error:
        return Failed(f"The function cannot be called as {call}: {error}.")
    except ValueError:
        pass  # built-in functions have no signature to look at
    try:
        result = function(*copy.deepcopy(case.args))
    except NotImplementedError:
        raise Unattempted from None
    except (Exception, SystemExit) as error:
        note = f" {case.note}" if case.note else ""
        return Failed(f"{call} raised {raised(error)}{_where(error, function)}.{note}", type(error))
    if result is Ellipsis:
        raise Unattempted
    try:
        return read(result)
    except Wrong as wrong:
        return Failed(f"{call} gives {wrong}.")
    except Exception as error:
        return Failed(f"{call} gives {described(result)}, which cannot be read: {raised(error)}.")


def _slipped(slip: Slip, cases: Sequence[Case], results: list[Any], expected: list[Any], same: Same) -> bool:
    """Whether the results are the slip's wherever there are results: on two cases at least, and one that matters."""
    compared, wrong = 0, 0
    for case, result, right in zip(cases, results, expected, strict=True):
        if isinstance(result, Failed):
            if result.error is None:
                return False
            continue  # it raised: the other cases may tell why
        try:
            slipped = slip.compute(*copy.deepcopy(case.args))
        except (ArithmeticError, ValueError):
            continue  # the slip has no result here, so this case tells nothing
        if not same(result, slipped):
            return False
        compared, wrong = compared + 1, wrong + (not same(result, right))
    return compared >= 2 and wrong >= 1


def _difference(name: str, case: Case, result: Any, expected: Any, good: list[bool]) -> str:
    if isinstance(result, Failed):
        text = result.sentence
    else:
        call = f"`{name}({', '.join(_short(part) for part in case.args)})`"
        text = f"{call} gives {shown(result)}; right would be {shown(expected)}."
        text += f" {case.note}" if case.note else ""
    return text + (f" It is right in {sum(good)} of the {len(good)} cases tried." if any(good) else "")


def _constant(results: list[Any], same: Same) -> list[str]:
    """A remark for a function that ignores what it is given."""
    plain = [result for result in results if not isinstance(result, Failed)]
    if len(plain) > 2 and all(same(result, plain[0]) for result in plain[1:]):
        return ["It gives the same result whatever it is given: does it use its arguments?"]
    return []


def raised(error: BaseException) -> str:
    """An exception as people read it; never raises itself."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error: BaseException, function: Callable[..., Any]) -> str:
    """Which line of the learner's function raised, if it is known."""
    code = getattr(function, "__code__", None)
    for frame in traceback.extract_tb(error.__traceback__):
        if code is not None and frame.filename == code.co_filename and frame.lineno and frame.name == code.co_name:
            text = linecache.getline(frame.filename, frame.lineno).strip()
            return f" (in line {frame.lineno - code.co_firstlineno + 1} of it{f': `{text}`' if text else ''})"
    return ""


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 70 else text[:60] + " ..."
