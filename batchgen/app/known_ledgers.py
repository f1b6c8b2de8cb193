"""The ledgers that this user's batches have: where each keeps its own, outside the run directory.

A disk that is not mounted, or a directory that was moved, looks like a batch that never ran, and
all of it would be paid for again. So the place of a ledger with paid jobs is remembered, one small
file for each manifest. This is a help and never a hindrance: what cannot be read or written is
as if it were not there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from batchgen.app.run_directories import RunDirectories
from batchgen.core.api_base import same_api
from batchgen.core.errors import LedgerNotWhereItWas
from batchgen.core.lifecycle import JobState, Records
from batchgen.core.manifest_address import address_digest
from batchgen.core.shards import split_suffix
from batchgen.system.files import replacing
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef

VERSION = 1
MAX_PLACES = 50
"""Places that are remembered for one manifest; a script may use a new directory every night."""
_DATE = "{{ date }}"
_UNREADABLE = (OSError, msgspec.DecodeError, UnicodeDecodeError)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place in which a ledger with paid jobs was seen."""

    run_dir: str
    """Absolute; of dated directories their pattern."""
    api: str
    """The origin that was paid."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    v: int = VERSION
    manifest: str = ""
    places: tuple[Place, ...] = ()
    """The last that was used comes last."""


class _Version(msgspec.Struct, frozen=True):
    v: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLedgers:
    """The places at which the ledgers of one manifest were."""

    state_dir: Path | None
    """None: nothing is remembered."""
    manifest: str

    @classmethod
    def of(cls, state_dir: Path | None, ref: BatchRef) -> KnownLedgers:
        """Return those of a manifest; of stdin and of a sandbox run there are none.

        A manifest at an address is named by a digest, and by the run directory too.
        """
        is_kept = not (ref.sandbox or ref.is_stdin)
        if ref.is_address:
            name = (
                f"{ref.shown} {address_digest(ref.manifest)} {Path(ref.run_dir or '').absolute()}"
            )
        else:
            path = Path(ref.manifest).absolute()
            # Of a link, the link itself is the manifest.
            name = str(path.parent.resolve() / path.name)
        return cls(state_dir=state_dir if is_kept else None, manifest=name)

    def require_present(self, directories: RunDirectories, api: str | None = None) -> None:
        """Raise `LedgerNotWhereItWas` if a ledger with paid jobs is no longer at its place.

        With `api`, only one whose jobs belong to that API is missed.
        """
        if self.state_dir is None or directories.begun():
            return
        run_dir = place_of(directories)
        places = self._read()
        own = (one for one in places if one.run_dir == run_dir)
        lost = (*own, *_lost_shards(places, directories))
        known = next((one for one in lost if api is None or same_api(one.api, api)), None)
        if known is not None:
            moved = (one.run_dir for one in reversed(places) if _has_ledger(one.run_dir))
            is_own = known.run_dir == run_dir
            raise LedgerNotWhereItWas(known.run_dir, moved_to=next(moved, None) if is_own else None)

    def knows(self, directories: RunDirectories) -> bool:
        """Return whether this place is remembered."""
        run_dir = place_of(directories)
        return any(one.run_dir == run_dir for one in self._read())

    def remember(self, directories: RunDirectories, api: str) -> None:
        """Remember this place as the one that was used last."""
        place = Place(run_dir=place_of(directories), api=api)
        places = self._read()
        if not places or places[-1] != place:
            others = [one for one in places if one.run_dir != place.run_dir]
            self._write((*others, place))

    def remember_if_paid(self, directories: RunDirectories, api: str, records: Records) -> None:
        """Remember this place if its ledger has paid jobs, as after it was moved."""
        if has_paid_jobs(records):
            self.remember(directories, api)

    def forget_if_unpaid(self, directories: RunDirectories, records: Records) -> None:
        """Forget this place if nothing was paid for there."""
        if not has_paid_jobs(records):
            run_dir = place_of(directories)
            self._write(tuple(one for one in self._read() if one.run_dir != run_dir))

    @property
    def _path(self) -> Path | None:
        if self.state_dir is None:
            return None
        name = hashlib.blake2b(os.fsencode(self.manifest), digest_size=12).hexdigest()
        return self.state_dir / "ledgers" / f"{name}.json"

    def _read(self) -> tuple[Place, ...]:
        if self._path is None:
            return ()
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except _UNREADABLE:
            return ()
        return found.places if found.v == VERSION else ()

    def _write(self, places: tuple[Place, ...]) -> None:
        if self._path is None or self._is_of_later_version():
            return
        file = _File(manifest=_text(self.manifest), places=places[-MAX_PLACES:])
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as stream:
                stream.write(msgspec.json.encode(file) + b"\n")

    def _is_of_later_version(self) -> bool:
        try:
            data = self._path.read_bytes() if self._path else b""
            return msgspec.json.decode(data, type=_Version).v != VERSION
        except _UNREADABLE:
            return False


def place_of(directories: RunDirectories) -> str:
    """Return where a batch keeps its ledgers: a path, or the pattern of dated ones."""
    path = str(Path(directories.before).absolute())
    shard = "" if directories.shard is None else directories.shard.suffix
    if directories.after is None:
        return _text(path + shard)
    if directories.before.endswith(os.sep):
        path += os.sep
    return _text(path + _DATE + directories.after + shard)


def _lost_shards(places: tuple[Place, ...], directories: RunDirectories) -> Iterator[Place]:
    """Yield the other parts of a batch whose ledgers have gone: their jobs were paid for, too.

    Dated directories are left out: the ledgers of old dates may have gone on purpose.
    """
    whole, shard = place_of(directories.as_a_whole()), directories.shard
    for one in places if directories.after is None else ():
        name, part = split_suffix(one.run_dir)
        is_other = part is not None and (shard is None or part.count != shard.count)
        if is_other and name == whole and not _has_ledger(one.run_dir):
            yield one


def has_paid_jobs(records: Records) -> bool:
    """Return whether any job on record was paid for, or may have been."""
    unpaid = (JobState.PENDING, JobState.UNKNOWN, JobState.FAILED, JobState.CANCELLED)
    others = [state for state in JobState if state not in unpaid]
    if next(iter(records.records(*others)), None) is not None:
        return True
    return any(record.all_charges for record in records.records(*unpaid))


def _has_ledger(run_dir: str) -> bool:
    return _DATE not in run_dir and RunDirectory(Path(run_dir)).has_ledger


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
