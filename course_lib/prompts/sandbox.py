"""Jinja templates that cannot hang, fill the memory or look at anything but a record's fields.

Jinja's own sandbox forbids the ways to the interpreter (``"".__class__``), but a template in it may still compute
``10 ** 10 ** 10``, nest loops or double a text fifty times. So what a template may contain is listed here, and the rest
is refused before it is compiled: fields, constants, conditions, comparisons, ``~`` to join texts, a few filters that do
not make texts longer, and loops over a field that is a list, not inside each other. Work and output are then bounded
by the sizes of template and record. Jinja's sandbox stays in place underneath, with nothing to reach.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from course_lib.errors import CourseError

Value = str | int | float | Sequence[str]
Record = Mapping[str, Any]

LONGEST_TEMPLATE = 4_000  # characters
LONGEST_FIELD = 20_000
LONGEST_LIST = 100
LONGEST_OUTPUT = 100_000
DEEPEST = 20
FILTERS = ("upper", "lower", "trim", "title", "capitalize", "first", "last", "length", "default")
LOOP = ("index", "index0", "first", "last", "length")  # what {{ loop.… }} may say inside a loop
ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Filter, nodes.Test, nodes.Getitem, nodes.Getattr,
    nodes.For, nodes.Neg,
)  # fmt: skip


class _Environment(ImmutableSandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, LoopContext) and attr in LOOP


def _environment() -> _Environment:
    made = _Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in FILTERS}
    made.tests = {name: made.tests[name] for name in ("defined", "undefined")}
    return made


@dataclass(frozen=True)
class Compiled:
    """A checked text: which ``fields`` it uses, which of them it loops over, and how to fill it in."""

    fields: tuple[str, ...]
    loops: tuple[str, ...]
    template: jinja2.Template

    def render(self, record: Record) -> str:
        """The text for one record. Raises CourseError for a missing field or one that does not fit."""
        values = {name: _value(name, record[name]) for name in self.fields if name in record}
        for name in self.loops:
            if isinstance(values.get(name, ()), str | int | float):
                raise CourseError(f"The template repeats over {name!r}, which is not a list: give a list of texts.")
        out, length = [], 0
        try:
            for piece in self.template.generate(values):
                out.append(piece)
                length += len(piece)
                if length > LONGEST_OUTPUT:
                    raise CourseError(f"The prompt has more than {LONGEST_OUTPUT:,} characters: shorten the template.")
        except jinja2.UndefinedError as error:
            raise CourseError(_missing(self.fields, record, error)) from None
        except (SecurityError, TypeError, ValueError) as error:
            raise CourseError(f"The template cannot be filled in: {error}; compare texts with texts only.") from None
        return "".join(out)


@functools.lru_cache(maxsize=512)
def compiled(text: str) -> Compiled:
    """The text as a checked template. Raises CourseError naming the line of what is not allowed."""
    if len(text) > LONGEST_TEMPLATE:
        raise CourseError(
            f"A template has at most {LONGEST_TEMPLATE:,} characters, this one {len(text):,}: shorten it."
        )
    environment = _environment()
    try:
        tree = environment.parse(text)
        loops = tuple(sorted({name for name in _checked(tree) if name}))
        template = environment.from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        raise CourseError(f"Line {error.lineno} of the template is not valid: {error.message}") from None
    except (RecursionError, OverflowError, ValueError):
        raise CourseError("The template is nested too deeply or has a number that is too long: simplify it.") from None
    return Compiled(tuple(sorted(meta.find_undeclared_variables(tree))), loops, template)


def _checked(tree: nodes.Template) -> Iterator[str]:
    """Refuse what is not listed, walking without recursion (the tree may be deep); yields the fields looped over."""
    todo: list[tuple[nodes.Node, int, bool]] = [(tree, 0, False)]
    while todo:
        node, depth, looping = todo.pop()
        if depth > DEEPEST:
            raise CourseError(f"The template nests more than {DEEPEST} levels deep: simplify it.")
        wrong = _wrong(node, looping)
        if wrong:
            raise CourseError(f"Line {node.lineno} of the template {wrong}.")
        if isinstance(node, nodes.For) and isinstance(node.iter, nodes.Name):
            yield node.iter.name
        inside = looping or isinstance(node, nodes.For)
        todo.extend((child, depth + 1, inside) for child in node.iter_child_nodes())


def _wrong(node: nodes.Node, looping: bool) -> str:
    """What is not allowed about a node, as the end of a sentence; empty when nothing is."""
    if not isinstance(node, ALLOWED):
        name = type(node).__name__.lower()
        return f"uses {name!r}, but a template may only fill in fields, choose with if, and repeat over a list"
    if isinstance(node, nodes.For):
        if looping:
            return "has a loop inside a loop: make one list of it"
        if not isinstance(node.iter, nodes.Name) or not isinstance(node.target, nodes.Name) or node.recursive:
            return "may only repeat over a field, as in {% for choice in choices %}"
    if isinstance(node, nodes.Getattr) and not (
        isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr in LOOP
    ):
        return f"asks for .{node.attr}, but only fields can be read, and loop.{', loop.'.join(LOOP)}"
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const | nodes.Neg):
        return "may only pick an element by its number, as in choices[0]"
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"uses the filter {node.name!r}; there are {', '.join(FILTERS)}"
    return ""


def _value(name: str, value: Any) -> Value:
    """A field as the template may see it: a text, a number or a list of texts of bounded size."""
    if isinstance(value, bool | int | float):
        return str(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        if len(value) > LONGEST_FIELD:
            raise CourseError(f"The field {name!r} has more than {LONGEST_FIELD:,} characters: shorten the record.")
        return value
    if isinstance(value, Sequence) and len(value) <= LONGEST_LIST and all(isinstance(one, str) for one in value):
        return [str(_value(name, one)) for one in value]
    raise CourseError(
        f"The field {name!r} is neither a text, nor a number, nor a list of at most {LONGEST_LIST} texts: change it."
    )


def _missing(fields: Sequence[str], record: Record, error: Exception) -> str:
    missing = [name for name in fields if name not in record]
    if not missing:
        return f"The template asks for something that is not there: {error}."
    names = ", ".join(map(repr, missing))
    there = ", ".join(sorted(map(str, record))) or "none"
    return f"The record has no field {names}, which the template needs; its fields are: {there}."
