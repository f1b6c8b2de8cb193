"""Reading in the loop and in threads at the same time, without disturbing each other."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import pytest

from batchgen.app.spool import Spool, SpooledRow
from batchgen.core.events import Intended
from batchgen.ledger.replay import replay
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory

ROWS = 3_000


@pytest.fixture(autouse=True)
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_passes_over_the_rows_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Row by row in turns, and in several threads: each pass sees every row once, in order."""
    spool = Spool(tmp_path)
    names = [f"j{n}" + "x" * (n % 300) for n in range(ROWS)]
    for name in names:
        spool.add(SpooledRow(name, "a/b", {"prompt": name}, "m.csv", 1, {}))

    in_turns = list(zip_longest(spool.jobs(), spool.jobs()))
    with ThreadPoolExecutor(4) as pool:
        passes = list(pool.map(lambda _: [job.id for job in spool.jobs()], range(8)))

    assert [(one.id, other.id) for one, other in in_turns] == list(zip(names, names, strict=True))
    assert all(found == names for found in passes)
    spool.close()


def test_records_read_in_two_threads_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """Never the record of another job, however the reads interleave."""
    names = [f"j{n}" + "x" * (n * 37 % 500) for n in range(ROWS)]

    async def write() -> None:
        ledger = RunLedger.open(tmp_path, api="https://a", clock=SystemClock())
        intent = Intended(model="a/b", input={"prompt": "x"}, fingerprint="f")
        await asyncio.gather(*(ledger.record(name, intent) for name in names))
        await ledger.close()

    asyncio.run(write())
    index = replay(RunDirectory(tmp_path).ledger).index

    def read(step: int) -> bool:
        chosen = names[::step] * 3
        return all((found := index.get(name)) and found.job == name for name in chosen)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, (1, -1, 7, -11, 3, -2, 1, -1)))
