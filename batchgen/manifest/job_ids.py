"""Ids of jobs: unique in a manifest, and the same again after an edit elsewhere in it.

Two numbers are kept for each row: a digest of the id, and the place of the row. A million rows
take about a hundred megabytes that way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from batchgen.core.canonical_input import canonical_text
from batchgen.core.jobs import Where
from batchgen.core.schema.values import text_of
from batchgen.manifest.header import Record, folded, is_one_line

MAX_REPEAT = 10_000
"""Copies of one row."""
MAX_ID = 200
"""Characters of a row's own id."""
_ROW_BITS = 40
_LABEL = 48
"""Characters of a matrix value that go into an id as they are."""
_MAX_CANDIDATES = 20
"""Columns that are tried for a hint."""
_UNSAFE = re.compile(r"[^\w .,:;()+×#@%&-]")


class JobIds:
    """The ids that are taken, for one pass over a manifest."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        """Digest of each id -> the place of its row."""
        self._count: dict[int, int] = {}
        """Digest of a name -> how often it was asked for, if more than once."""
        self._equal_rows = 0
        self._first_equal: tuple[Where, Where] | None = None
        """The first row that repeats another, and the row that it repeats."""
        self._last_equal = -1
        self._first_seed: str | None = None
        self._file_numbers: dict[str, int] = {}

    def claim(self, id_: str, file: str, row: int) -> Where | None:
        """Take exactly this id; return the row that has it already, if there is one."""
        digest = hash(id_)
        if digest in self._place:  # also if it is of the same line: a YAML list may stand in one
            return self._where(self._place[digest])
        self._place[digest] = self._packed(file, row)
        return None

    def take(self, name: str, file: str, row: int) -> str:
        """Take and return a free id: `name`, or `name~2`, `name~3`... Equal rows get those too."""
        digest, packed = hash(name), self._packed(file, row)
        if digest not in self._place:
            self._place[digest] = packed
            return name
        self._note_equal(packed, self._place[digest])
        number = self._count.get(digest, 1) + 1
        while hash(id_ := f"{name}~{number}") in self._place:
            number += 1
        self._count[digest] = number
        self._place[hash(id_)] = packed
        return id_

    def note_on_equal_rows(self) -> str | None:
        """Return a note for the user if rows repeat earlier ones."""
        if self._first_equal is None:
            return None
        row, earlier = self._first_equal
        if row.file == earlier.file:
            first = f"row {row.row} repeats row {earlier.row}"
        else:
            first = f"{row} repeats {earlier}"
        if self._equal_rows == 1:
            return f"1 row repeats an earlier row ({first}); it will be generated"
        many = f"{self._equal_rows:,} rows repeat an earlier row"
        return f"{many} (first: {first}); each will be generated"

    def note_copy(self, values: Mapping[str, object], where: Where) -> None:
        """Note that an input is used once more, if it fixes the seed."""
        seed = values.get("seed")
        is_fixed = isinstance(seed, int) and seed >= 0  # -1: the API chooses one
        if is_fixed and self._first_seed is None:
            self._first_seed = f"{where}: seed {seed}"

    def note_on_seed(self) -> str | None:
        """Return a note for the user if copies of one input have a fixed seed."""
        if not self._first_seed:
            return None
        return (
            f"{self._first_seed} is fixed, so equal copies (repeat, or equal rows) may come out the"
            " same; leave the seed out to get different ones"
        )

    def _note_equal(self, packed: int, earlier: int) -> None:
        """Count a row that has the name of another row; copies by `repeat` are intended."""
        if packed in (earlier, self._last_equal):
            return
        self._last_equal = packed
        self._equal_rows += 1
        if self._first_equal is None:
            self._first_equal = self._where(packed), self._where(earlier)

    def _where(self, place: int) -> Where:
        file = list(self._file_numbers)[place >> _ROW_BITS]
        return Where(file=file, row=place & ((1 << _ROW_BITS) - 1))

    def _packed(self, file: str, row: int) -> int:
        number = self._file_numbers.setdefault(file, len(self._file_numbers))
        return number << _ROW_BITS | row


def column_that_makes_unique(
    records: Iterable[Record], id_column: str, *, without: Collection[str]
) -> str | None:
    """Return a column whose cells make unique ids when put before those of `id_column`.

    None if there is none among those with short cells; `without` names columns that are not meant.
    """
    seen: dict[str, set[int]] | None = None
    for record in records:
        cells = {
            name: text_of(cell).strip()
            for name, cell in zip(record.header.names, record.cells, strict=False)
            if name and name not in record.header.secrets
        }
        id_ = next((cell for name, cell in cells.items() if folded(name) == id_column), "")
        if seen is None:
            skipped = {id_column, *without}
            names = [name for name in cells if folded(name) not in skipped][:_MAX_CANDIDATES]
            seen = {name: set() for name in names}
        for name, met in list(seen.items()):
            cell = cells.get(name, "")
            joined = hash(f"{cell}-{id_}")
            if not cell or len(cell) > _LABEL or joined in met:
                del seen[name]
            met.add(joined)
    return next(iter(seen or ()), None)


def fault_of_id(id_: str) -> str | None:
    """Return what is wrong with a row's own id, None if nothing is."""
    if len(id_) > MAX_ID:
        return f"an id of {len(id_)} characters; at most {MAX_ID} are allowed"
    if not is_one_line(id_):
        return "an id with a line break or control character in it; ids are one line of text"
    return None


def suffix(labels: Sequence[tuple[str, str]]) -> str:
    """Return what the matrix adds to an id: `~key=value` for each key."""
    return "".join(f"~{_short(key)}={_short(value)}" for key, value in labels)


def _short(text: str) -> str:
    """Return short and safe text as it is, other text as its beginning and a digest."""
    text = canonical_text(text)
    safe = _UNSAFE.sub("-", text)
    if safe == text and len(text) <= _LABEL:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{safe[:24].strip()}-{digest}"
