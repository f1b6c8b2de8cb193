"""The ledger against a plain dict: append, crash, reopen, compact, in any order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from batchgen.core.lifecycle import PAID_FOR, JobRecord, JobState
from batchgen.ledger.compact import compact
from batchgen.ledger.replay import replay
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory
from tests.ledger.histories import API, JOBS, possible_events

jobs = st.sampled_from(JOBS)
fingerprints = st.sampled_from(["f1", "f2", "f3"])


class LedgerMachine(RuleBasedStateMachine):
    """A ledger with its model: `known` and `made` are what the ledger must say at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run_dir = Path(tempfile.mkdtemp())
        self.path = RunDirectory(self.run_dir).ledger
        self.known: dict[str, JobRecord] = {}
        self.made: dict[tuple[str, str], JobRecord] = {}
        self.fresh = 0
        self.ledger = self.open_ledger()

    def open_ledger(self) -> RunLedger:
        async def main() -> RunLedger:
            return RunLedger.open(self.run_dir, api=API, clock=SystemClock())

        return self.runner.run(main())

    def run(self, work: Any) -> Any:
        async def main() -> Any:
            return await work

        return self.runner.run(main())

    def add(self, record: JobRecord) -> None:
        before = self.known.get(record.job)
        paid = before is not None and before.state in PAID_FOR
        if before is not None and paid and before.fingerprint != record.fingerprint:
            self.made[before.job, before.fingerprint] = before
        self.known[record.job] = record

    @rule(job=jobs, choice=st.integers(0, 5), fingerprint=fingerprints)
    def something_happens(self, job: str, choice: int, fingerprint: str) -> None:
        possible = possible_events(self.known.get(job), fingerprint, self.fresh)
        if possible:
            after, event = possible[choice % len(possible)]
            self.fresh += 1
            record = self.run(self.ledger.record(job, event))
            assert record.state == after
            self.add(record)

    @rule(job=jobs, fingerprint=fingerprints)
    def a_row_goes_back(self, job: str, fingerprint: str) -> None:
        made = self.made.get((job, fingerprint))
        in_flight = ("submitting", "in_queue", "in_progress")
        if made is not None and job in self.known and self.known[job].state not in in_flight:
            self.add(self.run(self.ledger.restore(made)))

    @rule(old=jobs, new=jobs)
    def a_row_gets_an_id(self, old: str, new: str) -> None:
        record = self.known.get(old)
        if record is None or new in self.known:
            return
        self.run(self.ledger.adopt(old, new))
        taken = self.ledger.get(new)
        assert taken is not None
        assert taken.request_id == record.request_id
        del self.known[old]
        self.add(taken)

    @rule()
    def the_run_ends(self) -> None:
        self.run(self.ledger.close())
        self.ledger = self.open_ledger()

    @rule(data=st.data())
    def a_crash_tears_the_last_line(self, data: st.DataObject) -> None:
        """What was acknowledged stays; half of a line that was being written is cut."""
        job = data.draw(jobs)
        line = b'{"ts":"2026","job":"' + job.encode() + b'","state":"downloaded"'
        torn = line[: data.draw(st.integers(1, len(line)))]
        self.run(self.ledger.close())  # after the draws, which may end this example
        with self.path.open("ab") as file:
            file.write(torn)
        self.ledger = self.open_ledger()
        assert self.ledger.notes

    @rule()
    def the_ledger_is_compacted(self) -> None:
        self.run(self.ledger.close())
        before = self.path.read_bytes().splitlines()
        compact(self.run_dir, now="2026-11-22T02:00:00.000Z")
        after = self.path.read_bytes().splitlines()
        rest = iter(before)
        assert all(line in rest for line in after), "lines of the old ledger, in their order"
        self.ledger = self.open_ledger()

    @invariant()
    def it_knows_what_was_put_in(self) -> None:
        for index in (self.ledger, replay(self.path).index):
            assert {record.job: record for record in index.records()} == self.known
            for state in JobState:
                found = {record.job for record in index.records(state)}
                assert found == {r.job for r in self.known.values() if r.state is state}
            for (job, fingerprint), record in self.made.items():
                assert index.made_before(job, fingerprint) == record

    def teardown(self) -> None:
        self.run(self.ledger.close())
        self.runner.close()
        shutil.rmtree(self.run_dir)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
