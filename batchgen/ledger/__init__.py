"""The ledger of a run directory: `ledger.jsonl`, its lock, its reading and its one writer.

    run_ledger     the port that the runner uses: apply an event, make it durable
    group_commit   lines to disk: many appends share one fsync, off the event loop
    disk_reserve   the room that is set aside for a full disk
    replay         the reading of a ledger
    record_index   the offset of the last line of each job, and the reader of lines
    torn_tail      the cut of a torn last line
    lock           one process at a time, and who that is
    damage         everything that is wrong with a ledger
    repair         bad lines set aside, and what they say about money put back
    compact        a shorter ledger that says the same

A ledger is read to its end before anything is appended to it.
"""

from __future__ import annotations

from batchgen.ledger.lock import LockHolder, ProcessState, RunLock, holder_in
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.replay import (
    begun_at,
    follow,
    inputs_of,
    owners_of_request,
    replay,
    require_ledger,
)
from batchgen.ledger.run_ledger import RunLedger

__all__ = [
    "LockHolder",
    "ProcessState",
    "RecordIndex",
    "RunLedger",
    "RunLock",
    "begun_at",
    "follow",
    "holder_in",
    "inputs_of",
    "owners_of_request",
    "replay",
    "require_ledger",
]
