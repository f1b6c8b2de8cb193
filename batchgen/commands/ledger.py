"""`batchgen ledger`: verify, repair, compact, show or merge the ledgers of run directories."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.app.batch_ref import BatchRef
from batchgen.app.ledger_merge import merge
from batchgen.app.loading import load
from batchgen.app.lock_wait import LockWait
from batchgen.app.open_batch import locate, open_in
from batchgen.app.run_file import manifest_of
from batchgen.core.errors import BatchgenError, LedgerDamaged, UsageError
from batchgen.core.lifecycle import JobRecord, JobState, Records
from batchgen.core.units import count_text, size_text, timestamp
from batchgen.ledger.compact import compact
from batchgen.ledger.damage import DamageReport, examine
from batchgen.ledger.repair import Repaired, repair
from batchgen.ledger.replay import job_lines, replay, require_ledger
from batchgen.outputs.verify import BadFile, bad_files
from batchgen.reports.terminal import escaped, tame
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext
    from batchgen.core.ledger_codec import Position
    from batchgen.ledger.lock import RunLock

SHOWN = 20
"""Damaged lines and files that are printed; `--json` has all of them."""
BAD_FILES = 1


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Do what `args.action` names, and return the exit code."""
    if args.action == "merge":
        return _merge(args, context)
    ref = BatchRef.of(args)
    if not ref.manifest and ref.run_dir is None:
        raise UsageError("which ledger? name its MANIFEST, or --run-dir DIR")
    return _ACTIONS[args.action](args, ref, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The findings of `verify`."""

    report: DamageReport
    bad_files: tuple[BadFile, ...] | None
    """None if the files were not checked."""
    files: int = 0
    """How many files were checked."""


def _verify(args: argparse.Namespace, ref: BatchRef, context: CommandContext) -> int:
    found = verify(locate(ref).newest(), files=args.files)
    code, reasons = 0, []
    if found.report.faults:
        code, reasons = LedgerDamaged.exit_code, [LedgerDamaged.reason]
    elif found.bad_files:
        code, reasons = BAD_FILES, ["files missing or damaged"]
    if args.json:
        ending = {"exit_code": code, "reasons": reasons}
        context.console.print_json(_findings(found) | ending)
    else:
        context.console.print_lines(*_verified(found, ref))
    return code


def verify(directory: RunDirectory, *, files: bool) -> Verified:
    """Read the ledger to its end, and with `files` every file that it names. Changes nothing."""
    report = examine(directory.ledger)
    if not files:
        return Verified(report=report, bad_files=None)
    count = sum(len(record.files) for record in report.index.records(JobState.DOWNLOADED))
    bad = tuple(bad_files(directory.path, report.index))
    return Verified(report=report, bad_files=bad, files=count)


def _verified(found: Verified, ref: BatchRef) -> Iterator[str]:
    one = found.report
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
            " knows; these jobs are left alone"
        )
    if one.torn_bytes:
        yield (
            f"  the last {one.torn_bytes:,} bytes are an incomplete line (being written, or cut off"
            " by a crash); the next run cuts it off and keeps the bytes"
        )
    if one.faults:
        yield f"To repair it: batchgen ledger repair --run-dir {run_dir}"
    else:
        yield "  every other line is intact" if one.torn_bytes else "  every line is intact"
    yield from _verified_files(found, ref.manifest or "MANIFEST")


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
    one = found.report
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


def _repair(args: argparse.Namespace, ref: BatchRef, context: CommandContext) -> int:
    done = asyncio.run(_repair_locked(args, ref, context))
    if done.aside is None:
        context.console.confirm("the ledger is intact, nothing to repair")
        return 0
    context.console.confirm(*_repaired(done, accept_loss=args.accept_loss))
    return 0


async def _repair_locked(
    args: argparse.Namespace, ref: BatchRef, context: CommandContext
) -> Repaired:
    directory = locate(ref).newest()
    with await _lock(args, directory, context):
        return repair(
            directory.path,
            now=timestamp(context.clock.now_s()),
            accepts_loss=lambda records: (
                args.accept_loss or _all_rows_known(ref, directory, records, context)
            ),
        )


def _all_rows_known(
    ref: BatchRef, directory: RunDirectory, records: Records, context: CommandContext
) -> bool:
    """Tell whether every row has a record: then no lost line can lead to another submission."""
    manifest = ref.manifest or manifest_of(directory)
    if not manifest or manifest == "-":
        return False
    try:
        with load(
            open_in(replace(ref, manifest=str(manifest)), directory, context).manifest
        ) as loaded:
            return not loaded.problems and all(
                (record := records.get(job.id)) is not None and record.state is not JobState.PENDING
                for job in loaded.batch(records).jobs()
            )
    except BatchgenError:
        return False


def _repaired(done: Repaired, *, accept_loss: bool) -> Iterator[str]:
    bad = [count_text(len(done.faults), "bad line")] if done.faults else []
    torn = [f"a torn tail of {done.torn_bytes:,} bytes"] if done.torn_bytes else []
    yield f"{' and '.join(bad + torn)} set aside in {done.aside}; every good line is as it was"
    for record in done.put_back:
        name = f"request {record.request_id}" if record.request_id else "held for your decision"
        yield f"  job {tame(record.job)}: {record.state.value}, {tame(name)}"
    if done.lost and accept_loss:
        yield (
            f"  {count_text(done.lost, 'line')} that named no job left out, as you accepted; a row"
            " that is pending now may have been submitted before"
        )
    elif done.lost:
        yield "  every row still has a record, so nothing can be submitted twice because of it"


def _compact(args: argparse.Namespace, ref: BatchRef, context: CommandContext) -> int:
    old, new = asyncio.run(_compact_locked(args, locate(ref).newest(), context))
    context.console.confirm(
        f"{old.line:,} lines, {size_text(old.offset)} -> {new.line:,} lines,"
        f" {size_text(new.offset)}; it says the same of every job"
    )
    return 0


async def _compact_locked(
    args: argparse.Namespace, directory: RunDirectory, context: CommandContext
) -> tuple[Position, Position]:
    with await _lock(args, directory, context):
        return compact(directory.path, now=timestamp(context.clock.now_s()))


async def _lock(
    args: argparse.Namespace, directory: RunDirectory, context: CommandContext
) -> RunLock:
    """Lock a directory that has a ledger; without one no lock file is left behind either."""
    require_ledger(directory.path)
    lock_wait = LockWait(if_locked=args.if_locked, context=context)
    return await lock_wait.take(directory) or lock_wait.acquire(directory)


def _show(args: argparse.Namespace, ref: BatchRef, context: CommandContext) -> int:
    directory = locate(ref).newest()
    if args.job is None:
        for record in replay(directory.ledger).index.records():
            if args.json:
                context.console.print_json(record)
            else:
                context.console.print_lines(_line(record, f"{tame(record.job)}  "))
        return 0
    lines = job_lines(directory.path, args.job)
    if not lines:
        raise UsageError(f"{directory}: no job {args.job!r}; status and results.csv list the jobs")
    for raw, record in lines:
        text = escaped(raw.decode("utf-8", "replace")) if args.json else _line(record, "")
        context.console.print_lines(text)
    if not args.json:
        context.console.print_lines(*_end(lines[-1][1]))
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
        facts.append(f"continues as {tame(record.adopted_by)}")
    return f"{tame(record.ts)}  {name}{record.state.value:<11}  {'  '.join(facts)}"


def _end(record: JobRecord) -> Iterator[str]:
    for url in record.outputs:
        yield f"  output {tame(url)}"
    for file in record.files:
        yield f"  file   {tame(file.path)}, {size_text(file.bytes)}, sha256 {tame(file.sha256)}"
    yield f"  reported cost, all attempts: ${record.total_cost_usd:g}"


def _merge(args: argparse.Namespace, context: CommandContext) -> int:
    target = RunDirectory(args.out_dir)
    done = merge(target, [RunDirectory(one) for one in args.run_dirs], context)
    for note in done.notes:
        context.console.say(note)
    shared = f", {done.shared:,} of them in several" if done.shared else ""
    missing = f"; {count_text(done.missing, 'file')} not found" if done.missing else ""
    context.console.confirm(
        f"{target}: {count_text(done.ledgers, 'ledger')}, {count_text(done.jobs, 'job')}{shared};"
        f" {count_text(done.files, 'file')} linked{missing}"
    )
    return 0


_ACTIONS = {"verify": _verify, "repair": _repair, "compact": _compact, "show": _show}
