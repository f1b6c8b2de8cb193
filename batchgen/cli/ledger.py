"""`batchgen ledger verify|repair|compact|show`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

import msgspec

from batchgen.app import upkeep
from batchgen.app.options import Target
from batchgen.cli.target import target_of, turn_of
from batchgen.cli.terminal import tame
from batchgen.core.errors import LedgerError
from batchgen.core.lifecycle import JobRecord
from batchgen.core.quantities import count_text, size_text

SHOWN = 20
"""Faults that are written out; `--json` has all."""
BAD_FILES = 1


def handle(args: argparse.Namespace) -> int:
    """One of the four; its exit code."""
    return _ACTIONS[args.action](args, target_of(args))


def _verify(args: argparse.Namespace, target: Target) -> int:
    found = upkeep.verify(target, files=args.files)
    print(_encoded(_findings(found)) if args.json else "\n".join(_verified(found, target)))
    if found.examination.faults:
        return LedgerError.exit_code
    return BAD_FILES if found.bad_files else 0


def _verified(found: upkeep.Verified, target: Target) -> Iterator[str]:
    one = found.examination
    run_dir = one.path.parent
    size = size_text(one.position.offset)
    lines = count_text(one.position.line, "line")
    yield f"{one.path}: {lines}, {count_text(len(one.memory), 'job')}, {size}"
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


def _verified_files(found: upkeep.Verified, manifest: str) -> Iterator[str]:
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


def _findings(found: upkeep.Verified) -> dict[str, object]:
    one = found.examination
    return {
        "path": str(one.path),
        "lines": one.position.line,
        "jobs": len(one.memory),
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


def _repair(args: argparse.Namespace, target: Target) -> int:
    done = asyncio.run(upkeep.mend(target, turn_of(args), accept_loss=args.accept_loss))
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


def _compact(args: argparse.Namespace, target: Target) -> int:
    done = asyncio.run(upkeep.shorten(target, turn_of(args)))
    print(
        f"{done.lines_before:,} lines, {size_text(done.bytes_before)}"
        f" -> {done.lines:,} lines, {size_text(done.bytes)}; it says the same of every job"
    )
    return 0


def _show(args: argparse.Namespace, target: Target) -> int:
    if args.job is None:
        for record in upkeep.present(target):
            print(_encoded(record) if args.json else _line(record, f"{tame(record.job)}  "))
        return 0
    told = upkeep.story(target, args.job)
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
