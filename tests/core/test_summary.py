"""Totals over many jobs, how a run that left them like this ends, and the time left."""

from __future__ import annotations

import random

import pytest

from batchgen.core.events import JobError, OutputFile
from batchgen.core.exit_codes import exit_code
from batchgen.core.lifecycle import JobRecord, JobState, adopted
from batchgen.core.plan import Plan, Policy, disposition
from batchgen.core.summary import LiveSummary
from batchgen.core.time_left import time_left_s
from tests.kit.totals import summarise

TS = "2026-11-22T02:00:01.123Z"


@pytest.mark.parametrize(
    ("ended", "left", "begun_s", "expected_s"),
    [
        ([], 5, None, None),
        ([100.0], 5, None, None),
        ([90.0, 100.0], 0, None, None),
        ([80.0, 90.0, 100.0], 6, None, 40.0),
        ([float(n) for n in range(-900, 101)], 10, None, 9.9),
        ([-2000.0, -1990.0], 5, None, None),
        ([], 5, 0.0, None),
        ([99.0, 100.0], 6, 0.0, 300.0),
        ([-1990.0], 5, -2000.0, 10_500.0),
        ([float(n) for n in range(-900, 101)], 10, -5000.0, 9.9),
    ],
)
def test_the_time_left_is_at_the_pace_of_the_last_ends(
    ended: list[float], left: int, begun_s: float | None, expected_s: float | None
) -> None:
    """Of a hundred ends at most; the begin of a run that is active counts while there are fewer.

    Without such a run, a batch in which nothing ends any more has no time left.
    """
    assert time_left_s(ended, left, now_s=100.0, begun_s=begun_s) == (
        None if expected_s is None else pytest.approx(expected_s)
    )


def test_the_oldest_that_waits_for_its_download_counts() -> None:
    """Of those that are completed; what was downloaded or failed does not wait."""
    ends = [
        (JobState.COMPLETED, "2026-11-20T02:00:00.000Z"),
        (JobState.COMPLETED, "2026-11-18T02:00:00.000Z"),
        (JobState.DOWNLOADED, "2026-11-01T02:00:00.000Z"),
    ]

    found = summarise(
        JobRecord(ts=TS, job=end, state=state, finished_at=end) for state, end in ends
    )

    assert found.oldest_uncollected == "2026-11-18T02:00:00.000Z"


def test_a_live_summary_is_that_of_the_whole_ledger_and_ends_like_the_run() -> None:
    """After each line of a random ledger: the same totals, and the exit code of a run's plan.

    With edited rows, rows that have gone, adopted jobs, and states of a later version.
    """
    rng = random.Random(20261126)
    rows = {f"j{n}": "f" for n in range(4)}
    for policy in (Policy(), Policy(download=False), Policy(resubmit_doubts=True)):
        for _ in range(300):
            records: dict[str, JobRecord] = {}
            live = LiveSummary(rows, policy, invalid=2)
            for _ in range(12):
                record = _any_record(rng)
                records[record.job] = record
                live.take(record)
                if rng.random() < 0.1:
                    _, left = adopted(records.pop(record.job), job="other", ts=TS)
                    live.take(left)

                plan = _plan(rows, records, policy)
                gone = (records[job] for job in records.keys() - rows.keys())
                assert live.summary == summarise([*map(records.get, rows), *gone], invalid=2)
                assert (live.left, live.exit_code) == (
                    plan.work_left,
                    exit_code((), plan, invalid=2),
                )


def _plan(rows: dict[str, str], records: dict[str, JobRecord], policy: Policy) -> Plan:
    """The plan after a run."""
    plan = Plan()
    for job, fingerprint in rows.items():
        plan.add(disposition(records.get(job), policy, fingerprint=fingerprint))
    for job in records.keys() - rows.keys():
        plan.removed[disposition(records[job], policy, fingerprint=None)] += 1
    return plan


def _any_record(rng: random.Random) -> JobRecord:
    return JobRecord(
        ts=TS, job=f"j{rng.randrange(6)}",
        # Mostly states that end well, so that every exit code occurs.
        state=rng.choice([*JobState, *[JobState.DOWNLOADED] * 30]),
        attempt=rng.choice((1, 3)), fingerprint=rng.choice(("f",) * 9 + ("edited",)),
        cost_usd=rng.choice((None, 0.5)),
        files=(OutputFile(path="x", bytes=7, sha256=""),) * rng.randrange(3),
        error=rng.choice((None, JobError(kind="generation", message="m"))),
        finished_at=rng.choice((None, TS)),
        granted=rng.random() < 0.1, given_up=rng.random() < 0.3,
    )  # fmt: skip
