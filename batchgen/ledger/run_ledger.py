"""The ledger as the runner sees it: one writer, records in memory, events made durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from batchgen.core.api_base import same_api
from batchgen.core.errors import LedgerForeign, LocalIOError
from batchgen.core.events import AnswerLost, Event, Intended
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.lifecycle import CRASHED, JobRecord, JobState, adopted, apply, restored
from batchgen.core.units import timestamp
from batchgen.ledger.group_commit import DiskReserve, GroupCommit
from batchgen.ledger.lock import RunLock
from batchgen.ledger.replay import LEDGER_NAME, Replay, replay
from batchgen.ledger.torn_tail import cut_torn_tail
from batchgen.system.files import remove_leftovers, replacing


class WallClock(Protocol):
    """The part of the clock that a ledger needs."""

    def now_s(self) -> float:
        """Seconds since 1970."""
        ...


class RunLedger:
    """The open ledger of a run directory (port `Ledger`). Holds the lock until `close`."""

    def __init__(
        self, lock: RunLock, replayed: Replay, commit: GroupCommit, clock: WallClock
    ) -> None:
        self._lock = lock
        self._index = replayed.index
        self._commit = commit
        self._clock = clock
        self.notes: list[str] = []
        """What was mended while opening, for a person."""

    @classmethod
    def open(
        cls, run_dir: Path, *, api: str | None, clock: WallClock, lock: RunLock | None = None
    ) -> RunLedger:
        """Lock, replay, cut a torn tail, write the header of a new ledger.

        `api` is the origin that its requests belong to; None takes whatever stands there.
        A `lock` that is held already is taken over, and let go of with the book.
        Raises `LockHeld`, `LedgerDamaged`, `LedgerForeign` or `LocalIOError`.
        """
        now = timestamp(clock.now_s())
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{run_dir}: {error.strerror}") from error
        lock = lock or RunLock.acquire(run_dir, now_s=clock.now_s())
        try:
            return cls._open_locked(lock, run_dir, api=api, clock=clock, now=now)
        except OSError as error:
            lock.release()
            raise LocalIOError(f"{run_dir / LEDGER_NAME}: {error.strerror}") from error
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_existing(
        cls, run_dir: Path, *, clock: WallClock, lock: RunLock | None = None
    ) -> RunLedger:
        """The same for a ledger that is there, whatever its API: no call is going to be made.

        Raises `LedgerForeign` where there is none.
        """
        if not (run_dir / LEDGER_NAME).exists():
            raise LedgerForeign(f"{run_dir}: no ledger here; is this the right --run-dir?")
        return cls.open(run_dir, api=None, clock=clock, lock=lock)

    @classmethod
    def _open_locked(
        cls, lock: RunLock, run_dir: Path, *, api: str | None, clock: WallClock, now: str
    ) -> RunLedger:
        path, notes = run_dir / LEDGER_NAME, []
        remove_leftovers(path)
        replayed = replay(path)
        if api is not None:
            _check_origin(replayed, api)
        if replayed.torn_bytes:
            torn_bytes, kept = replayed.torn_bytes, cut_torn_tail(replayed, now)
            notes.append(
                f"{path}: the last line was torn by a crash; its {torn_bytes} bytes are kept in"
                f" {kept.name}"
            )
        if replayed.header is None:
            _start(path, encode_header(api=api, created=now))
            replayed = replay(path)
        reserve = DiskReserve.take(run_dir)
        size_bytes = replayed.position.offset
        commit = GroupCommit(path, size_bytes=size_bytes, reserve=reserve)
        book = cls(lock, replayed, commit, clock)
        book.notes = notes
        return book

    def get(self, job: str) -> JobRecord | None:
        """The record of a job, if anything is known of it."""
        return self._index.get(job)

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        """The records in these states; none named: every record."""
        return self._index.records(*states)

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """An earlier record of this job with this input and an output."""
        return self._index.made_before(job, fingerprint)

    async def record(self, job: str, event: Event) -> JobRecord:
        """Fold and append; durable when this returns."""
        now = timestamp(self._clock.now_s())
        record = apply(self._index.get(job), event, job=job, ts=now)
        if isinstance(event, Intended):
            line = encode(record, model=event.model, values=event.input)
            await self._append(record, line, optional=True)
        else:
            await self._append(record, encode(record))
        return record

    async def restore(self, made: JobRecord) -> JobRecord:
        """Make an earlier record of a job its present one again."""
        current = self._index.get(made.job) or made
        record = restored(current, made, ts=timestamp(self._clock.now_s()))
        await self._append(record, encode(record))
        return record

    async def adopt(self, old: str, new: str) -> None:
        """Let the job `new` go on with what is known of the job `old`."""
        record = self._index.get(old)
        if record is not None:
            taken, left = adopted(record, job=new, ts=timestamp(self._clock.now_s()))
            await asyncio.gather(
                self._append(taken, encode(taken)), self._append(left, encode(left))
            )

    async def _append(self, record: JobRecord, line: bytes, *, optional: bool = False) -> None:
        """Known at once, so that the next event folds into it; on disk when this returns."""
        self._index.keep(record)
        offset = await self._commit.append(line, optional=optional)
        self._index.settle(record, offset, offset + len(line))

    async def doubt_crashed_submissions(self) -> int:
        """Put on record that intents without an answer are in doubt; says how many."""
        crashed = [record.job for record in self._index.records(JobState.SUBMITTING)]
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
    with replacing(path) as file:
        file.write(header)


def _check_origin(replayed: Replay, api: str) -> None:
    """request_ids mean nothing to another API, and what was paid there is not paid here."""
    known = replayed.header.api if replayed.header else None
    if known is None or same_api(known, api):
        return
    raise LedgerForeign(
        f"{replayed.path}: its jobs were submitted to {known}, this run would go to {api};"
        f" use --base-url {known}/v1 to go on with them, or another --run-dir to start anew"
    )
