"""The reading of a ledger: from its bytes to the record of each job, or to one job's lines.

Nothing here writes. Reading needs no lock: to a reader, a line that is being written is a torn
tail, which it leaves alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from batchgen.core.api_base import same_api
from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import LedgerDamaged, LedgerForeign, LedgerMissing, LocalIOError
from batchgen.core.ledger_codec import (
    BadLine,
    LedgerHeader,
    Position,
    SubmittingLine,
    decode,
    decode_header,
    decode_input,
    scan,
)
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ledger.earlier_fingerprints import EarlierFingerprints
from batchgen.ledger.record_index import LineReader, RecordIndex
from batchgen.system.files import open_regular
from batchgen.system.run_directory import RunDirectory

_HEADER_BYTES = 1 << 16


def require_ledger(run_dir: Path) -> None:
    """Raise `LedgerMissing` if a run directory has no ledger."""
    if not RunDirectory(run_dir).has_ledger:
        raise LedgerMissing(run_dir)


@dataclass(slots=True)
class Replay:
    """The content of a ledger, as far as it was read. A missing ledger counts as an empty one."""

    path: Path
    reader: LineReader
    index: RecordIndex
    on_record: Callable[[JobRecord, int], None]
    """Called with each record and the offset of its line."""
    earlier: EarlierFingerprints
    header: LedgerHeader | None = None
    """None if there is no ledger, or no whole line in it yet."""
    position: Position = field(default_factory=Position)
    size_bytes: int = 0

    @classmethod
    def open(
        cls,
        path: Path,
        on_record: Callable[[JobRecord, int], None] | None = None,
        earlier: EarlierFingerprints | None = None,
    ) -> Self:
        """Open a ledger; records go to `on_record`, or else to the index.

        `earlier` has fingerprints of earlier versions that are known already.

        Raises `LocalIOError`.
        """
        try:
            reader = LineReader.open(path)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}") from error
        earlier = EarlierFingerprints() if earlier is None else earlier
        index = RecordIndex(reader, earlier)
        on_record = on_record or index.add_line
        return cls(path=path, reader=reader, index=index, on_record=on_record, earlier=earlier)

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last newline: a line that is being written, or cut off by a crash."""
        return self.size_bytes - self.position.offset

    @property
    def is_current(self) -> bool:
        """True if the path still names the file that was read, and nothing read was cut from it.

        Compaction replaces the file. Cutting a torn tail does not count: it was never read.
        """
        try:
            now = self.path.stat()
        except OSError:
            return not self.reader.has_file
        return self.reader.is_file(now) and now.st_size >= self.position.offset

    def read_on(self) -> None:
        """Read the lines that were appended since the last call. Raises like `replay`."""
        try:
            self._read()
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error

    def _read(self) -> None:
        position, on_record, earlier = self.position, self.on_record, self.earlier
        lines = scan(self._blocks(), position)
        if position.line == 0 and (first := next(lines, None)) is not None:
            self._take_header(first)
        for line in lines:
            try:
                record = decode(line)
            except BadLine as error:
                if line.strip():  # a blank line, as editors add them, loses nothing
                    self._take_bad_line(line, str(error))
            else:
                if record.state is JobState.SUBMITTING:
                    earlier.learn_from(line)
                on_record(earlier.of(record) if earlier else record, position.offset)
        self.index.set_end(position.offset)

    def _blocks(self) -> Iterator[bytes]:
        """Yield the file from the position on; `size_bytes` grows as it is read."""
        self.size_bytes = self.position.offset
        for block in self.reader.blocks(self.size_bytes):
            self.size_bytes += len(block)
            yield block

    def _take_header(self, line: bytes) -> None:
        try:
            self.header = decode_header(line)
        except BadLine as error:
            raise LedgerForeign(f"{self.path}:1: {error}; is this the right --run-dir?") from None

    def _take_bad_line(self, line: bytes, why: str) -> None:
        start = line[:60].decode("utf-8", "backslashreplace")
        run_dir = self.path.parent
        raise LedgerDamaged(
            f"{self.path}:{self.position.line + 1}: damaged line ({why}): {start!r}; nothing was"
            f" changed. To inspect it, run: batchgen ledger verify --run-dir {run_dir}"
            f" - to repair it, run: batchgen ledger repair --run-dir {run_dir}"
        )


