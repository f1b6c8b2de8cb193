"""Entries of the catalogue on disk, one small JSON file a model, with their age.

A convenience that must never be in the way: what cannot be read counts as not there, what cannot
be written is not written. Entries of an API on this machine are neither kept nor used, because a
rehearsal must not leave made-up prices behind.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchgen.core.api_base import ApiBase
from batchgen.core.model_entry import ModelEntry, file_stem, read_entry
from batchgen.ports import Clock
from batchgen.system.files import replacing

STALE_AFTER_S = 24 * 3600.0
MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedEntry:
    """An entry as the catalogue gave it some time ago."""

    entry: ModelEntry
    age_s: float
    """Negative where the clock was set back since."""

    @property
    def is_stale(self) -> bool:
        """Whether the catalogue should be asked again."""
        return not 0 <= self.age_s < STALE_AFTER_S

    @property
    def age_text(self) -> str:
        """`5 min old`, `3 h old`, `12 days old`."""
        return age_text(self.age_s)


def age_text(age_s: float) -> str:
    """How old something is, as people say it."""
    if age_s < 0:
        return "of unknown age"
    for unit_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if age_s >= 2 * unit_s or (unit != "days" and age_s >= unit_s):
            return f"{int(age_s // unit_s)} {unit} old"
    return "less than a minute old"


class CatalogueCache:
    """The entries of one API under `directory`; None keeps nothing."""

    def __init__(self, directory: Path | None, api: ApiBase, clock: Clock) -> None:
        self._origin = api.origin
        self._clock = clock
        self._place: Path | None = None
        if directory is not None and not api.is_loopback:
            self._place = directory / "models" / re.sub(r"[^A-Za-z0-9.-]+", "_", api.origin)

    def get(self, model_id: str) -> CachedEntry | None:
        """What is kept of a model, however old."""
        if self._place is None:
            return None
        found = self._read(self._place / f"{file_stem(model_id)}.json")
        return found if found is not None and found.entry.model_id == model_id else None

    def entries(self) -> Iterator[CachedEntry]:
        """Everything that is kept of this API, by file name."""
        if self._place is None:
            return
        with contextlib.suppress(OSError):
            for path in sorted(self._place.glob("*.json")):
                if (found := self._read(path)) is not None:
                    yield found

    def put(self, entry: ModelEntry) -> None:
        """Keep an entry as of now, in place of an older one."""
        if self._place is None:
            return
        kept = {"fetched_at_s": self._clock.now_s(), "origin": self._origin, "entry": entry}
        with contextlib.suppress(OSError):
            self._place.mkdir(parents=True, exist_ok=True)
            path = self._place / f"{file_stem(entry.model_id)}.json"
            with replacing(path, durable=False) as file:
                file.write(msgspec.json.encode(kept))

    def _read(self, path: Path) -> CachedEntry | None:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                return None
            kept = msgspec.json.decode(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(kept, dict) or kept.get("origin") != self._origin:
            return None
        entry, fetched_at_s = read_entry(kept.get("entry")), kept.get("fetched_at_s")
        if entry is None or isinstance(fetched_at_s, bool):
            return None
        if not isinstance(fetched_at_s, (int, float)):
            return None
        return CachedEntry(entry=entry, age_s=self._clock.now_s() - fetched_at_s)
