"""The open ledger of a run: its one writer, which makes events durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.events import AnswerLost, Event, Intended
from batchgen.core.jobs import Batch
from batchgen.core.ledger_codec import BadLine, decode, encode, encode_header
from batchgen.core.lifecycle import CRASHED, JobRecord, JobState, Take, adopted, apply, restored
from batchgen.core.reviews import Verdict
from batchgen.core.units import timestamp
from batchgen.ledger.disk_reserve import DiskReserve
from batchgen.ledger.group_commit import GroupCommit
from batchgen.ledger.lock import RunLock
from batchgen.ledger.replay import Replay, replay, require_ledger, require_same_api
from batchgen.ledger.reviews_file import read_reviews
from batchgen.ports import Clock
from batchgen.system.files import (
    remove_leftovers,
    replacing,
    set_aside_name,
    sync_directory,
    sync_file,
)
from batchgen.system.run_directory import RunDirectory


class RunLedger:
    """The open ledger of a run directory (port `Ledger`). Holds the lock until `close`."""

    def __init__(
        self, lock: RunLock, replayed: Replay, commit: GroupCommit, clock: Clock, notes: list[str]
    ) -> None:
        self._lock = lock
        self._run_dir = replayed.path.parent
        self._index = replayed.index
        self._commit = commit
        self._clock = clock
        self._reviews_bytes = 0
        self.notes = notes
        """Sentences about repairs made while opening, for the user."""

    @classmethod
    def open(
        cls,
        run_dir: Path,
        *,
        api: str | None,
        clock: Clock,
        lock: RunLock | None = None,
        since: str | None = None,
    ) -> RunLedger:
        """Lock, replay, cut a torn tail, write the header of a new ledger.

        `api` is the origin that the requests belong to; None accepts any ledger. A `lock` that is
        held already is taken over, and released with the ledger. `since` is the moment (RFC 3339)
        that `state_then` is about.
        Raises `LockHeld`, `LedgerDamaged`, `LedgerForeign` or `LocalIOError`.
        """
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{run_dir}: {error.strerror}") from error
        lock = lock or RunLock.acquire(run_dir, now_s=clock.now_s())
        try:
            return cls._open_locked(lock, run_dir, api=api, clock=clock, since=since)
        except OSError as error:
            lock.release()
            raise LocalIOError(f"{RunDirectory(run_dir).ledger}: {error.strerror}") from error
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_existing(
        cls, run_dir: Path, *, clock: Clock, lock: RunLock | None = None
    ) -> RunLedger:
        """Open a ledger of any API, for commands that make no call.

        Raises `LedgerMissing`, or as `open`.
        """
        require_ledger(run_dir)
        return cls.open(run_dir, api=None, clock=clock, lock=lock)

    @classmethod
    def _open_locked(
        cls, lock: RunLock, run_dir: Path, *, api: str | None, clock: Clock, since: str | None
    ) -> RunLedger:
        path, now, notes = RunDirectory(run_dir).ledger, timestamp(clock.now_s()), []
        remove_leftovers(path)
        replayed = replay(path, since=since)
        if api is not None:
            require_same_api(replayed, api)
        if torn_bytes := replayed.torn_bytes:
            aside = cut_torn_tail(replayed, now)
            notes.append(
                f"{path}: the last line was cut off by a crash; its {torn_bytes} bytes were moved"
                f" to {aside.name}"
            )
        if replayed.header is None:
            with replacing(path) as file:
                file.write(encode_header(api=api, created=now))
            replayed = replay(path)
        reserve = DiskReserve.take(run_dir)
        commit = GroupCommit(path, size_bytes=replayed.position.offset, reserve=reserve)
        ledger = cls(lock, replayed, commit, clock, notes)
        ledger.read_reviews()
        return ledger

    def get(self, job: str) -> JobRecord | None:
        """Return the record of a job, if there is one."""
        return self._index.get(job)

    def is_downloaded(self, job: str, fingerprint: str) -> bool:
        """Tell whether the output of this very input is on disk."""
        return self._index.is_downloaded(job, fingerprint)

    def state_then(self, job: str) -> JobState | None:
        """Return the state of a job at the moment `since`; None if it had no record then."""
        return self._index.state_then(job)

    def jobs(self) -> Iterable[str]:
        """Return the jobs on record."""
        return self._index.jobs()

    def records(self, *states: JobState) -> Iterable[JobRecord]:
        """Return the records in these states (default: every record)."""
        return self._index.records(*states)

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """Return an earlier record of this job with this input and an output."""
        return self._index.made_before(job, fingerprint)

    def made_before_keys(self) -> Iterable[tuple[str, str]]:
        """Return the job and fingerprint of each record that `made_before` may return."""
        return self._index.made_before_keys()

    def verdict(self, record: JobRecord) -> Verdict | None:
        """Return the last verdict on the take of this record."""
        return self._index.verdict(record)

    def verdict_on(self, job: str, take: Take) -> Verdict | None:
        """Return the last verdict on an earlier take of a job."""
        return self._index.verdict_on(job, take)

    def has_verdict(self, job: str) -> bool:
        """Tell whether there is any verdict on this job."""
        return self._index.has_verdict(job)

    def read_new_reviews(self) -> bool:
        """Know the verdicts as they are now; return whether there are new ones.

        Cheap if there are none. Raises `LocalIOError`.
        """
        path = RunDirectory(self._run_dir).reviews
        size_bytes = path.stat().st_size if path.exists() else 0
        if size_bytes == self._reviews_bytes:
            return False
        self.read_reviews()
        return True

    def read_reviews(self) -> None:
        """Know the verdicts as they are now. Raises `LocalIOError`."""
        path = RunDirectory(self._run_dir).reviews
        self._reviews_bytes = path.stat().st_size if path.exists() else 0
        self._index.set_verdicts(read_reviews(self._run_dir))

    def knows_request(self, request_id: str) -> bool:
        """Tell whether any record, of any attempt of any job, has this request_id."""
        return request_id in self._index.request_ids

    @property
    def highest_usd(self) -> Mapping[str, float]:
        """By model: the highest cost that the API ever reported for a job in this ledger."""
        return self._index.highest_usd

    def recognise(self, batch: Batch) -> None:
        """Learn from rows what earlier versions called their inputs."""
        self._index.recognise(batch)

    async def record(self, job: str, event: Event) -> JobRecord:
        """Apply an event and append the new record; it is durable when this returns."""
        record = apply(self._index.get(job), event, job=job, ts=self._now())
        intends = isinstance(event, Intended)
        line = encode(record, values=event.input if isinstance(event, Intended) else None)
        await self._append(record, line, optional=intends)
        return record

    async def restore(self, made: JobRecord) -> JobRecord:
        """Make an earlier record of a job its present one again."""
        current = self._index.get(made.job) or made
        record = restored(current, made, ts=self._now())
        await self._append(record, encode(record))
        return record

    async def adopt(self, old: str, new: str) -> JobRecord | None:
        """Let the job `new` continue the record of the job `old`; return its record then."""
        record = self._index.get(old)
        if record is None:
            return None
        changed = adopted(record, job=new, ts=self._now(), replaced=self._index.get(new))
        await asyncio.gather(*(self._append(one, encode(one)) for one in changed))
        return changed[0]

    async def _append(self, record: JobRecord, line: bytes, *, optional: bool = False) -> None:
        """Append a line: the next event sees it at once; it is on disk when this returns."""
        self._index.add_unwritten(record)
        offset = await self._commit.append(line, optional=optional)
        self._index.mark_written(record, offset, offset + len(line))

    async def doubt_crashed_submissions(self) -> int:
        """Record every intent without an answer as in doubt; return how many there were."""
        crashed = [record.job for record in self._index.records(JobState.SUBMITTING)]
        await asyncio.gather(*(self.record(job, AnswerLost(error=CRASHED)) for job in crashed))
        return len(crashed)

    async def close(self) -> None:
        """Write what was appended, close the file, release the lock."""
        try:
            await self._commit.close()
        finally:
            self._lock.release()

    def _now(self) -> str:
        return timestamp(self._clock.now_s())


def cut_torn_tail(replayed: Replay, now: str) -> Path:
    """Move the bytes behind the last newline into a file of their own; return its path.

    A tail that is a whole record lost only its newline. It may be the only trace of a job that
    was paid for, so it is put back as a line. Only for the holder of the lock: to a reader, the
    line that is being written is a torn tail too. Raises OSError.
    """
    path, good_bytes = replayed.path, replayed.position.offset
    with path.open("r+b") as file:
        file.seek(good_bytes)
        torn = file.read()
        aside = set_aside_name(path, "torn", now)
        with aside.open("xb") as copy:
            copy.write(torn)
            copy.flush()
            sync_file(copy.fileno())
        sync_directory(path.parent)
        file.truncate(good_bytes)
        is_whole = replayed.header is not None and _is_record(torn)
        if is_whole:
            file.seek(good_bytes)
            file.write(torn + b"\n")
        file.flush()
        sync_file(file.fileno())
    replayed.size_bytes = good_bytes
    if is_whole:
        replayed.read_on()
    return aside


def _is_record(line: bytes) -> bool:
    try:
        decode(line)
    except BadLine:
        return False
    return True
