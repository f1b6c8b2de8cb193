"""Templates over the columns of a row. The row's values are data and are never run.

A manifest may come from a stranger: a template may put values together and change their case, but
do nothing that could run for long or fill the memory. So loops, calls, multiplication and most
filters are refused before the first row, and what a row would need is estimated before it is
rendered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchgen.core.schema.values import InvalidValue
from batchgen.core.suggest import did_you_mean

MAX_TEMPLATE = 20_000
"""Characters of one template."""
MAX_RENDERED = 1_000_000
"""Characters of one rendered value."""
MAX_DEPTH = 60
"""Levels of parts in parts, one for each `+`; the compiler is slow with deeper ones."""
MAX_ESTIMATE = 5 * MAX_RENDERED
"""Characters that a value may have by the estimate, which is on the safe side."""
MAX_WORK = 100 * MAX_RENDERED
"""Characters that all parts of a template may go through for one row."""
_NUMBER_LENGTH = 4300
"""Characters of a number, at most: more digits are not a number for Python."""

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


STEP_VALUES = ("prompt", "index", "url")
"""What a template may ask of an earlier step, as in `{{ still.prompt }}`."""


def step_variable(step: str, value: str) -> str:
    """Return the name under which `render` takes a value of a step."""
    return f"{step}.{value}"


class Template:
    """One template, checked and compiled; raises `InvalidValue` for what it may not contain."""

    def __init__(self, source: str, steps: Collection[str] = ()) -> None:
        """`steps` are the names of steps whose values it may use."""
        self._steps = frozenset(steps)
        self._step_names: dict[str, str] = {}
        """Names in the compiled template -> those of `step_variable`."""
        try:
            self._check(source)
            self._compiled = _environment.from_string(self._tree)
        except InvalidValue:
            raise
        except (RecursionError, SyntaxError, MemoryError):  # of the compiler below as well
            raise InvalidValue("is nested too deeply") from None
        except (TemplateError, ValueError) as error:  # ValueError: a number of thousands of digits
            raise InvalidValue(f"is not a valid template: {error}") from None

    def _check(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE:
            raise InvalidValue(f"has {len(source)} characters; at most {MAX_TEMPLATE} are allowed")
        tree = _environment.parse(source)
        if self._steps:
            tree = self._with_step_values(tree)
        for fault in _faults(tree, self._steps):
            raise InvalidValue(fault)
        if _depth(tree) > MAX_DEPTH:
            raise InvalidValue("is nested too deeply")
        self._tree, self._length = tree, len(source)
        self._parts = sum(1 for _ in tree.find_all(nodes.Node))
        names = meta.find_undeclared_variables(tree).difference(self._step_names)
        self._names = {name: variable(name) for name in names}
        self.optional = frozenset(variable(name) for name in _optional(tree))
        """Variables that a row need not give: the template has a default or tests for them."""

    def _with_step_values(self, tree: nodes.Template) -> nodes.Template:
        """Return the template with a plain name in the place of each `STEP.VALUE`."""

        def replaced(node: nodes.Node) -> nodes.Node:
            if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
                step, value = node.node.name, node.attr
                if step in self._steps and value in STEP_VALUES:
                    name = f"step_{len(self._step_names)}_{step}_{value}"
                    self._step_names[name] = step_variable(step, value)
                    return nodes.Name(name, "load", lineno=node.lineno)
            for field, value in node.iter_fields():
                if isinstance(value, nodes.Node):
                    setattr(node, field, replaced(value))
                elif isinstance(value, list):
                    entries = [
                        replaced(one) if isinstance(one, nodes.Node) else one for one in value
                    ]
                    setattr(node, field, entries)
            return node

        found = replaced(tree)
        assert isinstance(found, nodes.Template)  # noqa: S101 - the top of a tree stays
        return found

    @property
    def step_values(self) -> frozenset[str]:
        """The values of steps that it uses, as `step_variable` names them."""
        return frozenset(self._step_names.values())

    @property
    def variables(self) -> frozenset[str]:
        """The columns it uses, as `variable` names them."""
        return frozenset(self._names.values())

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text for one row; `values` by `variable` name, empty cells left out.

        Raises `InvalidValue` if the row does not give what the template needs.
        """
        known = {name: values[key] for name, key in self._names.items() if key in values}
        known |= {name: values[key] for name, key in self._step_names.items() if key in values}
        self._refuse_growth(known)
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

    def _refuse_growth(self, known: Mapping[str, str]) -> None:
        """Raise `InvalidValue` if the text, or the way to it, may be too long for this row."""
        longest = max(map(len, known.values()), default=0) + _NUMBER_LENGTH + self._length
        if longest * self._parts <= MAX_ESTIMATE:
            return  # as in all but the strangest templates
        estimate = _Estimate({name: len(text) for name, text in known.items()})
        length = estimate.of(self._tree)
        if length > MAX_ESTIMATE:
            raise InvalidValue(f"the rendered text has more than {MAX_RENDERED} characters")
        if estimate.work > MAX_WORK:
            raise InvalidValue(
                f"the template goes through more than {MAX_WORK} characters; make it shorter"
            )


