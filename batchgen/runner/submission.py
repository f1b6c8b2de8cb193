"""One job from its intent to what the API said of it.

The order is the product: intent durable, POST, answer durable, and only then anything else. A
POST leaves once for each intent. What may follow is decided by `core.answers`, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchgen.core.answers import (
    Doubt,
    NoBalance,
    RowRefused,
    Submitted,
    TokenRejected,
    TryAgain,
)
from batchgen.core.endings import StopReason
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
from batchgen.ports import Clock, GenerationAPI, Ledger, Observer
from batchgen.runner.gate import Gate
from batchgen.runner.reach import Reach
from batchgen.runner.stopping import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Submits jobs; shared by all of a run."""

    api: GenerationAPI
    ledger: Ledger
    clock: Clock
    observer: Observer
    gate: Gate
    reach: Reach
    stop: Stop

    async def submit(self, job: Job) -> JobRecord | None:
        """The record of the accepted job; None where there is nothing to wait for.

        Raises `LocalIOError` where the ledger could not be written.
        """
        while not self.stop.submissions:
            if wait_s := self.gate.wait_s:
                await self.clock.sleep(min(wait_s, 1.0))  # in steps: a stop must be seen
                continue
            sent_at_s = self.clock.monotonic_s()
            answer = await self._post(job)
            if isinstance(answer, Submitted):
                self.gate.accepted()
                return await self._keep(job, answer.request_id)
            await self._record(job, _fact(answer))
            if not isinstance(answer, TryAgain):
                self._stop_for(answer)
                return None
            self.gate.turned_away(sent_at_s=sent_at_s, retry_after_s=answer.retry_after_s)
        return None

    async def _post(
        self, job: Job
    ) -> Submitted | TryAgain | RowRefused | Doubt | TokenRejected | NoBalance:
        intent = Intended(model=job.model, input=job.input, fingerprint=job.fingerprint)
        await self._record(job, intent)
        if self.stop.submissions:  # while the intent was on its way to the disk
            message = "the run was stopped before this submission was sent"
            return TryAgain(error=JobError(kind=ErrorKind.NOT_ACCEPTED, message=message))
        answer = await self.api.submit(job.model, job.input)
        unheard = isinstance(answer, (TryAgain, Doubt)) and answer.error.http_status is None
        (self.reach.silent if unheard else self.reach.heard)()
        return answer

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

    def _stop_for(self, answer: RowRefused | Doubt | TokenRejected | NoBalance) -> None:
        if isinstance(answer, TokenRejected):
            self.observer.on_note(f"the API rejected the token: {answer.error.message}")
            self.stop.request(StopReason.TOKEN)
        elif isinstance(answer, NoBalance):
            self.observer.on_note(f"the balance is exhausted: {answer.error.message}")
            self.stop.request(StopReason.BALANCE)


_FACTS: dict[type, Callable[[JobError], Event]] = {
    TryAgain: lambda error: NotAccepted(error=error),
    TokenRejected: lambda error: NotAccepted(error=error),
    NoBalance: lambda error: NotAccepted(error=error),
    RowRefused: lambda error: Refused(error=error),
    Doubt: lambda error: AnswerLost(error=error),
}


def _fact(answer: TryAgain | RowRefused | Doubt | TokenRejected | NoBalance) -> Event:
    return _FACTS[type(answer)](answer.error)
