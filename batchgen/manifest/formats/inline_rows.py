"""Rows in the manifest itself, and the entries of `prompts:` that name a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchgen.core.jobs import Where
from batchgen.core.schema.values import Given, Written, shown, text_of
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.header import BadRow, Header, Record, bad_row, is_blank, keyed_header

FILE_KEYS = frozenset({"file", "format", "sheet", "header_row"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """An entry `{file: ...}` of `prompts:`."""

    name: str
    line: int
    format: str | None = None
    sheet: str | None = None
    header_row: int | None = None


class InlineRows:
    """Entries of `prompts:` that are rows, up to the next entry that names a file."""

    def __init__(self, entries: Sequence[Given], lines: Sequence[int], file: str) -> None:
        self._entries = entries
        self._lines = lines
        self._file = file

    def records(self) -> Iterator[Record | BadRow]:
        """Yield one record for each entry: a text is a prompt, a mapping a row."""
        for entry, line in zip(self._entries, self._lines, strict=True):
            if isinstance(entry, Mapped):
                keys = tuple(key.strip() for key in entry)
                yield Record(line, self._header(keys), list(entry.values()))
            elif isinstance(entry, (str, Written)) and not is_blank(entry):
                yield Record(line, self._header(("prompt",)), [entry])
            else:
                what = f"expected a prompt or a mapping, got {shown(entry)}"
                where = Where(file=self._file, row=line)
                yield bad_row(where, "an empty entry" if is_blank(entry) else what)

    notes: Sequence[str] = ()

    @property
    def headers(self) -> Sequence[Header]:
        """The headers of all rows."""
        return [row.header for row in self.records() if isinstance(row, Record)]

    def _header(self, keys: tuple[str, ...]) -> Header:
        return keyed_header(self._file, keys, inline=True)


def entries_of(prompts: Listed, file: str) -> Iterator[FileEntry | InlineRows]:
    """Yield what `prompts:` has, in its order: files, and the rows between them."""
    start = 0
    for index, entry in enumerate(prompts):
        # A mapping with other keys too is a row with a column called `file`.
        if isinstance(entry, Mapped) and "file" in entry and FILE_KEYS.issuperset(entry):
            if start < index:
                yield InlineRows(prompts[start:index], prompts.lines[start:index], file)
            yield _file_entry(entry)
            start = index + 1
    if start < len(prompts):
        yield InlineRows(prompts[start:], prompts.lines[start:], file)


def _file_entry(value: Mapped) -> FileEntry:
    texts = {key: text_of(one) for key, one in value.items() if isinstance(one, (str, Written))}
    row = value.get("header_row")
    number = row.value if isinstance(row, Written) else None
    return FileEntry(
        name=texts.get("file", ""),
        line=value.lines.get("file", value.line),
        format=texts.get("format"),
        sheet=texts.get("sheet"),
        header_row=number if isinstance(number, int) else None,
    )