class _Estimate:
    """The most characters that the parts of a template can give for values of some lengths."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = lengths
        self.work = 0
        """The sum over all parts so far."""

    def of(self, node: nodes.Node) -> int:
        """Return the most that this part can give."""
        length = self._of(node)
        self.work += length
        return length

    def _of(self, node: nodes.Node) -> int:
        match node:
            case nodes.Name():
                return self._lengths.get(node.name, 0)
            case nodes.TemplateData():
                return len(node.data)
            case nodes.Const():
                return _NUMBER_LENGTH if isinstance(node.value, float) else len(str(node.value))
            case nodes.Filter():
                return self._of_filter(node)
            case nodes.CondExpr() | nodes.And() | nodes.Or() | nodes.Getitem():
                return max(map(self.of, node.iter_child_nodes()), default=0)
            case nodes.If():
                return self._of_branches(node)
            case nodes.Compare() | nodes.Not() | nodes.Test() | nodes.Slice():
                sum(map(self.of, node.iter_child_nodes()))
                return len("False")
        return 1 + sum(map(self.of, node.iter_child_nodes()))

    def _of_branches(self, node: nodes.If) -> int:
        """Return the most of the branches, of which one is rendered."""
        self.of(node.test)
        branches = [sum(map(self.of, body)) for body in (node.body, node.else_)]
        return max(*branches, *map(self.of, node.elif_), 0)

    def _of_filter(self, node: nodes.Filter) -> int:
        """Return the most that a filter can make of its value and arguments."""
        value, *arguments = [self.of(child) for child in node.iter_child_nodes()] or [0]
        if node.name in ("abs", "float", "int", "length", "round", "wordcount"):
            return _NUMBER_LENGTH
        if node.name == "replace":
            # `_replace` keeps to the limit; a longer text in place of another may reach it.
            return value if arguments[1:] and arguments[1] <= 1 else MAX_RENDERED
        return value + sum(arguments)


def _depth(tree: nodes.Node) -> int:
    """Return how deep the parts of a template are nested in each other."""
    depth, level = 0, [tree]
    while level := [child for node in level for child in node.iter_child_nodes()]:
        depth += 1
    return depth


def _optional(tree: nodes.Node) -> Iterator[str]:
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        guards = node.name in ("default", "d", "defined", "undefined")
        if guards and isinstance(node.node, nodes.Name):
            yield node.node.name


def _faults(tree: nodes.Node, steps: Collection[str] = ()) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            yield f"the filter {node.name!r} is not allowed; allowed: {', '.join(sorted(FILTERS))}"
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            yield f"the test {node.name!r} is not allowed; allowed: {', '.join(sorted(_TESTS))}"
        elif isinstance(node, nodes.Getattr):
            yield _fault_of_dots(node, sorted(steps))
        elif not isinstance(node, _ALLOWED):
            name = type(node).__name__.lower()
            yield f"line {node.lineno}: {name} is not allowed in a template"


def _fault_of_dots(node: nodes.Getattr, steps: Sequence[str]) -> str:
    """Return why a name with dots is not allowed: other programs nest values, a row does not.

    Only the values of `steps` have dots.
    """
    names, inner = [node.attr], node.node
    while isinstance(inner, nodes.Getattr):
        names.append(inner.attr)
        inner = inner.node
    if not isinstance(inner, nodes.Name):
        return f"line {node.lineno}: .{node.attr} is not allowed in a template"
    names.append(inner.name)
    path = list(reversed(names))
    if path[0] in steps:
        return f"a step has {', '.join(STEP_VALUES)}, and no {path[1]!r}"
    if steps and path[1] in STEP_VALUES:
        hint = did_you_mean(path[0], steps) or f"; the steps are {', '.join(steps)}"
        return f"no step {path[0]!r}{hint}"
    return (
        f"{'.'.join(path)!r} is not the name of a column; write {{{{ {path[-1]} }}}}, or "
        f"{{{{ {'_'.join(path)} }}}} if the column is called so"
    )


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
