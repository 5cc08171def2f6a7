"""Is an answer in the form that was asked for, right or wrong? It is the first thing that fine-tuning teaches.

A form is written as a line of text, so that it fits into a record, a CSV file and a question to a model:

    text                        anything but nothing
    line                        one line
    sentence                    one line that ends with a full stop, a question mark or an exclamation mark
    number                      one number and nothing else: 1072, -3.5, $1,072.50
    choice: good | mixed | bad  one of these, but for case, spaces and a full stop at the end
    fields: name, village       name: ...; village: ... with these keys in this order, each with a value
    json: name, village         a JSON object that has at least these keys (none named: any object)
    sql                         one complete statement that reads, in sqlite's grammar

Spaces around an answer never count. Left out: code in other languages, and JSON schemas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from course_lib.errors import CourseError
from course_lib.metrics.sql import parses
from course_lib.metrics.text import as_number, plain

ENDS = (".", "?", "!", '."', '?"', '!"', ".”", "?”", "!”", ".'", "?'", "!'", ".’", "?’", "!’")


def in_format(prediction: str, form: str) -> float:
    """1.0 if a text has a form, 0.0 if not. Raises CourseError for a form that does not exist or lacks its names.

    >>> in_format("Good.", "choice: good | bad"), in_format("name: Ada; age: 7", "fields: name, age")
    (1.0, 1.0)
    """
    name, _, rest = (part.strip() for part in form.partition(":"))
    if name not in FORMS:
        raise CourseError(f"There is no form {name!r}; write one of {', '.join(FORMS)}.")
    names = [one.strip() for one in rest.split("|" if name == "choice" else ",") if one.strip()]
    if name in ("choice", "fields") and not names:
        raise CourseError(f"The form {form!r} names nothing: write {EXAMPLES[name]!r}.")
    return float(FORMS[name](prediction.strip(), names))


def _line(text: str, _: Sequence[str]) -> bool:
    return len(text.splitlines()) == 1


def _sentence(text: str, _: Sequence[str]) -> bool:
    return _line(text, ()) and text.endswith(ENDS)


def _number(text: str, _: Sequence[str]) -> bool:
    return as_number(text) is not None


def _choice(text: str, names: Sequence[str]) -> bool:
    return plain(text) in {plain(name) for name in names}


def _fields(text: str, names: Sequence[str]) -> bool:
    pairs = [part.partition(":") for part in text.removesuffix(".").removesuffix(";").split(";")]
    keys = [key.strip().lower() for key, _, _ in pairs]
    return keys == [name.lower() for name in names] and all(value.strip() for _, _, value in pairs)


def _json(text: str, names: Sequence[str]) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(names) <= set(found)


FORMS: Mapping[str, Callable[[str, Sequence[str]], bool]] = MappingProxyType({
    "text": lambda text, _: bool(text),
    "line": _line,
    "sentence": _sentence,
    "number": _number,
    "choice": _choice,
    "fields": _fields,
    "json": _json,
    "sql": lambda text, _: parses(text),
})  # fmt: skip
EXAMPLES = {"choice": "choice: good | bad", "fields": "fields: name, village"}
