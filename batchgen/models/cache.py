"""Entries of the catalogue on disk, with their age: one small JSON file per model.

The cache must never be in the way: what cannot be read counts as missing, what cannot be written
is not written. Entries of an API on this machine are neither kept nor used, because a sandbox run
must not leave made-up prices behind.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchgen.core.api_base import ApiBase
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.core.model_entry import ModelEntry, file_stem, read_entry
from batchgen.ports import Clock
from batchgen.system.files import replacing

STALE_AFTER_S = 24 * 3600.0
MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedEntry:
    """An entry that the catalogue gave some time ago."""

    entry: ModelEntry
    age_s: float
    """Negative if the clock was set back since."""

    @property
    def is_stale(self) -> bool:
        """Tell whether the catalogue should be asked again."""
        return not 0 <= self.age_s < STALE_AFTER_S


def age_text(age_s: float) -> str:
    """Return an age in words: `5 min old`, `3 h old`, `12 days old`."""
    if age_s < 0:
        return "of unknown age"
    for unit_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if age_s >= 2 * unit_s or (unit != "days" and age_s >= unit_s):
            return f"{int(age_s // unit_s)} {unit} old"
    return "less than a minute old"


class _CacheFile(msgspec.Struct):
    fetched_at_s: float
    origin: str
    entry: object


class CatalogueCache:
    """The entries of one API under `directory`; without a directory nothing is kept."""

    def __init__(self, directory: Path | None, api: ApiBase, clock: Clock) -> None:
        self._origin = api.origin
        self._clock = clock
        self._directory: Path | None = None
        if directory is not None and not api.is_loopback:
            self._directory = directory / "models" / re.sub(r"[^A-Za-z0-9.-]+", "_", api.origin)

    def get(self, model_id: str) -> CachedEntry | None:
        """Return the entry of a model, however old."""
        if self._directory is None:
            return None
        found = self._read(self._directory / f"{file_stem(model_id)}.json")
        return found if found is not None and found.entry.model_id == model_id else None

    def entries(self) -> Iterator[CachedEntry]:
        """Yield every entry of this API, by file name."""
        if self._directory is None:
            return
        with contextlib.suppress(OSError):
            for path in sorted(self._directory.glob("*.json")):
                if (found := self._read(path)) is not None:
                    yield found

    def put(self, entry: ModelEntry) -> None:
        """Keep an entry as of now, in place of an older one."""
        if self._directory is None:
            return
        content = _CacheFile(fetched_at_s=self._clock.now_s(), origin=self._origin, entry=entry)
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{file_stem(entry.model_id)}.json"
            with replacing(path, durable=False) as file:
                file.write(msgspec.json.encode(content))

    def _read(self, path: Path) -> CachedEntry | None:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                return None
            file = decode_json(path.read_bytes(), type=_CacheFile)
        except (OSError, BadJSON):
            return None
        entry = read_entry(file.entry)
        if entry is None or file.origin != self._origin:
            return None
        return CachedEntry(entry=entry, age_s=self._clock.now_s() - file.fetched_at_s)
