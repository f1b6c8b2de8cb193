"""The ledger as the runner sees it: one writer, records in memory, events made durable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from batchgen.core.codec import BadLine, decode, encode, encode_header
from batchgen.core.errors import LedgerForeign, LocalIOError
from batchgen.core.events import AnswerLost, Event, Intended
from batchgen.core.lifecycle import CRASHED, JobRecord, JobState, adopted, apply, restored
from batchgen.core.moments import timestamp
from batchgen.core.origin import same_api
from batchgen.durable import remove_leftovers, replacing, sync_directory
from batchgen.ledger.commit import GroupCommit
from batchgen.ledger.lock import RunLock
from batchgen.ledger.replay import LEDGER_NAME, Replay, replay


class WallClock(Protocol):
    """The part of the clock that a ledger needs."""

    def now_s(self) -> float:
        """Seconds since 1970."""
        ...


class LedgerBook:
    """The open ledger of a run directory (port `Ledger`). Holds the lock until `close`."""

    def __init__(
        self, lock: RunLock, replayed: Replay, commit: GroupCommit, clock: WallClock
    ) -> None:
        self._lock = lock
        self._memory = replayed.memory
        self._commit = commit
        self._clock = clock
        self.notes: list[str] = []
        """What was mended while opening, for a person."""

    @classmethod
    def open(cls, run_dir: Path, *, api: str, clock: WallClock) -> LedgerBook:
        """Lock, replay, cut a torn tail, write the header of a new ledger.

        Raises `LockHeld`, `LedgerDamaged`, `LedgerForeign` or `LocalIOError`.
        """
        now = timestamp(clock.now_s())
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{run_dir}: {error.strerror}") from error
        lock = RunLock.acquire(run_dir, now=now)
        try:
            return cls._open_locked(lock, run_dir, api=api, clock=clock, now=now)
        except OSError as error:
            lock.release()
            raise LocalIOError(f"{run_dir / LEDGER_NAME}: {error.strerror}") from error
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_existing(cls, run_dir: Path, *, clock: WallClock) -> LedgerBook:
        """The same for a ledger that is there, whatever its API: no call is going to be made.

        Raises `LedgerForeign` where there is none.
        """
        header = replay(run_dir / LEDGER_NAME).header
        if header is None:
            raise LedgerForeign(f"{run_dir}: no ledger here; is this the right --run-dir?")
        return cls.open(run_dir, api=header.api or "", clock=clock)

    @classmethod
    def _open_locked(
        cls, lock: RunLock, run_dir: Path, *, api: str, clock: WallClock, now: str
    ) -> LedgerBook:
        path = run_dir / LEDGER_NAME
        replayed = replay(path)
        _check_origin(replayed, api)
        notes = []
        if replayed.torn_bytes:
            notes.append(_cut_torn_tail(replayed, now))
        if replayed.header is None:
            _start(path, encode_header(api=api, created=now))
        size_bytes = path.stat().st_size
        book = cls(lock, replayed, GroupCommit(path, size_bytes=size_bytes), clock)
        book.notes = notes
        return book

    def get(self, job: str) -> JobRecord | None:
        """The record of a job, if anything is known of it."""
        return self._memory.get(job)

    def records(self) -> Iterable[JobRecord]:
        """Every record."""
        return self._memory.records()

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """An earlier record of this job with this input and an output."""
        return self._memory.made_before(job, fingerprint)

    async def record(self, job: str, event: Event) -> JobRecord:
        """Fold and append; durable when this returns."""
        now = timestamp(self._clock.now_s())
        record = apply(self._memory.get(job), event, job=job, ts=now)
        self._memory.keep(record)
        line = (
            encode(record, model=event.model, values=event.input)
            if isinstance(event, Intended)
            else encode(record)
        )
        await self._commit.append(line)
        return record

    async def restore(self, made: JobRecord) -> JobRecord:
        """Make an earlier record of a job its present one again."""
        current = self._memory.get(made.job) or made
        record = restored(current, made, ts=timestamp(self._clock.now_s()))
        await self._keep(record)
        return record

    async def adopt(self, old: str, new: str) -> None:
        """Let the job `new` go on with what is known of the job `old`."""
        record = self._memory.get(old)
        if record is not None:
            taken, left = adopted(record, job=new, ts=timestamp(self._clock.now_s()))
            await asyncio.gather(self._keep(taken), self._keep(left))

    async def _keep(self, record: JobRecord) -> None:
        self._memory.keep(record)
        await self._commit.append(encode(record))

    async def doubt_crashed_submissions(self) -> int:
        """Put on record that intents without an answer are in doubt; says how many."""
        crashed = [r.job for r in self._memory.records() if r.state is JobState.SUBMITTING]
        await asyncio.gather(*(self.record(job, AnswerLost(error=CRASHED)) for job in crashed))
        return len(crashed)

    async def close(self) -> None:
        """Finish what was appended, close the file, let go of the lock."""
        try:
            await self._commit.close()
        finally:
            self._lock.release()


def _start(path: Path, header: bytes) -> None:
    """A new ledger comes into being whole."""
    remove_leftovers(path)
    with replacing(path) as file:
        file.write(header)


def _cut_torn_tail(replayed: Replay, now: str) -> str:
    """Keep the bytes behind the last newline in a file of their own, then cut them.

    A tail that is a whole record lost only its newline. It may be the sole trace of a job that
    was paid for, so it is put back as a line.
    """
    path, good = replayed.path, replayed.position.offset
    with path.open("r+b") as file:
        file.seek(good)
        torn = file.read()
        kept = path.with_name(f"{path.name}.torn-{now.replace(':', '')}")
        kept.write_bytes(torn)
        file.truncate(good)
        whole = _whole_record(replayed, torn)
        if whole is not None:
            file.seek(good)
            file.write(torn + b"\n")
            replayed.memory.keep(whole)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
    return (
        f"{path}: the last line was torn by a crash; its {len(torn)} bytes are kept in {kept.name}"
    )


def _whole_record(replayed: Replay, torn: bytes) -> JobRecord | None:
    if replayed.header is None:
        return None
    try:
        return decode(torn)
    except BadLine:
        return None


def _check_origin(replayed: Replay, api: str) -> None:
    """request_ids mean nothing to another API, and what was paid there is not paid here."""
    known = replayed.header.api if replayed.header else None
    if known is None or same_api(known, api):
        return
    raise LedgerForeign(
        f"{replayed.path}: its jobs were submitted to {known}, this run would go to {api};"
        f" use --base-url {known}/v1 to go on with them, or another --run-dir to start anew"
    )
