"""The ledger of a run directory: `ledger.jsonl`, its lock, its replay, its one writer.

    lock     one process at a time; the kernel lets go when it dies
    holder   who that is, for people and onlookers
    lines    the file, by offsets
    replay   bytes on disk -> records, and how far they are good
    memory   where the present record of each job stands, and what was made before
    tail     what a crash left behind the last newline
    commit   lines -> disk; many appends share one fsync, off the event loop
    reserve  room that is set aside for answers to what was paid for
    book     the port that the runner sees: fold an event, make it durable
    faults   what is wrong with a ledger
    repair, compact, story   mend it, shorten it, tell the life of one job

A ledger is read to its end before it is appended to. Readers need no lock: a line that is being
written is to them a torn tail, which they leave alone.
"""

from __future__ import annotations

from batchgen.ledger.lock import LOCK_NAME, LockHolder, ProcessState, RunLock, holder_in
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.replay import LEDGER_NAME, Replay, follow, replay
from batchgen.ledger.run_ledger import RunLedger

__all__ = [
    "LEDGER_NAME",
    "LOCK_NAME",
    "LockHolder",
    "ProcessState",
    "RecordIndex",
    "Replay",
    "RunLedger",
    "RunLock",
    "follow",
    "holder_in",
    "replay",
]
