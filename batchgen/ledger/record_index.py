"""The index of a ledger: for each job, the offset of its last line; and the reader of its lines.

The last line of a job is its record. The index holds no records: a name, an offset, a state and a
hash of the fingerprint are some 170 bytes for each job, so that a million jobs fit in memory. Only
records that are in flight, or not yet on disk, are held as objects.

If a job was edited after it had an output, the earlier record stays in the index too, in case the
row goes back to that input. A job that another one has adopted is not in the index any more.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from batchgen.core.events import AnswerLost
from batchgen.core.jobs import Batch
from batchgen.core.ledger_codec import decode
from batchgen.core.lifecycle import (
    CRASHED,
    IN_FLIGHT,
    PAID_FOR,
    JobRecord,
    JobState,
    Take,
    adopted,
    apply,
)
from batchgen.core.reviews import Verdict
from batchgen.ledger.earlier_fingerprints import EarlierFingerprints
from batchgen.ledger.request_ids import RequestIds
from batchgen.system.files import open_regular

BLOCK_BYTES = 1 << 20
"""Read at once by a pass over the whole ledger."""
SINGLE_READ_BYTES = 4 << 10
"""Read for one line on its own."""
SEQUENCE_READ_BYTES = 256 << 10
"""Read at most while lines are asked for one after the other."""
_NO_FILE = -1


class LineReader:
    """The lines of one ledger file, by the offsets at which they begin.

    A file that is replaced or removed stays readable here. If there is no file, it reads as an
    empty one.
    """

    def __init__(self, fd: int = _NO_FILE) -> None:
        self._fd = fd
        self._window = (0, b"")
        """An offset and the bytes from there on; replaced as one, so that threads can share it."""
        self._size_bytes = SINGLE_READ_BYTES

    @classmethod
    def open(cls, path: Path) -> LineReader:
        """Open a ledger, which may be missing. Raises OSError, also for a pipe or a device."""
        try:
            return cls(open_regular(path))
        except FileNotFoundError:
            return cls()

    def __del__(self) -> None:
        if self.has_file:
            os.close(self._fd)

    @property
    def has_file(self) -> bool:
        """True if there was a file to open."""
        return self._fd != _NO_FILE

    def is_file(self, status: os.stat_result) -> bool:
        """Tell whether this status, found under some name, is that of the open file."""
        return self.has_file and os.path.samestat(os.fstat(self._fd), status)

    def blocks(self, begin: int, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `begin` to `end`, or to the present end of the file.

        Raises OSError.
        """
        while self.has_file and (end is None or begin < end):
            size_bytes = BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - begin)
            block = os.pread(self._fd, size_bytes, begin)
            if not block:
                return
            begin += len(block)
            yield block

    def line_at(self, offset: int, end: int) -> bytes:
        """Return the line that begins at `offset`, without its newline.

        Nothing behind `end` is kept, because it may be cut off and written again.
        """
        begin, window = self._window
        start = offset - begin
        if 0 <= start < len(window):
            newline = window.find(b"\n", start)
            if newline >= 0:
                return window[start:newline]
        is_sequence = 0 <= start - len(window) + SINGLE_READ_BYTES < SEQUENCE_READ_BYTES
        larger_bytes = min(SEQUENCE_READ_BYTES, self._size_bytes * 4)
        size_bytes = self._size_bytes = larger_bytes if is_sequence else SINGLE_READ_BYTES
        return self._read(offset, end, size_bytes)

    def _read(self, offset: int, end: int, size_bytes: int) -> bytes:
        while True:
            window = os.pread(self._fd, min(size_bytes, end - offset), offset)
            if b"\n" in window or size_bytes >= end - offset:
                self._window = (offset, window)
                return window[: window.index(b"\n")]
            size_bytes *= 4


_STATES = tuple(JobState)
_CODES = {state: code for code, state in enumerate(_STATES)}
_IS_PAID_FOR = bytes(state in PAID_FOR for state in _STATES)
_DOWNLOADED = _CODES[JobState.DOWNLOADED]
_ADOPTED = len(_STATES)
"""In place of the code of a state: this name was adopted, its last line says nothing any more."""
_NOT_ON_DISK = -1
"""In place of an offset."""
_HELD_STATES = IN_FLIGHT | {JobState.SUBMITTING}
"""States whose next event is near, so that the record is held as an object."""


