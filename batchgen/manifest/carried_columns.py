"""The cells that go to the results as they stand in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchgen.core.schema import Given, text_of
from batchgen.manifest.header import Header, Record, column_letter, is_blank

CREDENTIALS = frozenset({"api_key", "token", "password", "secret", "authorization"})
"""Names of columns whose cells nobody should find in a report."""
MAX_HEADERS = 2000


def is_secret(name: str) -> bool:
    """Whether the whole name is that of a credential."""
    return name.strip().casefold().replace("-", "_").replace(" ", "_") in CREDENTIALS


def shown_cells(header: Header, cells: Sequence[str]) -> dict[str, str]:
    """The cells of a row that does not fit its header, for the results.

    None of them where one is a credential: nobody knows in which column it stands.
    """
    if any(is_secret(name) for name in header.names):
        return {}
    pairs = enumerate(zip(header.names, cells, strict=False))
    return {name: cell for i, (name, cell) in pairs if name and i not in header.ignored}


@dataclass(frozen=True, slots=True, kw_only=True)
class _CarriedColumn:
    """The carried columns of one header."""

    names: tuple[str, ...]
    places: tuple[int, ...] | None
    """None where they are all of the header's columns."""
    nameless: tuple[int, ...]


class CarriedColumns:
    """Knows the input columns of a manifest, and takes each row's cells of them."""

    def __init__(self) -> None:
        self._kept: dict[Header, _CarriedColumn] = {}
        self._names: dict[str, None] = {}
        self.dropped: dict[str, None] = {}
        """Columns that are neither sent nor shown, in the order in which they were met."""

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns in the order of the file, as far as it was read."""
        return tuple(self._names)

    def meet(self, header: Header) -> _CarriedColumn:
        """Note the columns of a header; nothing is done for one that is known."""
        if header in self._kept:
            return self._kept[header]
        if len(self._kept) > MAX_HEADERS:
            self._kept.clear()
        carried = [i for i in range(len(header.names)) if i not in header.ignored]
        self.dropped.update((header.names[i], None) for i in carried if is_secret(header.names[i]))
        named = [i for i in carried if header.names[i] and not is_secret(header.names[i])]
        names = tuple(header.names[i] for i in named)
        self._names.update(dict.fromkeys(names))
        kept = self._kept[header] = _CarriedColumn(
            names=names,
            places=None if len(named) == len(header.names) else tuple(named),
            nameless=tuple(i for i in carried if not header.names[i]),
        )
        return kept

    def columns(self, record: Record) -> Mapping[str, str]:
        """A row's cells by column name, as text. Blank cells without a name are nobody's."""
        _, header, cells = record
        kept = self._kept.get(header) or self.meet(header)
        places = kept.places
        chosen = cells if places is None else [cells[index] for index in places]
        if header.is_text:
            columns: dict[str, str] = dict(zip(kept.names, chosen, strict=False))  # type: ignore[arg-type]
        else:
            columns = {n: text_of(cell) for n, cell in zip(kept.names, chosen, strict=False)}
        if kept.nameless:
            columns.update(self._found_without_name(kept, cells))
        return columns

    def _found_without_name(self, kept: _CarriedColumn, cells: Sequence[Given]) -> dict[str, str]:
        """What somebody wrote beside the table, under the letter of its column."""
        found = {
            f"column {column_letter(index)}": text_of(cells[index])
            for index in kept.nameless
            if index < len(cells) and not is_blank(cells[index])
        }
        self._names.update(dict.fromkeys(found))
        return found
