"""The request ids of a ledger: all that were added are found, and no others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.events import Accepted, Failed, Intended, JobError
from batchgen.ledger.request_ids import MERGE_FROM, SLOTS, RequestIds
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.clock import SystemClock

IDS = st.sampled_from([f"r{n}" for n in range(30)])


@given(st.lists(st.tuples(st.booleans(), IDS)))
def test_what_was_added_is_known_whenever_it_is_asked_for(steps: list[tuple[bool, str]]) -> None:
    """Additions and questions in any order, the same id as often as one likes."""
    ids, added = RequestIds(), set()
    for adds, one in steps:
        if adds:
            ids.add(one)
            added.add(one)
        else:
            assert (one in ids) == (one in added)


def test_ids_beyond_every_limit_stay_known() -> None:
    """Before the first question and after it, when the new ones have been sorted in twice."""
    ids, read, new = RequestIds(), 3 * SLOTS, 3 * MERGE_FROM
    for n in range(read):
        ids.add(f"read-{n}")
    for n in range(new):
        assert f"new-{n}" not in ids
        ids.add(f"new-{n}")

    assert all(f"read-{n}" in ids for n in range(read))
    assert all(f"new-{n}" in ids for n in range(new))
    assert "another" not in ids


def test_a_ledger_that_is_opened_again_knows_the_requests_of_every_attempt(tmp_path: Path) -> None:
    """The last line of a job has only the last of them."""
    intent = Intended(model="m/m", input={}, fingerprint="f")
    failed = Failed(error=JobError(kind="generation", message="boom"))

    async def story() -> list[bool]:
        ledger = RunLedger.open(tmp_path, api=None, clock=SystemClock())
        for request_id in ("r1", "r2", "r3"):
            for event in (intent, Accepted(request_id=request_id), failed):
                await ledger.record("a", event)
        await ledger.close()
        again = RunLedger.open(tmp_path, api=None, clock=SystemClock())
        known = [again.knows_request(one) for one in ("r1", "r2", "r3", "r4")]
        await again.close()
        return known

    assert asyncio.run(story()) == [True, True, True, False]