class RecordIndex:
    """Records by job (port `Records`)."""

    def __init__(
        self, reader: LineReader | None = None, earlier: EarlierFingerprints | None = None
    ) -> None:
        self._reader = reader or LineReader()
        self.request_ids = RequestIds()
        """Those of every record so far, of any attempt of any job."""
        self._earlier = EarlierFingerprints() if earlier is None else earlier
        self._end = 0
        self._rows: dict[str, int] = {}
        # One entry in each of these columns for a row:
        self._jobs: list[str] = []
        self._offsets = array("q")
        self._codes = bytearray()
        self._hashes = array("q")
        self._models = array("i")
        """The number of the model in `_model_names`; lines of earlier versions do not repeat it."""
        self._model_names: dict[str, int] = {"": 0}
        self._held: dict[str, JobRecord] = {}
        self._made_before: dict[str, dict[str, int | JobRecord]] = {}
        """By job and fingerprint."""
        self._with_takes: set[str] = set()
        """Jobs of which more than one take was ever requested."""
        self._heirs: dict[str, str] = {}
        """Names that were adopted, each with the job that has its record now."""
        self._verdicts: dict[str, dict[int, Verdict]] = {}
        """By job and take, the last one."""
        self.highest_usd: dict[str, float] = {}
        """By model: the highest cost that the API ever reported."""
        self.costliest: dict[str, str] = {}
        """By model: the job that had the highest cost."""
        self._since: str | None = None
        self._mark = 0
        """The offset of the first line after the moment that states are compared with."""
        self._states_then: dict[str, JobState] = {}
        """At that moment, of the jobs that have changed since."""

    def __len__(self) -> int:
        return len(self._rows)

    def compare_with(self, moment: str) -> None:
        """Remember the states that jobs had at this moment (RFC 3339); before any line is added."""
        self._since = moment

    def end_comparison(self) -> None:
        """Note that what is added from now on is after the moment, whatever the clock says."""
        if self._since is not None:
            self._since, self._mark = None, self._end

    def state_then(self, job: str) -> JobState | None:
        """Return the state of a job at the moment of `compare_with`; None if it had no record."""
        row = self._rows.get(job)
        if row is not None and 0 <= self._offsets[row] < self._mark:
            return _STATES[self._codes[row]]
        return self._states_then.get(job)

    def _keep_state(self, row: int) -> None:
        """Keep the state of a job before its first change after that moment."""
        if 0 <= self._offsets[row] < self._mark:
            self._states_then[self._jobs[row]] = _STATES[self._codes[row]]

    def add_line(self, record: JobRecord, offset: int) -> None:
        """Add the next line of the ledger, which begins at `offset`."""
        if self._since is not None and record.ts > self._since:
            self._since, self._mark = None, offset
        if record.request_id is not None:
            self.request_ids.add(record.request_id)
        self._put(record, offset)
        if self._held:
            self._held.pop(record.job, None)

    def set_end(self, end: int) -> None:
        """Note that every line below `end` is whole and can be read."""
        self._end = end

    def add_unwritten(self, record: JobRecord) -> None:
        """Add a record that is on its way to disk, or will never be written."""
        if record.request_id is not None:
            self.request_ids.add(record.request_id)
        self._put(record, _NOT_ON_DISK)
        if record.adopted_by is None:
            self._held[record.job] = record

    def mark_written(self, record: JobRecord, offset: int, end: int) -> None:
        """Note that the line of this record is on disk, from `offset` to `end`."""
        self._end = max(self._end, end)
        if self._held.get(record.job) is record:
            self._offsets[self._rows[record.job]] = offset
            if record.state not in _HELD_STATES:
                del self._held[record.job]

    def adopt(self, old: str, new: str) -> None:
        """Let `new` continue the record of `old`, in memory only; `RunLedger.adopt` writes it."""
        record = self.get(old)
        if record is not None:
            for changed in adopted(record, job=new, ts=record.ts, replaced=self.get(new)):
                self.add_unwritten(changed)

    def _put(self, record: JobRecord, offset: int) -> None:
        row = self._rows.get(record.job)
        if record.adopted_by is not None:
            if row is not None:
                self._close(row, record)
        elif row is None:
            self._add_row(record, offset)
        else:
            self._replace(row, record, offset)

    def _replace(self, row: int, record: JobRecord, offset: int) -> None:
        fingerprint_hash = hash(record.fingerprint)
        is_edited = fingerprint_hash != self._hashes[row]
        if is_edited:
            self._end = max(self._end, offset)  # while reading: every earlier line is whole
            self._keep_output(row)
            self._hashes[row] = fingerprint_hash
        if self._mark:
            self._keep_state(row)
        self._offsets[row] = offset
        self._codes[row] = _CODES[record.state]
        # Most lines of a job say nothing new about its model and its money.
        if is_edited or record.cost_usd is not None or record.charges or not self._models[row]:
            self._learn(row, record)

    def _add_row(self, record: JobRecord, offset: int) -> None:
        row = self._rows[record.job] = len(self._jobs)
        self._jobs.append(record.job)
        self._offsets.append(offset)
        self._codes.append(_CODES[record.state])
        self._hashes.append(hash(record.fingerprint))
        self._models.append(0)
        self._learn(row, record)

    def _keep_output(self, row: int) -> None:
        """Keep the present record of a job that gets another input, if it has an output."""
        if _IS_PAID_FOR[self._codes[row]] or self._jobs[row] in self._with_takes:
            before, begin = self._record(row), self._offsets[row]
            if not before.has_output:
                return
            made = self._made_before.setdefault(before.job, {})
            made[before.fingerprint] = before if begin == _NOT_ON_DISK else begin
        elif self._jobs[row] in self._made_before:  # it was used again, and is gone
            self._made_before[self._jobs[row]].pop(self._record(row).fingerprint, None)

    def _close(self, row: int, record: JobRecord) -> None:
        """Let the job that adopts this one have what was made for its earlier inputs too."""
        self._learn(row, record)
        self._keep_state(row)
        self._codes[row] = _ADOPTED
        del self._rows[record.job]
        self._held.pop(record.job, None)
        heir = record.adopted_by or ""
        if then := self._states_then.pop(record.job, None):
            self._states_then.setdefault(heir, then)
        self._heirs[record.job] = heir
        if verdicts := self._verdicts.pop(record.job, None):
            self._verdicts[heir] = verdicts | self._verdicts.get(heir, {})
        if record.job in self._with_takes:
            self._with_takes.add(heir)
        if made := self._made_before.pop(record.job, None):
            self._made_before[heir] = made | self._made_before.get(heir, {})
        if (new_row := self._rows.get(heir)) is not None and not self._models[new_row]:
            self._models[new_row] = self._models[row]

    def _learn(self, row: int, record: JobRecord) -> None:
        """Note the model of a job, and its costs if they are the highest of their models."""
        if record.takes:
            self._with_takes.add(record.job)
        if record.model:
            number = self._model_names.get(record.model)
            if number is None:
                number = self._model_names[record.model] = len(self._model_names)
            self._models[row] = number
        if record.cost_usd is not None and self._models[row]:
            model = record.model or list(self._model_names)[self._models[row]]
            self._learn_cost(model, record.cost_usd, record.job)
        for charge in record.charges:
            if charge.request_id is not None:
                self.request_ids.add(charge.request_id)
            if charge.reported and charge.model:
                self._learn_cost(charge.model, charge.usd, record.job)

    def _learn_cost(self, model: str, usd: float, job: str) -> None:
        if usd > self.highest_usd.get(model, 0.0):
            self.highest_usd[model], self.costliest[model] = usd, job

    def get(self, job: str) -> JobRecord | None:
        """Return the record of a job, if there is one."""
        row = self._rows.get(job)
        return None if row is None else self._record(row)

    def is_downloaded(self, job: str, fingerprint: str) -> bool:
        """Tell whether the output of this very input is on disk, without reading the record."""
        row = self._rows.get(job)
        return (
            row is not None
            and self._codes[row] == _DOWNLOADED
            and self._hashes[row] == hash(fingerprint)
        )

    def jobs(self) -> Iterable[str]:
        """Return the jobs, in the order of their first lines."""
        return self._rows.keys()

    def records(self, *states: JobState) -> Iterator[JobRecord]:
        """Yield the records in these states (default: all), in the order of their first lines."""
        wanted = {_CODES[state] for state in states or JobState}
        for row, code in enumerate(self._codes):
            if code in wanted:
                yield self._record(row)

    def set_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Know these verdicts, in their order, and no others.

        One on a job that was adopted is about the job that has its record now.
        """
        self._verdicts = {}
        for verdict in verdicts:
            job, seen = verdict.job, {verdict.job}
            while job not in self._rows and (heir := self._heirs.get(job)) and heir not in seen:
                job = heir
                seen.add(job)
            self._verdicts.setdefault(job, {})[verdict.take] = verdict

    def verdict(self, record: JobRecord) -> Verdict | None:
        """Return the last verdict on the take of this record."""
        found = self._verdicts.get(record.job, {}).get(record.take)
        return found if found is not None and found.is_about(record) else None

    def verdict_on(self, job: str, take: Take) -> Verdict | None:
        """Return the last verdict on an earlier take of a job."""
        found = self._verdicts.get(job, {}).get(take.take)
        is_same = found is not None and found.submitted_at in (None, take.submitted_at or "")
        return found if is_same else None

    def has_verdict(self, job: str) -> bool:
        """Tell whether there is any verdict on this job."""
        return job in self._verdicts

    def made_before(self, job: str, fingerprint: str) -> JobRecord | None:
        """Return an earlier record of this job with this input and an output.

        None if this is the present input.
        """
        if job not in self._made_before or self._is_last(job, fingerprint):
            return None
        found = self._made_before[job].get(fingerprint)
        record = self._read(found) if isinstance(found, int) else found
        if record is None or job not in self._rows:
            return None
        return replace(self._earlier.of(record), job=job)  # an adopted one had another

    def recognise(self, batch: Batch) -> None:
        """Learn from rows what earlier versions called their inputs, if the ledger has it so."""
        if not self._rows:
            return
        in_use = {*self._hashes, *(hash(named) for _, named in self.made_before_keys())}
        learned: dict[int, int] = {}
        for job in batch.jobs():
            present = job.fingerprint
            if self._is_last(job.id, present) and not self._made_before:
                continue
            earlier = job.first_fingerprint
            if present != earlier and hash(earlier) in in_use:
                self._earlier.learn(earlier, present)
                learned[hash(earlier)] = hash(present)
        if learned:
            self._hashes = array("q", (learned.get(one, one) for one in self._hashes))
            self._made_before = {
                job: {self._earlier.present(named): found for named, found in made.items()}
                for job, made in self._made_before.items()
            }

    def _is_last(self, job: str, fingerprint: str) -> bool:
        """Return whether this is the fingerprint of a job's record, without reading the record."""
        row = self._rows.get(job)
        return row is not None and self._hashes[row] == hash(fingerprint)

    def made_before_keys(self) -> Iterator[tuple[str, str]]:
        """Yield the job and fingerprint of each record that `made_before` may return."""
        return ((job, one) for job, made in self._made_before.items() for one in made)

    def made_before_offsets(self) -> Iterator[int]:
        """Yield the offset of each line that `made_before` reads."""
        all_made = (made.values() for made in self._made_before.values())
        return (found for made in all_made for found in made if isinstance(found, int))

    def doubt_crashed(self) -> None:
        """Take each submission without an answer as in doubt, in memory only."""
        for record in list(self.records(JobState.SUBMITTING)):
            self.add_unwritten(
                apply(record, AnswerLost(error=CRASHED), job=record.job, ts=record.ts)
            )

    def offset_of(self, job: str) -> int:
        """Return the offset of the last line of a job; -1 if there is none."""
        row = self._rows.get(job)
        return _NOT_ON_DISK if row is None else self._offsets[row]

    def last_offsets(self) -> Iterator[int]:
        """Yield the offset of the last line of each job."""
        return (self._offsets[row] for row in self._rows.values())

    def _record(self, row: int) -> JobRecord:
        held = self._held.get(self._jobs[row]) if self._held else None
        return self._earlier.of(held) if held else self._read(self._offsets[row])

    def _read(self, offset: int) -> JobRecord:
        return self._earlier.of(decode(self._reader.line_at(offset, self._end)))
