"""The names of jobs: unique in a manifest, and the same again after an edit elsewhere in it.

What stays of a row is two numbers: a digest of the name, and where the row stands. A million
rows take about a hundred megabytes that way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from batchgen.core.jobs import Where

MAX_ID = 200
"""Characters of a row's own id."""
_ROW_BITS = 40
_LABEL = 48
"""Characters of a matrix value that stand in an id as they are."""
_UNSAFE = re.compile(r"[^\w .,:;()+×#@%&-]")


class JobIds:
    """The ids that are taken, for one pass over a manifest."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        """Digest of each id -> the place of its row."""
        self._count: dict[int, int] = {}
        """Digest of a name -> how often it was asked for; only where that is more than once."""
        self.equal_rows = 0
        """Rows that are in all equal to an earlier one."""
        self.first_equal: tuple[Where, Where] | None = None
        """The first such row, and the one it is equal to."""
        self._last_equal = -1
        self._files: list[str] = []
        self._file_numbers: dict[str, int] = {}

    def claim(self, id_: str, file: str, row: int) -> Where | None:
        """Take exactly this id; where another row has it already, that row."""
        place = self._place.setdefault(hash(id_), packed := self._packed(file, row))
        if place is packed:
            return None
        return self._where(place)

    def take(self, name: str, file: str, row: int) -> str:
        """A free id for `name`: itself, else `name~2`, `name~3`... Equal rows get there too."""
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

    def _note_equal(self, packed: int, earlier: int) -> None:
        """Count a row that has the name of another row; copies by `repeat` are meant."""
        if packed in (earlier, self._last_equal):
            return
        self._last_equal = packed
        self.equal_rows += 1
        if self.first_equal is None:
            self.first_equal = self._where(packed), self._where(earlier)

    def _where(self, place: int) -> Where:
        return Where(file=self._files[place >> _ROW_BITS], row=place & ((1 << _ROW_BITS) - 1))

    def _packed(self, file: str, row: int) -> int:
        number = self._file_numbers.get(file)
        if number is None:
            number = self._file_numbers[file] = len(self._files)
            self._files.append(file)
        return number << _ROW_BITS | row


def fault_of_id(id_: str) -> str | None:
    """What is wrong with a row's own id, None where nothing is."""
    if len(id_) > MAX_ID:
        return f"an id of {len(id_)} characters; at most {MAX_ID} are allowed"
    if not id_.isprintable():
        return "an id with a line break or control character in it; ids are one line of text"
    return None


def suffix(labels: Sequence[tuple[str, str]]) -> str:
    """What expansion adds to an id: `~key=value` for each matrix key."""
    return "".join(f"~{_short(key)}={_short(value)}" for key, value in labels)


def _short(text: str) -> str:
    """Short and safe text as it is; else the beginning of it, told apart by a digest."""
    text = text.strip()
    safe = _UNSAFE.sub("-", text)
    if safe == text and len(text) <= _LABEL:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{safe[:24].strip()}-{digest}"
