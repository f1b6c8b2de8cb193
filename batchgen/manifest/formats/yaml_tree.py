"""YAML as plain values that know their lines. No tag can make an object.

Built from the parser's events, not from its nodes: that keeps nesting, aliases and memory within
this module's limits, and scalars as they are written (`no`, `007` and `16:9` keep their text until
a schema gives them a type).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.schema.values import Given, Written
from batchgen.manifest.formats.encoding import detect

MAX_BYTES = 64 << 20
"""Of a file with settings; so many rows belong in a spreadsheet or JSON lines."""
MAX_DEPTH = 40
"""Levels of nesting."""
MAX_ALIASED = 100_000
"""Values that aliases may add to those that are written out."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)
_WORDS: dict[str, bool | None] = {
    word: value
    for value, words in ((True, "true yes on"), (False, "false no off"), (None, "null ~"))
    for base in words.split()
    for word in (base, base.capitalize(), base.upper())
}
"""Plain words that YAML reads as another value."""
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(
    r"[-+]?([0-9]{1,20}\.[0-9]{0,20}|\.[0-9]{1,20}|[0-9]{1,20}(?=e))(e[-+]?\d{1,2})?", re.IGNORECASE
)


_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_COMMENT = re.compile(r"[ \t]+(#.*)")
MAX_SHOWN = 100
"""Characters of a comment in a message."""
_IS_A_COMMENT = "{} is a comment and is not sent; put the text in quotes if it belongs to it"
_MAY_BE_TEXT = (
    "YAML takes {} as a comment and drops it; put the text in quotes if it belongs to it, "
    "or write a blank after the #"
)
_KEYS_OF_FILES = frozenset({"file", "format", "sheet", "header_row"})


class NotYAML(ManifestError):
    """Text that YAML cannot read at all."""


class Mapped(dict[str, Given]):
    """A mapping that knows the line of each of its keys."""

    notes: tuple[str, ...] = ()
    """What the plan says about the file; only of the mapping at its top."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Listed(list[Given]):
    """A list that knows the line of each of its entries."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


def read_yaml_settings(path: Path, shown: str, encoding: str | None = None) -> Mapped:
    """Return the mapping that a YAML manifest is; a list alone is its `prompts`.

    Raises `ManifestError` for a file that is neither.
    """
    refuse_large(path, shown)
    encoded = detect(path, shown, encoding)
    notes: list[str] = []
    with encoded.open() as file:
        document = read_yaml(file.read(), shown, notes)
    if isinstance(document, Mapped):
        document.notes = (*encoded.notes, *notes)
        return document
    if document is not None and not isinstance(document, Listed):
        what = "is not a manifest; write `prompts:` with a list, or name a file there"
        raise ManifestError([Problem(shown, what)])
    tree = Mapped(1)
    tree.notes = (*encoded.notes, *notes)
    tree["prompts"] = document if document is not None else Listed(1)
    return tree


def refuse_large(path: Path, shown: str) -> None:
    """Raise `ManifestError` for a file that is too large to be read as a whole."""
    if path.stat().st_size > MAX_BYTES:
        what = f"is larger than {MAX_BYTES >> 20} MiB; keep that many rows in a CSV file"
        raise ManifestError([Problem(shown, what)])


def read_yaml(text: str, shown: str, notes: list[str] | None = None) -> Given:
    """Return the document in `text`; `shown` is the file's name in messages.

    Comments behind a text that is sent, which may be a part of it, are added to `notes`.

    Raises `ManifestError` for what is not YAML, has two documents or the same key twice, nests too
    deeply, grows too much by aliases, or has the beginning of a text that goes on with a `#`.
    """
    lines = _LINE_END.split(text) if "#" in text else []
    builder = _Builder(shown, lines)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.YAMLError as error:
        problems = [_syntax_problem(error, shown)]
        if cut := _cut_text(lines, builder.last_line, getattr(error, "problem_mark", None)):
            problems.insert(0, Problem(f"{shown}:{cut[0]}", _MAY_BE_TEXT.format(cut[1])))
        raise NotYAML(problems) from None
    except RecursionError:
        raise ManifestError([Problem(shown, "is nested too deeply")]) from None
    if notes is not None:
        notes += builder.notes
    if builder.problems:
        raise ManifestError(builder.problems)
    return builder.document


def _cut_text(lines: Sequence[str], first: int, mark: Any) -> tuple[int, str] | None:
    """Return line and text of a comment that may have cut a text, and so led to an error below."""
    last = mark.line + 1 if mark else first
    for number in range(first, min(last, len(lines)) + 1):
        if found := _COMMENT.search(lines[number - 1]):
            return number, _shortened(found[1])
    return None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…")


