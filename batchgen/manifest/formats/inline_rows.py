"""Rows that stand in the manifest itself, and where `prompts:` sends us to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchgen.core.errors import Problem
from batchgen.core.jobs import Where
from batchgen.core.schema import Given, Written, shown
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.header import BadRow, Header, HeaderKind, Record

FILE_KEYS = frozenset({"file", "format", "sheet", "header_row"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """An entry `{file: ...}` of `prompts:`."""

    name: str
    line: int
    format: str | None = None
    sheet: str | None = None
    header_row: int | None = None


class KeyedHeaders:
    """One header for each set of keys, so that what it means is worked out once."""

    def __init__(self, file: str, kind: HeaderKind) -> None:
        self._file = file
        self._kind = kind
        self._known: dict[tuple[str, ...], Header] = {}

    def header(self, keys: tuple[str, ...]) -> Header:
        """The header for these keys, the same object for the same keys."""
        found = self._known.get(keys)
        if found is None:
            if len(self._known) > 2000:
                self._known.clear()
            found = Header(file=self._file, names=keys, kind=self._kind)
            self._known[keys] = found
        return found


def is_file_entry(value: Given) -> bool:
    """Whether an entry names a file, rather than being a row with a column called `file`."""
    return isinstance(value, Mapped) and "file" in value and FILE_KEYS.issuperset(value)


def file_entry(value: Mapped) -> FileEntry:
    """The entry, its values as text."""
    texts = {key: one for key, one in value.items() if isinstance(one, (str, Written))}
    row = texts.get("header_row")
    number = row.value if isinstance(row, Written) else None
    return FileEntry(
        name=_text(texts.get("file")) or "",
        line=value.lines.get("file", value.line),
        format=_text(texts.get("format")),
        sheet=_text(texts.get("sheet")),
        header_row=number if isinstance(number, int) else None,
    )


def _text(value: str | Written | None) -> str | None:
    return value.text if isinstance(value, Written) else value


class InlineRows:
    """A stretch of `prompts:` between two file entries."""

    def __init__(
        self, entries: Sequence[Given], lines: Sequence[int], headers: KeyedHeaders, file: str
    ) -> None:
        self._entries = entries
        self._lines = lines
        self._headers = headers
        self._file = file

    def records(self) -> Iterator[Record | BadRow]:
        """One record an entry: a text is a prompt, a mapping a row."""
        for entry, line in zip(self._entries, self._lines, strict=True):
            if isinstance(entry, Mapped):
                keys = tuple(key.strip() for key in entry)
                yield Record(line, self._headers.header(keys), list(entry.values()))
            elif isinstance(entry, (str, Written)):
                yield Record(line, self._headers.header(("prompt",)), [entry])
            else:
                yield self._bad(entry, line)

    def headers(self) -> Iterator[Header]:
        """The headers of all entries, without reading values."""
        for record in self.records():
            if isinstance(record, Record):
                yield record.header

    def _bad(self, entry: Given, line: int) -> BadRow:
        what = (
            "an empty entry"
            if entry is None
            else f"expected a prompt or a mapping, got {shown(entry)}"
        )
        return BadRow(
            where=Where(file=self._file, row=line),
            problems=(Problem(f"{self._file}:{line}", what),),
        )


def stretches(entries: Listed, file: str) -> Iterator[FileEntry | InlineRows]:
    """The entries of `prompts:` in their order, rows that stand together as one."""
    headers = KeyedHeaders(file, HeaderKind.INLINE)
    start = 0
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapped) and is_file_entry(entry):
            if start < index:
                yield InlineRows(entries[start:index], entries.lines[start:index], headers, file)
            yield file_entry(entry)
            start = index + 1
    if start < len(entries):
        yield InlineRows(entries[start:], entries.lines[start:], headers, file)
