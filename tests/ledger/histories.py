"""Ledgers that a run could have written, for tests that damage, cut and compact them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Attached,
    Cancelled,
    Event,
    Failed,
    FilesLost,
    GivenUp,
    Granted,
    Intended,
    JobError,
    NotAccepted,
    OutputFile,
    Refused,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.ledger_codec import encode, encode_header
from batchgen.core.lifecycle import PAID_FOR, TRANSITIONS, JobRecord, JobState, apply
from batchgen.core.units import timestamp

API = "https://model-api.runcomfy.net"
ERROR = JobError(kind="generation", message="it went wrong")
JOBS = ("a", "b", "Fuchs im Schnee", 'quo"te\\d')


def intent(fingerprint: str) -> Intended:
    """Return the intent of a row with this input."""
    return Intended(model="a/b", input={"prompt": "x"}, fingerprint=fingerprint, price_usd=0.03)


def possible_events(
    record: JobRecord | None, fingerprint: str, fresh: int
) -> list[tuple[JobState, Event]]:
    """Return the next state and event for each event that is allowed, with values of its own."""
    facts: dict[type, Event] = {
        Intended: intent(fingerprint),
        Accepted: Accepted(request_id=f"r-{fresh}"),
        NotAccepted: NotAccepted(error=ERROR),
        Refused: Refused(error=JobError(kind="refused", message="no")),
        AnswerLost: AnswerLost(error=JobError(kind="lost_answer", message="gone")),
        Started: Started(),
        Succeeded: Succeeded(outputs=(f"https://x/{fresh}",), cost_usd=0.02),
        Failed: Failed(error=ERROR, cost_usd=0.01),
        Cancelled: Cancelled(),
        Saved: Saved(files=(OutputFile(path=f"o/{fresh}.png", bytes=1, sha256="0"),)),
        Attached: Attached(request_id=f"r-{fresh}"),
        GivenUp: GivenUp(),
        Granted: Granted(),
        FilesLost: FilesLost(),
    }
    state = record.state if record else JobState.PENDING
    paid = record is not None and record.state in PAID_FOR and record.fingerprint == fingerprint
    return [
        (after, facts[kind])
        for kind, after in TRANSITIONS[state].items()
        if kind in facts and not (kind is Intended and paid)
        if record is not None or kind is Intended
    ]


@dataclass
class History:
    """A ledger that is being written, in memory."""

    lines: list[bytes] = field(
        default_factory=lambda: [encode_header(api=API, created=timestamp(1.8e9))]
    )
    known: dict[str, JobRecord] = field(default_factory=dict)
    fresh: int = 0

    def add_event(self, job: str, choice: int, fingerprint: str) -> None:
        """Add one of the events that are possible."""
        possible = possible_events(self.known.get(job), fingerprint, self.fresh)
        if not possible:
            return
        _, event = possible[choice % len(possible)]
        self.fresh += 1
        ts = timestamp(1.8e9 + self.fresh)
        record = self.known[job] = apply(self.known.get(job), event, job=job, ts=ts)
        is_intent = isinstance(event, Intended)
        self.lines.append(
            encode(record, model="a/b", values={"prompt": "x"}) if is_intent else encode(record)
        )

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)


steps = st.tuples(
    st.sampled_from(JOBS), st.integers(0, 5), st.sampled_from(["f1", "f1", "f1", "f2"])
)


def history_of(chosen: Sequence[tuple[str, int, str]]) -> History:
    """Return the ledger after these steps."""
    history = History()
    for job, choice, fingerprint in chosen:
        history.add_event(job, choice, fingerprint)
    return history


histories: st.SearchStrategy[History] = st.lists(steps, min_size=1, max_size=30).map(history_of)


def events_of_a_job() -> Iterator[tuple[str, Event]]:
    """Yield the states and events of a job from its row to its file."""
    yield "submitting", intent("f1")
    yield "in_queue", Accepted(request_id="r-1")
    yield "in_progress", Started()
    yield "completed", Succeeded(outputs=("https://x/1",), cost_usd=0.02)
    yield "downloaded", Saved(files=(OutputFile(path="o/1.png", bytes=1, sha256="0"),))