def _syntax_problem(error: yaml.YAMLError, shown: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f"{shown}:{mark.line + 1}" if mark else shown
    return Problem(where, f"is not valid YAML: {what}{_yaml_hint(str(what))}")


def _yaml_hint(what: str) -> str:
    if "\\t" in what or "token" in what:
        return "; indent with blanks, and quote a text that has ': ' or begins with a sign"
    if "mapping values are not allowed" in what:
        return "; quote a text that has ': ' in it"
    return ""


class _Frame:
    """A mapping or list that is being read."""

    def __init__(self, value: Mapped | Listed, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.key_line = 0
        self.merged: list[Mapped] = []
        self.size = 1
        """Values below it, aliases counted in full."""

    def wants_key(self) -> bool:
        """Return whether the next value is a key."""
        return isinstance(self.value, Mapped) and self.key is None


class _Builder:
    """The document that is built from the parser's events, one by one."""

    def __init__(self, shown: str, lines: Sequence[str] = ()) -> None:
        self.shown = shown
        self.notes: list[str] = []
        self.last_line = 1
        """The line on which the last scalar began."""
        self._lines = lines
        self.document: Given = None
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Given, int]] = {}
        self._aliased = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Add what the next event brings."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event.tag, line)
            self._scalar(event, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._refuse_tag(event.tag, line)
            self._open(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor), line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(line, "a second document (---) in the file; keep one")

    def _stop(self, line: int, what: str) -> NoReturn:
        raise ManifestError([*self.problems, Problem(f"{self.shown}:{line}", what)])

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag and tag != "!" and tag not in _TAGS:
            self._stop(line, f"the tag {tag!r} is not allowed; write plain values")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self.last_line = line
        quoted = not event.implicit[0] or bool(event.style)
        value: Given = event.value if quoted else _as_written(event.value)
        if self._lines and not event.style and self._is_text(value):
            self._find_comment(event.end_mark)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, line, 1, event.value)

    def _is_text(self, value: Given) -> bool:
        """Return whether the scalar that comes next is a text that is sent, or a part of one."""
        if not self._stack or self._stack[-1].wants_key():
            return False
        key, depth = self._stack[0].key, len(self._stack)
        own_key = self._stack[-1].key
        if key is None or (key == "prompts" and depth > 1):
            is_prompt = own_key in (None, "prompt")
            return is_prompt or (isinstance(value, str) and own_key not in _KEYS_OF_FILES)
        return key == "template" or (isinstance(value, str) and key in ("matrix", "defaults"))

    def _find_comment(self, end: Any) -> None:
        """Report a comment right behind a text, because it may have been meant as a part of it."""
        found = _COMMENT.match(self._lines[end.line], end.column)
        if found is None:
            return
        where, text = f"{self.shown}:{end.line + 1}", _shortened(found[1].rstrip())
        if found[1][1:2].strip():
            self.problems.append(Problem(where, _MAY_BE_TEXT.format(text)))
        else:
            self.notes.append(f"{where}: {_IS_A_COMMENT.format(text)}")

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._stop(line, f"is nested more than {MAX_DEPTH} levels deep")
        value = Mapped(line) if isinstance(event, yaml.MappingStartEvent) else Listed(line)
        if self._stack and self._stack[-1].wants_key():
            self._stop(line, "a list or mapping as a key; keys are words")
        self._stack.append(_Frame(value, event.anchor))
        if event.anchor:
            self._anchors.pop(event.anchor, None)

    def _close(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame.value, Mapped):
            _merge(frame.value, frame.merged)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.value, frame.size)
        self._put(frame.value, frame.value.line, frame.size, "")

    def _alias(self, anchor: str, line: int) -> None:
        known = self._anchors.get(anchor)
        if known is None:
            self._stop(line, f"*{anchor} is not known here, or is part of itself")
        value, size = known
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._stop(line, f"aliases repeat more than {MAX_ALIASED:,} values; write them out")
        self._put(value, line, size, str(value))

    def _put(self, value: Given, line: int, size: int, text: str) -> None:
        """Add a finished value to the open mapping or list."""
        if not self._stack:
            self.document = value
            return
        frame = self._stack[-1]
        frame.size += size
        if isinstance(frame.value, Listed):
            frame.value.append(value)
            frame.value.lines.append(line)
        elif frame.key is None:
            self._key(frame, text, line)
        else:
            self._pair(frame, frame.value, value)

    def _key(self, frame: _Frame, text: str, line: int) -> None:
        frame.key, frame.key_line = text, line
        if isinstance(frame.value, Mapped) and text in frame.value and text != "<<":
            first = frame.value.lines[text]
            what = f"{text!r} is given twice; the first is on line {first}"
            self.problems.append(Problem(f"{self.shown}:{line}", what))

    def _pair(self, frame: _Frame, mapping: Mapped, value: Given) -> None:
        key, frame.key = frame.key or "", None
        if key == "<<" and isinstance(value, (Mapped, Listed)):
            sources = value if isinstance(value, Listed) else [value]
            frame.merged += [source for source in sources if isinstance(source, Mapped)]
        else:
            mapping[key] = value
            mapping.lines[key] = frame.key_line


def _merge(mapping: Mapped, merged: list[Mapped]) -> None:
    """Add what `<<` brings in; keys that are written out win."""
    for source in merged:
        for key, value in source.items():
            if key not in mapping:
                mapping[key] = value
                mapping.lines[key] = source.lines.get(key, mapping.line)


def _as_written(text: str) -> Given:
    """Return a plain scalar: its text, with the value that YAML reads in it if that is another."""
    if text in _WORDS:
        return Written(text, _WORDS[text])
    if not text:
        return None
    if _INT.fullmatch(text):
        return Written(text, int(text))
    if _FLOAT.fullmatch(text):
        return Written(text, float(text))
    return text
