"""A ruler for the package: sizes, import chains, names that occur twice, and docstrings.

    python -m tests.structure          # this checkout
    python -m tests.structure DIR      # another checkout, or the directory of any package

What is counted:

- A module is a file `*.py`, `__init__.py` included. Its lines are all its lines.
- The length of a function is from its `def` to its last line, without its docstring and decorators.
- A chain is the longest path in the graph of imports, counted in modules; a circle of modules that
  import each other is one step that counts as all of them. `from a.b import c` leads to
  `a.b.c` if that is a module, and otherwise to `a.b`; relative imports are not followed. Imports
  under TYPE_CHECKING do not count. Imports within functions do, and the chain without them is
  printed as well.
- The composition root is the module of `app/`, `commands/` or `cli/` that imports the most modules.
- A name is that of a module or of a package, without `__init__` and `__main__`. The second count
  leaves out packages, so that a room may have the name of its command (`ledger/`,
  `commands/ledger.py`) or of its main module (`runner/runner.py`).
- The p90 of n values is the one at position 0.9 n in ascending order.
- Question words are What, Where, Whether, Whose, How, Who, Which, When and Why. They are counted at
  the beginning of docstrings of modules, classes and functions; `where` and `if` anywhere in these.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

QUESTION_WORDS = ("What", "Where", "Whether", "Whose", "How", "Who", "Which", "When", "Why")
WIRING_ROOMS = ("app", "commands", "cli")

Imports = dict[str, set[str]]
"""Module -> the modules of the package that it imports."""

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Structure:
    """The modules of one package, parsed."""

    package: Path

    @cached_property
    def paths(self) -> list[Path]:
        return sorted(self.package.rglob("*.py"))

    @cached_property
    def trees(self) -> dict[Path, ast.Module]:
        return {path: ast.parse(path.read_text(encoding="utf-8")) for path in self.paths}

    def nodes(self) -> Iterator[ast.AST]:
        for tree in self.trees.values():
            yield from ast.walk(tree)

    @property
    def module_lines(self) -> list[int]:
        return [len(path.read_text(encoding="utf-8").splitlines()) for path in self.paths]

    @property
    def function_lines(self) -> list[int]:
        return [_length(node) for node in self.nodes() if isinstance(node, _FUNCTION)]

    def docstrings(self, *kinds: type[ast.AST]) -> list[str]:
        documented = (ast.Module, ast.ClassDef, *_FUNCTION)  # what ast.get_docstring takes
        found = [
            ast.get_docstring(node)
            for node in self.nodes()
            if isinstance(node, kinds) and isinstance(node, documented)
        ]
        return [text for text in found if text]

    def class_names_used_twice(self) -> list[str]:
        return _repeated(node.name for node in self.nodes() if isinstance(node, ast.ClassDef))

    def shared_names(self, *, packages: bool) -> list[str]:
        """Return modules (and packages) with the name of another, as paths below the package."""
        by_name = defaultdict(list)
        for path in self.paths:
            place = path.parent if path.stem == "__init__" else path.with_suffix("")
            named = path.stem != "__main__" and place != self.package
            if named and (packages or path.stem != "__init__"):
                by_name[place.name].append(str(place.relative_to(self.package)))
        return [place for places in by_name.values() if len(places) > 1 for place in places]

    def imports(self, *, in_functions: bool) -> Imports:
        names = {_dotted(path, self.package): tree for path, tree in self.trees.items()}
        return {
            name: {_module(target, names) for target in _targets(tree, in_functions)}
            & names.keys() - {name}
            for name, tree in names.items()
        }

    def wiring(self) -> list[tuple[int, str]]:
        """Return how many modules each wiring module imports, the most first."""
        rooms = {f"{self.package.name}.{room}" for room in WIRING_ROOMS}
        return sorted(
            (
                (len(targets), name)
                for name, targets in self.imports(in_functions=True).items()
                if ".".join(name.split(".")[:2]) in rooms
            ),
            reverse=True,
        )


def longest_chain(imports: Imports) -> list[str]:
    """Return the modules on the longest path of imports, circles taken as one step."""
    reached = {name: _reachable(name, imports) for name in imports}
    circle = {
        name: sorted({other for other in reached[name] if name in reached[other]} | {name})
        for name in imports
    }
    chains: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        first = circle[name][0]
        if first not in chains:
            after = {target for one in circle[name] for target in imports[one]} - {*circle[name]}
            chains[first] = circle[name] + max(map(chain, sorted(after)), key=len, default=[])
        return chains[first]

    return max(map(chain, imports), key=len, default=[])


def circular(imports: Imports) -> list[str]:
    """Return the modules that import themselves, directly or through others."""
    return [name for name in imports if name in _reachable(name, imports)]


def share_of_questions(docstrings: list[str], words: Iterable[str]) -> float:
    """Return the share of docstrings in per cent that begin with one of the words."""
    first = re.compile(rf"({'|'.join(words)})\b")
    return 100 * sum(bool(first.match(text)) for text in docstrings) / max(1, len(docstrings))


def per_thousand(word: str, docstrings: list[str]) -> float:
    """Return how often a word occurs in 1,000 words of the docstrings."""
    words = re.findall(r"[a-z']+", " ".join(docstrings).lower())
    return 1000 * words.count(word) / max(1, len(words))


def table(structure: Structure) -> list[tuple[str, str]]:
    """Return every figure with its label."""
    lines, functions = structure.module_lines, structure.function_lines
    everything = structure.imports(in_functions=True)
    at_import = structure.imports(in_functions=False)
    docstrings = structure.docstrings(ast.Module, ast.ClassDef, *_FUNCTION)
    of_functions = structure.docstrings(*_FUNCTION)
    wiring = structure.wiring()
    where, if_ = per_thousand("where", docstrings), per_thousand("if", docstrings)
    return [
        ("modules", f"{len(lines)}"),
        ("lines", f"{sum(lines):,}"),
        ("lines of a module, median / p90 / max", _spread(lines)),
        ("lines of a function, median / p90 / max", _spread(functions)),
        ("longest import chain", f"{len(longest_chain(everything))}"),
        ("longest import chain, imports in functions left out", f"{len(longest_chain(at_import))}"),
        ("modules in an import circle", f"{len(circular(everything))}"),
        ("imports of the composition root", f"{wiring[0][0] if wiring else '-'}"),
        ("modules that share a name with another", f"{len(structure.shared_names(packages=True))}"),
        ("the same without packages", f"{len(structure.shared_names(packages=False))}"),
        ("class names used twice", f"{len(structure.class_names_used_twice())}"),
        (
            "docstrings that begin with a question word",
            f"{share_of_questions(docstrings, QUESTION_WORDS):.1f} %",
        ),
        (
            "docstrings of functions that begin with What, Where, Whether, Whose, How",
            f"{share_of_questions(of_functions, QUESTION_WORDS[:5]):.1f} %",
        ),
        ("`where` / `if` per 1,000 words of docstrings", f"{where:.1f}/{if_:.1f}"),
    ]


def p90(values: list[int]) -> int:
    """Return the value that nine in ten values do not exceed."""
    return sorted(values)[int(0.9 * len(values))]


def main(arguments: list[str]) -> None:
    """Print the table of one package, then what is behind its figures."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    package = root / "batchgen" if (root / "batchgen").is_dir() else root
    structure = Structure(package.resolve())
    if not structure.paths:
        sys.exit(f"{package}: no Python files")
    for label, figure in table(structure):
        print(f"{figure:>14}  {label}")
    everything = structure.imports(in_functions=True)
    _print_list("longest import chain", longest_chain(everything))
    _print_list("import circle", circular(everything))
    _print_list("share a name", sorted(structure.shared_names(packages=True)))
    _print_list("class names used twice", structure.class_names_used_twice())
    _print_list(
        "modules that a wiring module imports",
        [f"{count:3} {name}" for count, name in structure.wiring()],
    )


def _print_list(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}:", *lines, sep="\n  ")


def _spread(values: list[int]) -> str:
    return f"{median(values):g}/{p90(values)}/{max(values)}"


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def _dotted(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _targets(node: ast.AST, in_functions: bool) -> Iterator[str]:
    """Yield the dotted names that a syntax tree imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, _FUNCTION) and not in_functions:
            continue
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _targets(child, in_functions)


def _module(target: str, modules: Iterable[str]) -> str:
    return target if target in modules else target.rpartition(".")[0]


def _reachable(name: str, imports: Imports) -> set[str]:
    seen: set[str] = set()
    waiting = [*imports[name]]
    while waiting:
        target = waiting.pop()
        if target not in seen:
            seen.add(target)
            waiting += imports[target]
    return seen


if __name__ == "__main__":
    main(sys.argv[1:])
