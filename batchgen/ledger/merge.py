"""The merge of several ledgers into one that says of each job what the best of them knows.

The new ledger has every line of every input, so that going back to an earlier input is free as
before. A job that several ledgers know gets one more line if its last one is not the record that
counts. Nothing is written before it is certain that nothing was paid for twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from batchgen.core.api_base import same_api
from batchgen.core.errors import LedgerDamaged, LedgerForeign, LedgerMissing, LocalIOError, PaidFor
from batchgen.core.ledger_codec import Position, decode, encode, encode_header, scan
from batchgen.core.lifecycle import JobRecord
from batchgen.core.record_merge import KnownJob, counting, paid_twice, with_all_charges
from batchgen.ledger.replay import Replay, replay
from batchgen.system.crash_points import CrashPoint, reached
from batchgen.system.files import remove_leftovers, replacing
from batchgen.system.run_directory import RunDirectory

SHOWN = 20
FilePath = Callable[[str], str]
"""The path that a file of one ledger has in the merged directory."""


@dataclass(slots=True)
class MergeInput:
    """One ledger that is to be merged, as it was read."""

    directory: RunDirectory
    replay: Replay

    @classmethod
    def read(cls, directory: RunDirectory) -> MergeInput:
        """Read a ledger. Raises like `replay`, and `LedgerMissing`."""
        found = replay(directory.ledger)
        if found.header is None:
            raise LedgerMissing(directory)
        return cls(directory, found)

    def known(self, job: str) -> JobRecord | None:
        """Return the last record of a job."""
        return self.replay.index.get(job)

    def lines(self) -> Iterator[bytes]:
        """Yield every line but the header, as far as the ledger was read."""
        found = self.replay
        lines = scan(found.reader.blocks(0, found.position.offset), Position())
        next(lines, None)
        return (line for line in lines if line.strip())

    def records_with_files(self) -> Iterator[JobRecord]:
        """Yield every record whose files, or those of its earlier takes, may be wanted."""
        index = self.replay.index
        yield from (one for one in index.records() if one.files or one.takes)
        for job, fingerprint in index.made_before_keys():
            if (made := index.made_before(job, fingerprint)) is not None:
                yield made


@dataclass(slots=True)
class LedgerMerge:
    """The ledgers to be merged, and what was decided about the jobs that several know."""

    inputs: Sequence[MergeInput]
    jobs: int = 0
    """How many jobs there are in all."""
    shared: dict[str, list[int]] = field(default_factory=dict)
    """Job -> the inputs that know it, if there is more than one."""
    counted: dict[str, tuple[int, JobRecord]] = field(default_factory=dict)
    """Job -> the input whose record counts, and that record."""

    outputs: dict[str, list[tuple[int, JobRecord]]] = field(default_factory=dict)
    """Job -> the outputs of other inputs than that of the record that counts."""

    @classmethod
    def of(cls, inputs: Sequence[MergeInput]) -> LedgerMerge:
        """Decide. Raises `LedgerForeign` for ledgers of two APIs, `PaidFor` for what was twice."""
        _require_one_api(inputs)
        merge = cls(inputs)
        merge._find_shared()
        merge._decide()
        return merge

    def _find_shared(self) -> None:
        known_by: dict[str, int] = {}  # the numbers of inputs as bits: lists would take more room
        for number, one in enumerate(self.inputs):
            for job in one.replay.index.jobs():
                known_by[job] = known_by.get(job, 0) | 1 << number
        self.jobs = len(known_by)
        for job, bits in known_by.items():
            if bits & (bits - 1):
                self.shared[job] = [n for n in range(len(self.inputs)) if bits >> n & 1]

    def _decide(self) -> None:
        conflicts: list[str] = []
        made = [self._made_before(one) for one in self.inputs]
        continued = self._continued()
        for job, numbers in self.shared.items():
            known = [
                KnownJob(
                    ledger=str(self.inputs[number].directory), record=record,
                    made_before=tuple(made[number].get(job, ())),
                    is_continued=(number, job) in continued,
                )
                for number in numbers
                if (record := self.inputs[number].known(job)) is not None
            ]  # fmt: skip
            conflicts += map(str, paid_twice(known))
            found = counting(known)
            record = with_all_charges(found.record, (one for one in known if one is not found))
            self.counted[job] = numbers[known.index(found)], record
            self.outputs[job] = [
                (number, made)
                for number, one in zip(numbers, known, strict=True)
                for made in (one.record, *one.made_before)
                if made.has_output and made.fingerprint != record.fingerprint
            ]
        if conflicts:
            raise PaidFor(_sentence(conflicts))

    def _made_before(self, one: MergeInput) -> dict[str, list[JobRecord]]:
        index = one.replay.index
        found: dict[str, list[JobRecord]] = {}
        for job, fingerprint in index.made_before_keys():
            if job in self.shared and (made := index.made_before(job, fingerprint)) is not None:
                found.setdefault(job, []).append(made)
        return found

    def _continued(self) -> set[tuple[int, str]]:
        """Return the inputs, by job, whose last line another one has too and has gone on from."""
        if not self.shared:
            return set()
        last: dict[int, list[tuple[int, str]]] = {}
        for number, one in enumerate(self.inputs):
            index, end = one.replay.index, one.replay.position.offset
            for job in index.jobs():
                if job in self.shared:
                    line = one.replay.reader.line_at(index.offset_of(job), end)
                    last.setdefault(hash(line), []).append((number, job))
        found: set[tuple[int, str]] = set()
        for number, one in enumerate(self.inputs):
            own_last = set(one.replay.index.last_offsets())
            position = Position()
            lines = scan(one.replay.reader.blocks(0, one.replay.position.offset), position)
            for line in lines:
                if position.offset not in own_last:
                    owners = last.get(hash(line), ())
                    found.update(owner for owner in owners if owner[0] != number)
        return found

    def write(self, target: RunDirectory, paths: Sequence[FilePath], *, created: str) -> None:
        """Put the merged ledger in its place, at once and checked.

        `paths` has one function for each input. Raises `LocalIOError`.
        """
        path = target.ledger
        try:
            remove_leftovers(path)
            with replacing(path) as file:
                self._write_lines(file, paths, created)
                file.flush()
                merged = replay(Path(file.name))
                file.writelines(line + b"\n" for line in self._missing_lines(merged, paths))
                file.flush()
                merged.read_on()
                self._check(merged, paths)
                reached(CrashPoint.COMPACTION_WRITTEN)
            reached(CrashPoint.COMPACTION_RENAMED)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; it was left as it was") from error

    def _write_lines(self, file: IO[bytes], paths: Sequence[FilePath], created: str) -> None:
        headers = [one.replay.header for one in self.inputs]
        api = next((one.api for one in headers if one is not None and one.api), None)
        begun = [one.created for one in headers if one is not None and one.created]
        file.write(encode_header(api=api, created=min(begun, default=created)))
        seen: set[int] = set()  # of the ledgers before: one may repeat a line on purpose
        for number, one in enumerate(self.inputs):
            own: set[int] = set()
            for line in one.lines():
                moved = with_paths(line, paths[number])
                if self.shared:  # only then can two ledgers have the same line
                    digest = hash(moved)
                    if digest in seen:
                        continue
                    own.add(digest)
                file.write(moved + b"\n")
            seen |= own

    def _missing_lines(self, merged: Replay, paths: Sequence[FilePath]) -> Iterator[bytes]:
        """Yield what must follow so that the jobs that several ledgers know end as decided.

        The last line of a job decides, and one of another ledger may have come after it. It may
        also have covered an output of an earlier input.
        """
        for job, (number, record) in self.counted.items():
            is_covered = False
            for owner, made in self.outputs.get(job, ()):
                if merged.index.made_before(job, made.fingerprint) is None:
                    is_covered = True
                    yield with_paths(encode(made).rstrip(), paths[owner])
            line = self._last_line(job, number, record, paths[number])
            if is_covered or merged.index.get(job) != decode(line):
                yield line

    def _last_line(self, job: str, number: int, record: JobRecord, path: FilePath) -> bytes:
        """Return the line of the ledger that counts, but with the charges of all.

        Keys of later versions stay in it.
        """
        one = self.inputs[number].replay
        line = one.reader.line_at(one.index.offset_of(job), one.position.offset)
        values = msgspec.json.decode(line)
        decided = msgspec.json.decode(encode(record))
        if record != one.index.get(job) or decided["fingerprint"] != values["fingerprint"]:
            keys = ("charges", "earlier_cost_usd", "earlier_price_usd", "fingerprint")
            values |= {key: decided[key] for key in keys if key in decided}
            line = msgspec.json.encode(values)
        return with_paths(line, path)

    def _check(self, merged: Replay, paths: Sequence[FilePath]) -> None:
        """Raise `LedgerDamaged` unless the merged ledger says what its inputs say."""
        for number, one in enumerate(self.inputs):
            for known in one.replay.index.records():
                counted, expected = self.counted.get(known.job, (number, known))
                found = merged.index.get(known.job)
                wanted = decode(with_paths(encode(expected).rstrip(), paths[counted]))
                if found is None or encode(found) != encode(wanted):
                    raise LedgerDamaged(
                        f"{merged.path}: the merged ledger would say something else of job"
                        f" {known.job!r}; nothing was written. This is a defect of batchgen"
                    )


def with_paths(line: bytes, path: FilePath) -> bytes:
    """Return a line with the paths that its files have now."""
    if b'"path"' not in line:
        return line
    values = msgspec.json.decode(line)
    places: list[dict[str, Any]] = list(values.get("files") or ())
    for take in values.get("takes") or ():
        places += take.get("files") or ()
    changed = False
    for file in places:
        new = path(file["path"])
        changed |= new != file["path"]
        file["path"] = new
    return msgspec.json.encode(values) if changed else line


def require_mergeable(directories: Iterable[RunDirectory]) -> list[RunDirectory]:
    """Return the directories, each once, however it is spelled."""
    found: dict[str, RunDirectory] = {}
    for one in directories:
        found.setdefault(os.path.realpath(one.path), one)
    return list(found.values())


def _require_one_api(inputs: Sequence[MergeInput]) -> None:
    named = [
        (one.directory, one.replay.header.api)
        for one in inputs
        if one.replay.header is not None and one.replay.header.api
    ]
    for directory, api in named[1:]:
        first, origin = named[0]
        if not same_api(api, origin):
            raise LedgerForeign(
                f"{directory}: its jobs were submitted to {api}, those of {first} to {origin};"
                " ledgers of two APIs cannot be one; nothing was written"
            )


def _sentence(conflicts: Sequence[str]) -> str:
    more = len(conflicts) - SHOWN
    lines = [*conflicts[:SHOWN], *([f"... and {more:,} more"] if more > 0 else [])]
    return (
        "\n".join(lines) + "\nnothing was written: a merged ledger would forget one of the two."
        " To keep both, give the row another id in one of the two manifests and run that once more"
        " (an unchanged row keeps its output, so it costs nothing), or merge without that directory"
    )
