"""Merging ledgers, over random histories: what was paid stays known, and nothing twice unnoticed.

Ledgers begin empty, are copied, and go on apart, as directories on two machines do. An account of
every POST says what a merge may do.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgen.core.errors import PaidFor
from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Attached,
    Event,
    Failed,
    GivenUp,
    Granted,
    Intended,
    JobError,
    NotAccepted,
    OutputFile,
    Refused,
    Saved,
    Succeeded,
)
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.lifecycle import PAID_FOR, IllegalTransition, JobRecord, JobState, apply
from batchgen.ledger.merge import LedgerMerge, MergeInput
from batchgen.ledger.replay import replay
from batchgen.system.run_directory import RunDirectory

JOBS, INPUTS, DIRECTORIES = ("fox", "owl"), ("a fox", "an owl"), 3
WHY = JobError(kind="content", message="no")
ALIVE = {
    JobState.IN_QUEUE, JobState.IN_PROGRESS, JobState.IN_DOUBT, JobState.SUBMITTING, *PAID_FOR,
}  # fmt: skip
COURSES = {
    "done": ("intend", "accept", "succeed", "save"),
    "not downloaded": ("intend", "accept", "succeed"),
    "in flight": ("intend", "accept"),
    "ends": ("succeed", "save"),
    "completes": ("succeed",),
    "breaks": ("fail",),
    "failed": ("intend", "accept", "fail"),
    "killed": ("intend",),
    "in doubt": ("intend", "lose"),
    "turned away": ("intend", "turn away"),
    "refused": ("intend", "refuse"),
    "granted": ("grant",),
    "found": ("attach",),
    "given up": ("give up",),
}
"""What may happen to a job until a machine stops; a course ends at what the lifecycle refuses."""


@dataclass
class Machine:
    """One directory on one machine."""

    lines: list[bytes] = field(default_factory=list)
    records: dict[str, JobRecord] = field(default_factory=dict)
    posts: set[str] = field(default_factory=set)
    """What each POST was called by the moment of its intent."""


@dataclass
class History:
    """Machines that copy one another's directory and go on."""

    machines: list[Machine] = field(default_factory=lambda: [Machine() for _ in range(DIRECTORIES)])
    clock: int = 0
    costs: dict[str, float] = field(default_factory=dict)
    """What each POST has cost, by the moment of its intent."""

    def now(self) -> str:
        self.clock += 1
        return f"2026-11-27T10:{self.clock // 60:02}:{self.clock % 60:02}.000Z"

    def go_on(self, number: int, job: str, text: str, course: str) -> None:
        """Let one machine go on with a job."""
        for word in COURSES[course]:
            if not self.step(number, job, text, word):
                return

    def step(self, number: int, job: str, text: str, word: str) -> bool:
        """Let one machine record one event; False if the lifecycle does not allow it."""
        machine, ts = self.machines[number], self.now()
        record = machine.records.get(job)
        try:
            new = apply(record, self.event(word, text, record), job=job, ts=ts)
        except IllegalTransition:
            return False
        if word == "intend":
            machine.posts.add(ts)
        if word in ("succeed", "fail") and new.submitted_at is not None:
            self.costs[new.submitted_at] = 0.03
        machine.records[job] = new
        values = {"prompt": text} if word == "intend" else None
        machine.lines.append(encode(new, model="m/m", values=values))
        return True

    def event(self, word: str, text: str, record: JobRecord | None) -> Event:
        """Return the event that a word stands for."""
        name = f"r{self.clock}"
        is_redo = record is not None and record.state is JobState.DOWNLOADED
        take = record.take + is_redo if record and record.fingerprint == text else 1
        events: dict[str, Event] = {
            "intend": Intended(
                model="m/m", input={}, fingerprint=text, price_usd=0.04, take=take,
            ),
            "accept": Accepted(request_id=name),
            "turn away": NotAccepted(error=JobError(kind="not_accepted", message="no")),
            "lose": AnswerLost(error=WHY),
            "refuse": Refused(error=JobError(kind="refused", message="no")),
            "succeed": Succeeded(outputs=(f"https://x/{name}",), cost_usd=0.03),
            "fail": Failed(error=WHY, cost_usd=0.03),
            "save": Saved(files=(OutputFile(path=f"outputs/{name}", bytes=1, sha256="0"),)),
            "grant": Granted(),
            "attach": Attached(request_id=name),
            "give up": GivenUp(),
        }  # fmt: skip
        return events[word]

    def copy(self, source: int, target: int) -> None:
        """Replace one directory by a copy of another; what it had stays on no machine."""
        one = self.machines[source]
        self.machines[target] = Machine([*one.lines], dict(one.records), set(one.posts))

    def written(self, top: Path) -> list[RunDirectory]:
        """Write every ledger that has lines."""
        made = []
        for number, machine in enumerate(self.machines):
            directory = RunDirectory(top / f"{number}.run")
            directory.create()
            header = encode_header(api="http://127.0.0.1", created="2026-11-27T00:00:00.000Z")
            directory.ledger.write_bytes(header + b"".join(machine.lines))
            made.append(directory)
        return made


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.integers(0, DIRECTORIES - 1), st.sampled_from(JOBS), st.sampled_from(INPUTS),
            st.sampled_from(sorted(COURSES)),
        ),
        st.tuples(st.integers(0, DIRECTORIES - 1), st.integers(0, DIRECTORIES - 1)),
    ),
    max_size=14,
)  # fmt: skip


