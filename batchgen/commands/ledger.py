"""`batchgen ledger verify|repair|compact|show`.

`batchgen ledger`: look after the ledger of a run directory.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from batchgen.app.batch_ref import BatchRef, batch_ref_of, lock_wait_of
from batchgen.app.loading import load
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import latest, open_at, place_of
from batchgen.app.run_directory import DatedRunDirectories
from batchgen.app.run_file import manifest_of
from batchgen.core.errors import BatchgenError, LedgerError, UsageError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Records
from batchgen.core.units import count_text, size_text, timestamp
from batchgen.ledger import LEDGER_NAME, RunLock, replay, require_ledger
from batchgen.ledger.compact import Compacted, compact
from batchgen.ledger.damage import DamageReport, examine
from batchgen.ledger.repair import Repaired, repair
from batchgen.ledger.replay import job_lines
from batchgen.outputs.verify import BadFile, bad_files
from batchgen.reports.terminal import tame
from batchgen.system.clock import SystemClock


def directory_of(target: BatchRef) -> Path:
    """The run directory that is meant; of a dated series the newest.

    Raises `UsageError` where neither a manifest nor a directory is named.
    """
    if not target.manifest and target.run_dir is None:
        raise UsageError("which ledger? name its MANIFEST, or --run-dir DIR")
    place = place_of(target)
    return latest(place) if isinstance(place, DatedRunDirectories) else place


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` found."""

    examination: DamageReport
    bad_files: tuple[BadFile, ...] | None
    """None where the files were not looked at."""
    files: int = 0
    """How many were looked at."""


def verify(target: BatchRef, *, files: bool) -> Verified:
    """Read the ledger to its end, and with `files` every file that it names. Changes nothing."""
    run_dir = directory_of(target)
    examination = examine(run_dir / LEDGER_NAME)
    if not files:
        return Verified(examination=examination, bad_files=None)
    index = examination.index
    count = sum(len(record.files) for record in index.records(JobState.DOWNLOADED))
    return Verified(
        examination=examination, bad_files=tuple(bad_files(run_dir, index)), files=count
    )


async def mend(target: BatchRef, turn: LockWait, *, accept_loss: bool) -> Repaired:
    """Raises `LockHeld` while a run is at work, else as `repair`."""
    run_dir = directory_of(target)
    with await _lock(run_dir, turn):
        return repair(
            run_dir,
            now=timestamp(SystemClock().now_s()),
            accepts_loss=lambda known: accept_loss or _all_known(target, run_dir, known),
        )


def _all_known(target: BatchRef, run_dir: Path, records: Records) -> bool:
    """Whether every row has a record: then no lost line can lead to another submission."""
    manifest = target.manifest or manifest_of(run_dir)
    if not manifest or manifest == "-":
        return False
    try:
        opened = open_at(replace(target, manifest=str(manifest)), run_dir)
        with load(opened.manifest, opened.target) as loaded:
            return not loaded.problem_count and all(
                (record := records.get(job.id)) is not None and record.state is not JobState.PENDING
                for job in loaded.spool.jobs()
            )
    except BatchgenError:
        return False


async def shorten(target: BatchRef, turn: LockWait) -> Compacted:
    """Raises `LockHeld` while a run is at work, else as `compact`."""
    run_dir = directory_of(target)
    with await _lock(run_dir, turn):
        return compact(run_dir, now=timestamp(SystemClock().now_s()))


async def _lock(run_dir: Path, turn: LockWait) -> RunLock:
    """Where no ledger is, no lock file is left behind either."""
    require_ledger(run_dir)
    return await turn.take(run_dir) or RunLock.acquire(run_dir, now_s=SystemClock().now_s())


def story(target: BatchRef, job: str) -> list[tuple[bytes, JobRecord]]:
    """The lines of one job. Raises `UsageError` where there are none."""
    run_dir = directory_of(target)
    lines = job_lines(run_dir, job)
    if not lines:
        raise UsageError(f"{run_dir}: no job {job!r}; status and results.csv name them")
    return lines


def present(target: BatchRef) -> Iterator[JobRecord]:
    """The last record of every job."""
    return replay(directory_of(target) / LEDGER_NAME).index.records()


SHOWN = 20
"""Faults that are written out; `--json` has all."""
BAD_FILES = 1


def handle(args: argparse.Namespace) -> int:
    """One of the four; its exit code."""
    return _ACTIONS[args.action](args, batch_ref_of(args))


def _verify(args: argparse.Namespace, target: BatchRef) -> int:
    found = verify(target, files=args.files)
    print(_encoded(_findings(found)) if args.json else "\n".join(_verified(found, target)))
    if found.examination.faults:
        return LedgerError.exit_code
    return BAD_FILES if found.bad_files else 0


