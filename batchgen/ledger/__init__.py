"""The ledger of a run directory: `ledger.jsonl`, its lock, its reading and its one writer.

    run_ledger     the port that the runner uses: apply an event, make it durable
    group_commit   lines to disk: many appends share one fsync, off the event loop
    disk_reserve   the room that is set aside for a full disk
    replay         the reading of a ledger
    record_index   the offset of the last line of each job, and the reader of lines
    lock           one process at a time, and who that is
    damage         everything that is wrong with a ledger
    repair         bad lines set aside, and what they say about money put back
    compact        a shorter ledger that says the same

A ledger is read to its end before anything is appended to it.
"""