@given(STEPS)
@example([(0, "fox", "a fox", "done"), (0, 1), (1, "fox", "a fox", "failed")])
@example([(0, "fox", "a fox", "done"), (0, "fox", "a fox", "failed"), (1, "fox", "a fox", "done")])
@example(
    [
        (0, "fox", "a fox", "in flight"),
        (0, 1),
        (1, "fox", "a fox", "completes"),
        (0, "fox", "a fox", "ends"),
        (1, "fox", "a fox", "breaks"),
    ]
)
@example(
    [
        (0, "fox", "a fox", "in flight"),
        (0, 1),
        (0, "fox", "a fox", "completes"),
        (1, "fox", "a fox", "ends"),
    ]
)
@example([(1, "fox", "a fox", "done"), (2, "fox", "a fox", "failed"), (0, "fox", "an owl", "done")])
@settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
def test_a_merge_forgets_nothing_that_was_paid(steps: list[tuple[object, ...]]) -> None:
    """It is refused, or its ledger has every paid output and every cost of every ledger."""
    history = History()
    for step in steps:
        (history.go_on if len(step) == 4 else history.copy)(*step)  # type: ignore[arg-type]
    top = Path(tempfile.mkdtemp())
    try:
        check_merge(history, history.written(top), RunDirectory(top / "all.run"))
    finally:
        shutil.rmtree(top)


def check_merge(history: History, inputs: list[RunDirectory], target: RunDirectory) -> None:
    """Merge the directories, and compare with the account."""
    try:
        merge = LedgerMerge.of([MergeInput.read(one) for one in inputs])
    except PaidFor:
        assert unexplained(history), "refused, although every POST is known to the other ledger"
        assert not target.ledger.exists()
        return
    target.create()
    merge.write(target, [str] * len(inputs), created="2026-11-27T00:00:00.000Z")
    index = replay(target.ledger).index
    assert not unexplained(history), "merged, although one job was paid for in two ledgers"
    for job in JOBS:
        records = [one.records[job] for one in history.machines if job in one.records]
        found = index.get(job)
        if not records:
            assert found is None
            continue
        assert found is not None
        if (newest := goes_on_from_all(history, job)) is not None:
            assert found.ts == newest.ts, "a copy that went on is not what counts"
        if len({one.submitted_at for one in records}) == 1:
            assert found.ts == max(one.ts for one in records), "of one POST, the last news count"
        paid = {one.fingerprint for one in records if one.state in PAID_FOR}
        for text in paid - {found.fingerprint}:
            assert index.made_before(job, text) is not None, "an earlier output is forgotten"
        if alive_and_unchanged(history, job):
            assert found.state in ALIVE, "what may still give an output is forgotten"
        spent = {charge.at for one in records for charge in one.all_charges if charge.reported}
        told = {charge.at for charge in found.all_charges if charge.reported}
        assert spent == told
        assert found.total_cost_usd == pytest.approx(0.03 * len(spent))
    again = LedgerMerge.of([MergeInput.read(one) for one in (target, *inputs)])
    before = target.ledger.read_bytes()
    again.write(target, [str] * (len(inputs) + 1), created="2026-11-27T00:00:00.000Z")
    assert target.ledger.read_bytes() == before, "merging the same ledgers again changes nothing"


def goes_on_from_all(history: History, job: str) -> JobRecord | None:
    """Return the record of a machine that has everything that the others know of a job."""
    known = [one for one in history.machines if job in one.records]
    lines = [{line for line in one.lines if f'"job":"{job}"'.encode() in line} for one in known]
    everything = set().union(*lines)
    return next(
        (
            one.records[job]
            for one, own in zip(known, lines, strict=True)
            if own == everything
        ),
        None,
    )  # fmt: skip


def alive_and_unchanged(history: History, job: str) -> bool:
    """Tell whether a POST may still give an output, and no other machine knows better."""
    for one in history.machines:
        record = one.records.get(job)
        if record is None or record.state not in ALIVE or record.submitted_at is None:
            continue
        others = [other for other in history.machines if record.submitted_at in other.posts]
        if all(
            (known := other.records[job]).state in ALIVE
            and known.submitted_at == record.submitted_at
            for other in others
        ):
            return True
    return False


def unexplained(history: History) -> bool:
    """Tell whether two machines have each a paid POST of one job and input that is only theirs."""
    for number, one in enumerate(history.machines):
        for other in history.machines[number + 1 :]:
            for job, text in ((job, text) for job in JOBS for text in INPUTS):
                own = _alive(one, job, text) - other.posts
                theirs = _alive(other, job, text) - one.posts
                if own and theirs:
                    return True
    return False


def _alive(machine: Machine, job: str, text: str) -> set[str]:
    """Return the POSTs of a job and input that have an output or may have one."""
    index = _index_of(machine)
    found = set()
    record = machine.records.get(job)
    if record and record.fingerprint == text and record.state in ALIVE and not record.given_up:
        found.add(record.submitted_at or "")
    made = index.made_before(job, text) if record and record.fingerprint != text else None
    if made is not None and made.state in PAID_FOR:
        found.add(made.submitted_at or "")
    for one in (record, made):
        if one is not None and one.fingerprint == text:
            ended = (take for take in one.takes if take.ended in PAID_FOR)
            found.update(take.submitted_at or "" for take in ended)
    return found


def _index_of(machine: Machine):  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.jsonl"
        header = encode_header(api=None, created="2026-11-27T00:00:00.000Z")
        path.write_bytes(header + b"".join(machine.lines))
        return replay(path).index
