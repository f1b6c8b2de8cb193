"""The record of what a sandbox received: POSTs per distinct body, calls by answer, most in flight.

For tests, and for users who want to know what a run would have cost. It has fingerprints instead of
tokens. `sandbox.audit` is the live object, `GET /sandbox/audit` the same as JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from batchgen.core.json_reader import JSONValue
from batchgen.sandbox.faults.table import ending_of
from batchgen.sandbox.remote_queue import TicketState

if TYPE_CHECKING:
    from batchgen.sandbox.request_book import Request, RequestBook


@dataclass(slots=True)
class Posts:
    """Submissions of one distinct body that passed the token check."""

    model: str
    prompt: str
    received: int = 0
    """POSTs that arrived whole, whatever the answer."""
    accepted: int = 0
    """Those of them that made a job and were paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRequest:
    """One accepted request as the audit shows it."""

    request_id: str
    model: str
    input: JSONValue
    prompt: str
    token: str
    """Fingerprint, never the token."""
    accepted_at: float
    """Seconds since 1970."""
    state: str
    """in_queue, in_progress, succeeded, failed or cancelled, as of now."""
    attempt: int
    """Counts the accepted jobs of equal bodies, from 1."""
    body: str
    """Key in `posts`."""


@dataclass(slots=True)
class Audit:
    """The counts of one sandbox."""

    book: RequestBook
    clock: Callable[[], float]
    posts: dict[str, Posts] = field(default_factory=dict)
    """By the digest of model and body."""
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    """By endpoint: how often each HTTP status was answered; `closed`: no (whole) answer."""
    tokens_on_files: int = 0
    """Calls of the file route that carried an Authorization header. Must stay 0."""

    def __post_init__(self) -> None:
        """Count the requests that the journal brought back: they were received and accepted."""
        for request in self.book.requests.values():
            posts = self.count_post(request.digest, request.model.entry.model_id, request.prompt)
            posts.accepted += 1

    def count_call(self, endpoint: str, answer: str) -> None:
        """Count one call."""
        self.calls.setdefault(endpoint, Counter())[answer] += 1

    def count_post(self, digest: str, model: str, prompt: str) -> Posts:
        """Count one POST; return the counts of its body."""
        posts = self.posts.setdefault(digest, Posts(model, prompt))
        posts.received += 1
        return posts

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet terminal, as of now."""
        self.book.queue.advance(self.clock())
        return self.book.queue.in_flight

    @property
    def in_flight_high_water(self) -> int:
        """The most requests that ever were in flight at once."""
        return self.book.queue.peak

    @property
    def balance_usd(self) -> float:
        """The rest of the balance."""
        return self.book.balance_microusd / 1_000_000

    @property
    def requests(self) -> list[AuditedRequest]:
        """Every accepted request, oldest first."""
        self.book.queue.advance(self.clock())
        return [_audited(request) for request in self.book.requests.values()]

    def received(self, prompt: str) -> int:
        """Return the number of POSTs of any body with exactly this prompt."""
        return sum(posts.received for posts in self.posts.values() if posts.prompt == prompt)

    def accepted(self, prompt: str) -> int:
        """Return the number of accepted, and so paid, jobs with exactly this prompt."""
        return sum(posts.accepted for posts in self.posts.values() if posts.prompt == prompt)

    def as_json(self) -> dict[str, object]:
        """Return everything, for `GET /sandbox/audit`."""
        return {
            "requests": self.requests,
            "posts": [{"body": digest, **asdict(posts)} for digest, posts in self.posts.items()],
            "calls": self.calls,
            "in_flight": self.in_flight,
            "in_flight_high_water": self.in_flight_high_water,
            "tokens_on_files": self.tokens_on_files,
            "balance_usd": self.balance_usd,
        }


def _audited(request: Request) -> AuditedRequest:
    state = request.ticket.state.value
    if request.ticket.state is TicketState.COMPLETED:
        state = "failed" if ending_of(request.fate).fails else "succeeded"
    return AuditedRequest(
        request_id=request.request_id,
        model=request.model.entry.model_id,
        input=request.accepted.input,
        prompt=request.prompt,
        token=request.accepted.token,
        accepted_at=request.accepted.at,
        state=state,
        attempt=request.attempt,
        body=request.digest,
    )
