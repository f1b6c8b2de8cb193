"""Templates over the columns of a row. The row's values are data and are never run.

A manifest may come from a stranger: a template may put values together and change their case, but
do nothing that could run for long or fill the memory. So loops, calls, multiplication and most
filters are refused before the first row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchgen.core.schema.values import InvalidValue

MAX_TEMPLATE = 20_000
"""Characters of one template."""
MAX_RENDERED = 1_000_000
"""Characters of one rendered value."""

FILTERS = frozenset({
    "abs", "capitalize", "d", "default", "first", "float", "int", "last", "length", "lower",
    "replace", "reverse", "round", "string", "title", "trim", "truncate", "upper", "wordcount",
})  # fmt: skip
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Filter,
    nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Concat, nodes.Add, nodes.Sub, nodes.Neg, nodes.Test, nodes.Getitem, nodes.Slice,
    nodes.Keyword,
)  # fmt: skip
_TESTS = frozenset({"defined", "undefined", "none", "string", "number", "in"})


def is_template(text: str) -> bool:
    """Return whether a text is meant to be rendered."""
    return "{{" in text or "{%" in text


def variable(name: str) -> str:
    """Return a column's name for templates: lower case, `_` for all but letters and digits."""
    return "".join(c if c.isalnum() else "_" for c in name.strip().casefold())


class Template:
    """One template, checked and compiled; raises `InvalidValue` for what it may not contain."""

    def __init__(self, source: str) -> None:
        try:
            self._check(source)
            self._compiled = _environment.from_string(source)
        except RecursionError:
            raise InvalidValue("is nested too deeply") from None
        except TemplateError as error:
            raise InvalidValue(f"is no valid template: {error}") from None

    def _check(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE:
            raise InvalidValue(f"has {len(source)} characters; at most {MAX_TEMPLATE} are allowed")
        tree = _environment.parse(source)
        for fault in _faults(tree):
            raise InvalidValue(fault)
        self._names = {name: variable(name) for name in meta.find_undeclared_variables(tree)}
        self.optional = frozenset(variable(name) for name in _optional(tree))
        """Variables that a row need not give: the template has a default or tests for them."""

    @property
    def variables(self) -> frozenset[str]:
        """The columns it uses, as `variable` names them."""
        return frozenset(self._names.values())

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text for one row; `values` by `variable` name, empty cells left out.

        Raises `InvalidValue` if the row does not give what the template needs.
        """
        known = {name: values[key] for name, key in self._names.items() if key in values}
        try:
            text = self._compiled.render(known)
        except UndefinedError:
            missing = sorted(name for name in self._names if name not in known)
            names = ", ".join(repr(name) for name in missing)
            hint = f"; fill it, or write {{{{ {missing[0]} | default('') }}}}" if missing else ""
            raise InvalidValue(
                f"the template needs {names}, which this row does not give{hint}"
            ) from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise InvalidValue(f"the template cannot be rendered: {error}") from None
        if len(text) > MAX_RENDERED:
            raise InvalidValue(f"the rendered text has more than {MAX_RENDERED} characters")
        return text


def _optional(tree: nodes.Node) -> Iterator[str]:
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        guards = node.name in ("default", "d", "defined", "undefined")
        if guards and isinstance(node.node, nodes.Name):
            yield node.node.name


def _faults(tree: nodes.Node) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            yield f"the filter {node.name!r} is not allowed; allowed: {', '.join(sorted(FILTERS))}"
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            yield f"the test {node.name!r} is not allowed; allowed: {', '.join(sorted(_TESTS))}"
        elif not isinstance(node, _ALLOWED):
            name = type(node).__name__.lower()
            yield f"line {node.lineno}: {name} is not allowed in a template"


def _replace(text: object, old: str, new: str) -> str:
    """Replace like Jinja's filter, but not beyond the limit: it could be chained into gigabytes."""
    value = str(text)
    grown = len(value) + value.count(str(old)) * (len(str(new)) - len(str(old)))
    if grown > MAX_RENDERED:
        raise ValueError("the text grows too long")
    return value.replace(str(old), str(new))


_environment = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
)
_environment.filters = {name: _environment.filters[name] for name in FILTERS}
_environment.filters["replace"] = _replace
_environment.globals.clear()
