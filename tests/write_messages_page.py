"""Writes docs/messages.md, every message that a user can meet, from the code: `make docs`.

A message is the text of an error that ends a command, of a problem of a row or a setting, or of a
note. What is filled in at run time is shown as `...`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import batchgen
from batchgen.core import errors
from batchgen.core.errors import BatchgenError

PACKAGE = Path(batchgen.__file__).parent
PAGE = PACKAGE.parent / "docs/messages.md"

NOT_FOR_USERS = ("sandbox", "serving")
"""Rooms whose texts go to other programs: answers of servers."""
_VALUES = {"ValueError", "InvalidValue", "BadRow", "Problem", "ValidationError"}
_NOTES = {"say", "insist", "on_note", "on_defect", "note", "warning", "faults"}
_OF_JOBS = {"JobError", "_error"}
_FEW_WORDS = 3
_SENTENCE = 5
"""Words from which on a returned text is a message, and not a part of one."""
_GAP = "..."

_INTRODUCTION = """\
# Every message

<!-- Made from the code by `make docs`. -->

What is filled in at run time is shown as `...`. A message says what is wrong,
where, and what to do; [Troubleshooting](troubleshooting.md) says more about some.
Search for a few words of yours.
"""


@dataclass(frozen=True, order=True)
class Message:
    """One text that may be printed."""

    text: str
    kind: str
    """The name of an error, `problem`, or `note`."""
    exit_code: int = 0


def messages() -> list[Message]:
    """Return every message in the package, each once, in alphabetical order."""
    found: set[Message] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in NOT_FOR_USERS:
            found |= set(_messages_of(ast.parse(path.read_text(encoding="utf-8"))))
    return sorted(found)


def _messages_of(tree: ast.Module) -> Iterator[Message]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _is_error(node.name):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield from _of_call(call, node.name)
        elif isinstance(node, ast.Call):
            yield from _of_call(node, ast.unparse(node.func).split(".")[-1])
        else:
            for text, least in _sentences(node):
                if _words(text) >= least and not text.startswith(_CODE):
                    yield Message(text, "note")


def _sentences(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield texts that may be messages, each with the words from which on it is one."""
    match node:
        case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
            yield _text(value), _SENTENCE
        case ast.Assign(targets=[target], value=value) if _is_text(target):
            yield _text(value), _FEW_WORDS
        case ast.AugAssign(target=target, value=value) if _is_text(target):
            yield _text(value), _FEW_WORDS
        case ast.Dict(values=values):
            yield from ((_PLACE.sub(_GAP, _text(value)), _SENTENCE) for value in values)
        case _:
            pass


def _of_call(call: ast.Call, name: str) -> Iterator[Message]:
    arguments = [*call.args, *(one.value for one in call.keywords if one.arg in _TEXTS)]
    for text in map(_text, arguments):
        if _words(text) < _FEW_WORDS:
            continue
        if _is_error(name):
            yield Message(text, name, getattr(errors, name).exit_code)
        elif name in _VALUES:
            yield Message(text, "problem", 65)
        elif name in _OF_JOBS:
            yield Message(text, "job")
        elif name in _NOTES:
            yield Message(text, "note")


def _is_error(name: str) -> bool:
    found = getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, BatchgenError)


def _is_text(target: ast.expr) -> bool:
    """Tell whether what is assigned is a message, by the name that it gets."""
    return ast.unparse(target).split(".")[-1] in _NAMES


def _words(text: str) -> int:
    return len(text.replace(_GAP, "").split())


_NAMES = {"text", "what", "why", "way_out", "how", "hint", "advice", "alone", "note", "first"}
"""Names of variables that hold messages."""
_PLACE = re.compile(r"\{\w+\}")
_CODE = ("#", "- ", "[", "default-src", "defaults:")
"""Beginnings of texts that are files or headers, and not messages."""
_TEXTS = {"what", "message", "text", "advice", None}


def _text(node: ast.expr) -> str:
    """Return the text of an expression, with a gap for what is not known before the run."""
    match node:
        case ast.Constant(value=str() as text):
            return text.lstrip("\n")
        case ast.JoinedStr(values=values):
            return "".join(_text(one) for one in values)
        case ast.FormattedValue():
            return _GAP
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case ast.IfExp(body=body, orelse=other):
            return max(_text(body), _text(other), key=len)
        case ast.Name() | ast.Attribute() | ast.Call() | ast.Subscript():
            return _GAP
        case _:
            return ""


def page() -> str:
    """Return the page: errors by exit code, then problems, then notes."""
    by_kind: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for one in messages():
        order = {"job": 998, "note": 999}.get(one.kind, one.exit_code)
        by_kind[order, one.kind].append(one.text)
    parts = [_INTRODUCTION]
    for (code, kind), texts in sorted(by_kind.items()):
        if kind == "note":
            parts.append(
                "## Notes and findings\n\nPrinted while a command goes on, or by `doctor`."
            )
        elif kind == "job":
            parts.append("## Errors of one job\n\nIn `status`, results.csv and the ledger.")
        elif kind == "problem":
            parts.append(
                "## Problems of a row, a setting or a flag\n\nExit code 65, or 64 for a flag; each"
                " with its place before it."
            )
        else:
            reason = getattr(errors, kind).reason
            parts.append(f"## {kind}: {reason}\n\nExit code {code}.")
        parts.append("\n".join(f"- `{_shown(text)}`" for text in texts))
    return "\n\n".join(parts) + "\n"


def _shown(text: str) -> str:
    return " ".join(text.replace("`", "'").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