def replay(
    path: Path, earlier: EarlierFingerprints | None = None, *, since: str | None = None
) -> Replay:
    """Read a ledger to its end; `earlier` as for `Replay.open`.

    With `since` (RFC 3339) the index knows the states that jobs had at that moment.

    Raises `LedgerDamaged` for a bad line that is not the torn tail, `LedgerForeign` for a file
    of another program or version, and `LocalIOError` if it cannot be read.
    """
    replayed = Replay.open(path, earlier=earlier)
    if since is not None:
        replayed.index.compare_with(since)
    replayed.read_on()
    replayed.index.end_comparison()
    return replayed


def begun_at(path: Path) -> str | None:
    """Return when a ledger was begun, by its header; None if there is no ledger or no such time.

    Raises like `replay`, but reads the first line only.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            first = file.readline(_HEADER_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    try:
        return decode_header(first.rstrip(b"\r\n")).created
    except BadLine:
        return None  # whoever reads on is told what is wrong with it


def follow(
    path: Path,
    on_record: Callable[[JobRecord, int], None],
    earlier: EarlierFingerprints | None = None,
) -> Replay:
    """Open a ledger without an index: each `read_on` passes the new records to `on_record`.

    Raises `LocalIOError`.
    """
    return Replay.open(path, on_record, earlier)


def job_lines(run_dir: Path, job: str) -> list[tuple[bytes, JobRecord]]:
    """Return the lines of a job in order, each with its record; `job` in canonical form.

    Raises like `replay`.
    """
    found: list[tuple[int, JobRecord]] = []

    def add(record: JobRecord, offset: int) -> None:
        if canonical_text(record.job) == job:
            found.append((offset, record))

    ledger = follow(RunDirectory(run_dir).ledger, add)
    ledger.read_on()
    end = ledger.position.offset
    return [(ledger.reader.line_at(offset, end), record) for offset, record in found]


def owners_of_request(path: Path, request_id: str) -> set[tuple[str, str]]:
    """Return each job, with the fingerprint of its input, that ever had this request.

    A job that was adopted counts under its last name. Raises like `replay`.
    """
    owners: set[tuple[str, str]] = set()

    def add(record: JobRecord, _: int) -> None:
        if record.adopted_by is not None:
            for job, fingerprint in tuple(owners):
                if job == record.job:
                    owners.discard((job, fingerprint))
                    owners.add((record.adopted_by, fingerprint))
            return
        if record.request_id == request_id:
            owners.add((record.job, record.fingerprint))
        owners.update(
            (record.job, one.fingerprint) for one in record.charges if one.request_id == request_id
        )

    follow(path, add).read_on()
    return owners


def inputs_of(run_dir: Path, fingerprints: Mapping[str, str]) -> dict[str, SubmittingLine]:
    """Return what was submitted for these jobs (job: fingerprint), as far as the ledger has it.

    Raises `LocalIOError`. A bad line is skipped: whoever opened the ledger has reported it.
    """
    found = {}
    ledger = Replay.open(RunDirectory(run_dir).ledger)
    try:
        for line in scan(ledger.reader.blocks(0), Position()):
            sent = decode_input(line)
            wanted = None if sent is None else fingerprints.get(sent.job)
            if sent is not None and wanted is not None and sent.is_named(wanted):
                found[sent.job] = sent
    except OSError as error:
        raise LocalIOError(f"{ledger.path}: {error.strerror}") from error
    return found


def require_same_api(replayed: Replay, api: str) -> None:
    """Raise `LedgerForeign` if the ledger belongs to another API.

    A request_id means nothing to another API, and what was paid there is not paid here.
    """
    known = replayed.header.api if replayed.header else None
    if known is None or same_api(known, api):
        return
    raise LedgerForeign(
        f"{replayed.path}: its jobs were submitted to {known}, this run would go to {api};"
        f" use --base-url {known}/v1 to continue with them, or another --run-dir to start again"
    )
