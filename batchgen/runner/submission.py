"""One job from its intent to what the API said of it.

The order is the product: intent durable, POST, answer durable, and only then anything else. A
POST leaves once for each intent. What may follow is decided by `core.reading` and
`core.admission`, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from batchgen.core.admission import Admission
from batchgen.core.api_answers import (
    Doubt,
    NoBalance,
    RowRefused,
    SubmitAnswer,
    Submitted,
    TokenRejected,
    TryAgain,
)
from batchgen.core.errors import LocalIOError
from batchgen.core.events import (
    Accepted,
    AnswerLost,
    ErrorKind,
    Event,
    Intended,
    JobError,
    NotAccepted,
    Refused,
)
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import ConcurrencyWindow
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer
from batchgen.runner.reachability import Reachability
from batchgen.runner.spending import SpendingGuard
from batchgen.runner.stopping import Stop
from batchgen.runner.throttling import SubmissionPause
from batchgen.system.crash_points import CrashPoint, reached


class AfterSubmission(Enum):
    """How a submission that was not accepted goes on."""

    AGAIN = auto()
    """Nothing was accepted: the job gets another turn."""
    OVER = auto()
    """Refused, or in doubt."""


_NOT_SENT = TryAgain(
    error=JobError(
        kind=ErrorKind.NOT_ACCEPTED, message="the run was stopped or held before this was sent"
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Submits jobs; shared by all of a run."""

    api: GenerationAPI
    ledger: Ledger
    clock: Clock
    observer: Observer
    gate: SubmissionPause
    window: ConcurrencyWindow
    admission: Admission
    purse: SpendingGuard
    reach: Reachability
    stop: Stop

    async def submit(self, job: Job) -> JobRecord | AfterSubmission:
        """Submit once. The record of the accepted job, or how it goes on.

        Raises `LocalIOError` where the ledger could not be written.
        """
        sent_at_s = self.clock.monotonic_s()
        answer = await self._post(job)
        if isinstance(answer, Submitted):
            reached(CrashPoint.ANSWER_HEARD)
            record = await self._keep(job, answer.request_id)
            reached(CrashPoint.REQUEST_ID_DURABLE)
            self.gate.accepted()
            self.window.accepted()
            self.admission.accepted(job.model)
            return record
        self._react(job, answer, sent_at_s=sent_at_s)
        event = await self._fact(job, answer)
        record = await self._record(job, event)
        if isinstance(event, AnswerLost):
            self.purse.settle(record, job.model)
        else:
            self.purse.release(job.id)
        return AfterSubmission.AGAIN if isinstance(event, NotAccepted) else AfterSubmission.OVER

    async def _post(self, job: Job) -> SubmitAnswer:
        intent = Intended(
            model=job.model,
            input=job.input,
            fingerprint=job.fingerprint,
            price_usd=self.purse.price_usd(job),
        )
        reached(CrashPoint.BEFORE_INTENT)
        await self._record(job, intent)
        reached(CrashPoint.INTENT_DURABLE)
        if self.stop.submissions or self.admission.held:  # since, on its way to the disk
            return _NOT_SENT
        answer = await self.api.submit(job.model, job.input)
        unheard = isinstance(answer, (TryAgain, Doubt)) and answer.error.http_status is None
        (self.reach.silent if unheard else self.reach.heard)()
        return answer

    def _react(self, job: Job, answer: SubmitAnswer, *, sent_at_s: float) -> None:
        """What the answer means for everything else; before anything is awaited."""
        match answer:
            case Doubt(error=error):
                self.admission.lost(job.model, error.kind)
            case TokenRejected(error=error):
                self.observer.on_note(f"the API rejected the token: {error.message}")
                self.stop.request(StopReason.TOKEN)
            case NoBalance(error=error):
                self.observer.on_note(f"the balance is exhausted: {error.message}")
                self.stop.request(StopReason.BALANCE)
            case TryAgain() if answer is not _NOT_SENT:
                if answer.error.http_status == 429:
                    self.window.turned_away()
                self.gate.turned_away(sent_at_s=sent_at_s, retry_after_s=answer.retry_after_s)

    async def _fact(self, job: Job, answer: SubmitAnswer) -> Event:
        if isinstance(answer, RowRefused) and await self._is_withdrawn(job.model, answer.error):
            self.admission.withdrawn(job.model)
            return NotAccepted(error=answer.error)
        return _FACTS[type(answer)](answer)

    async def _is_withdrawn(self, model: str, error: JobError) -> bool:
        """A 404 is about the model only where the catalogue does not know it either."""
        return error.http_status == 404 and await self.api.has_model(model) is False

    async def _keep(self, job: Job, request_id: str) -> JobRecord:
        try:
            return await self._record(job, Accepted(request_id=request_id))
        except LocalIOError:
            # The one place where a paid job could be lost: say its name where a person sees it.
            self.observer.on_note(
                f"job {job.id!r} was accepted as request {request_id} and could not be written"
                f" to the ledger; keep this line: batchgen resolve --job {job.id}"
                f" --request-id {request_id}"
            )
            raise

    async def _record(self, job: Job, event: Event) -> JobRecord:
        record = await self.ledger.record(job.id, event)
        self.observer.on_event(job.id, event, record)
        return record


_FACTS: dict[type, Callable[..., Event]] = {
    TryAgain: lambda answer: NotAccepted(error=answer.error),
    TokenRejected: lambda answer: NotAccepted(error=answer.error),
    NoBalance: lambda answer: NotAccepted(error=answer.error),
    RowRefused: lambda answer: Refused(error=answer.error),
    Doubt: lambda answer: AnswerLost(error=answer.error),
}