def _verified(found: Verified, target: BatchRef) -> Iterator[str]:
    one = found.examination
    run_dir = one.path.parent
    size = size_text(one.position.offset)
    lines = count_text(one.position.line, "line")
    yield f"{one.path}: {lines}, {count_text(len(one.index), 'job')}, {size}"
    for fault in one.faults[:SHOWN]:
        start = tame(fault.data[:60].decode("utf-8", "backslashreplace"))
        yield f"{one.path}:{fault.line}: byte {fault.offset:,}: {tame(fault.why)}: {start}"
    if (hidden := len(one.faults) - SHOWN) > 0:
        yield f"... and {hidden:,} more"
    if one.unknown_states:
        yield (
            f"  {count_text(one.unknown_states, 'line')} with a state that only a later version"
            " knows; such jobs are left alone"
        )
    if one.torn_bytes:
        yield (
            f"  the last {one.torn_bytes:,} bytes are no whole line: one that is being written, or"
            " that a crash tore; the next run cuts it and keeps the bytes"
        )
    if one.faults:
        yield f"Mend it with: batchgen ledger repair --run-dir {run_dir}"
    else:
        yield f"  every {'other ' if one.torn_bytes else ''}line is whole"
    yield from _verified_files(found, target.manifest or "MANIFEST")


def _verified_files(found: Verified, manifest: str) -> Iterator[str]:
    if found.bad_files is None:
        return
    for bad in found.bad_files[:SHOWN]:
        yield f"{tame(bad.file.path)}: {bad.why} (job {tame(bad.job)})"
    if (hidden := len(found.bad_files) - SHOWN) > 0:
        yield f"... and {hidden:,} more"
    if found.bad_files:
        count = count_text(len(found.bad_files), "file")
        again = f"batchgen run {manifest} --repair"
        yield f"  {count} of {found.files:,} to fetch again, at no cost: {again}"
    else:
        yield f"  {count_text(found.files, 'file')} as downloaded (size and sha256)"


def _findings(found: Verified) -> dict[str, object]:
    one = found.examination
    return {
        "path": str(one.path),
        "lines": one.position.line,
        "jobs": len(one.index),
        "torn_bytes": one.torn_bytes,
        "unknown_states": one.unknown_states,
        "faults": [
            {"line": fault.line, "offset": fault.offset, "bytes": len(fault.data), "why": fault.why}
            for fault in one.faults
        ],
        "files": None if found.bad_files is None else found.files,
        "bad_files": [
            {"job": bad.job, "path": bad.file.path, "why": bad.why} for bad in found.bad_files or ()
        ],
    }


def _repair(args: argparse.Namespace, target: BatchRef) -> int:
    done = asyncio.run(mend(target, lock_wait_of(args), accept_loss=args.accept_loss))
    if done.aside is None:
        print("nothing to mend: every line is whole")
        return 0
    bad = [count_text(len(done.faults), "bad line")] if done.faults else []
    torn = [f"a torn tail of {done.torn_bytes:,} bytes"] if done.torn_bytes else []
    what = " and ".join(bad + torn)
    print(f"{what} set aside in {done.aside}; every good line is as it was")
    for record in done.put_back:
        name = f"request {record.request_id}" if record.request_id else "held for a person"
        print(f"  job {tame(record.job)}: {record.state.value}, {tame(name)}")
    if done.lost and args.accept_loss:
        print(
            f"  {count_text(done.lost, 'line')} that named no job left out, as you said; a row that"
            " is pending now may have been submitted before"
        )
    elif done.lost:
        print("  every row has a record still, so nothing can be submitted a second time for it")
    return 0


def _compact(args: argparse.Namespace, target: BatchRef) -> int:
    done = asyncio.run(shorten(target, lock_wait_of(args)))
    print(
        f"{done.lines_before:,} lines, {size_text(done.bytes_before)}"
        f" -> {done.lines:,} lines, {size_text(done.bytes)}; it says the same of every job"
    )
    return 0


def _show(args: argparse.Namespace, target: BatchRef) -> int:
    if args.job is None:
        for record in present(target):
            print(_encoded(record) if args.json else _line(record, f"{tame(record.job)}  "))
        return 0
    told = story(target, args.job)
    for raw, record in told:
        print(raw.decode("utf-8", "replace") if args.json else _line(record, ""))
    if not args.json:
        print("\n".join(_end(told[-1][1])))
    return 0


def _line(record: JobRecord, name: str) -> str:
    facts = [f"attempt {record.attempt}"]
    if record.request_id:
        facts.append(tame(record.request_id))
    if record.cost_usd is not None:
        facts.append(f"${record.cost_usd:g}")
    if record.error is not None:
        facts.append(tame(f"{record.error.kind}: {record.error.message}"))
    facts += [word for word in ("given_up", "granted") if getattr(record, word)]
    if record.adopted_by:
        facts.append(f"goes on as {tame(record.adopted_by)}")
    return f"{tame(record.ts)}  {name}{record.state.value:<11}  {'  '.join(facts)}"


def _end(record: JobRecord) -> Iterator[str]:
    for url in record.outputs:
        yield f"  output {tame(url)}"
    for file in record.files:
        yield f"  file   {tame(file.path)}, {size_text(file.bytes)}, sha256 {tame(file.sha256)}"
    yield f"  reported cost, all attempts: ${record.total_cost_usd:g}"


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


_ACTIONS = {"verify": _verify, "repair": _repair, "compact": _compact, "show": _show}
