"""One job from its intent to the API's answer, and the probe after a lost answer.

The order is the product: intent durable, POST, answer durable, and only then anything else. One
POST leaves for each intent. What an answer means is decided by `core.api_decoding`, what may be
submitted next by `core.admission`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from batchgen.core.admission import Admission
from batchgen.core.api_answers import (
    AccessDenied,
    Doubt,
    NoBalance,
    RowRefused,
    SubmitAnswer,
    Submitted,
    TokenRejected,
    TryAgain,
)
from batchgen.core.errors import LocalIOError, defect_sentence
from batchgen.core.events import (
    Accepted,
    AnswerLost,
    ErrorKind,
    Event,
    Intended,
    JobError,
    MadeFrom,
    NotAccepted,
    Refused,
)
from batchgen.core.jobs import Job
from batchgen.core.lifecycle import JobRecord
from batchgen.core.reviews import take_to_submit
from batchgen.core.stop_reasons import StopReason
from batchgen.core.throttle import Backoff, ConcurrencyWindow
from batchgen.runner.context import RunContext
from batchgen.runner.job_inputs import JobInputs, NoInput, ReadyJob
from batchgen.runner.spending import Spending
from batchgen.runner.tasks import TaskGroup
from batchgen.system.crash_points import CrashPoint, reached

FREE_CALLS_S = 3.0
"""Time for free calls that explain a refusal: while they last, the refusal is not on record.

It is less than the time that a run has after a signal.
"""

_NOT_SENT = TryAgain(
    error=JobError(
        kind=ErrorKind.NOT_ACCEPTED, message="the run was stopped or held before this was sent"
    )
)


def _doubt_about(request_id: str) -> Doubt:
    """Return the answer to a POST that was answered with the request of another one.

    It may have been accepted, under a request_id that nobody knows.
    """
    message = f"the API answered with request {request_id}, which is that of another submission"
    return Doubt(error=JobError(kind=ErrorKind.LOST_ANSWER, message=message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Submits jobs; one for all jobs of a run."""

    context: RunContext
    window: ConcurrencyWindow
    admission: Admission
    spending: Spending
    inputs: JobInputs

    async def submit(self, job: Job) -> JobRecord | None:
        """Submit once. Return the job's record: in flight, or pending, failed or in doubt.

        None if what it is made from cannot be had now: the job is left for a later run.
        Raise `LocalIOError` if the ledger could not be written.
        """
        ready = await self.inputs.ready(job)
        if ready is NoInput.GONE:
            return await self._refuse_without_input(job)
        if isinstance(ready, NoInput):
            self.spending.release(job.id)
            return None
        return await self._submit(ready)

    async def _refuse_without_input(self, job: Job) -> JobRecord:
        """Record that a job cannot be made any more; nothing is sent."""
        names = ", ".join(dict.fromkeys(source.job for source in job.sources.values()))
        error = JobError(
            kind=ErrorKind.INPUT_GONE,
            message=f"the API no longer has the output of {names}; generate that again (redo)",
        )
        await self._record_intent(job)
        record = await self.context.record(job.id, Refused(error=error))
        self.spending.release(job.id)
        return record

    async def _submit(self, ready: ReadyJob) -> JobRecord:
        job = ready.job
        sent_at_s = self.context.clock.monotonic_s()
        answer = await self._post(ready)
        if isinstance(answer, Submitted) and self.context.ledger.knows_request(answer.request_id):
            answer = _doubt_about(answer.request_id)
        if isinstance(answer, AccessDenied):
            answer = await self._explained(job, answer)
        if isinstance(answer, Submitted):
            reached(CrashPoint.ANSWER_HEARD)
            record = await self._record_accepted(job, answer.request_id)
            reached(CrashPoint.REQUEST_ID_DURABLE)
            self.context.pause.accepted()
            self.context.pause.not_rejected()
            self.window.accepted()
            self.admission.accepted(job.model)
            return record
        self._react(job, answer, sent_at_s=sent_at_s)
        event = await self._event_of(job, answer)
        record = await self.context.record(job.id, event)
        if isinstance(event, AnswerLost):
            self.spending.settle(record, job.model)
        else:
            self.spending.release(job.id)
        return record

    async def _record_intent(self, job: Job) -> None:
        ledger = self.context.ledger
        record = ledger.get(job.id)
        verdict = None if record is None else ledger.verdict(record)
        intent = Intended(
            model=job.model,
            input=job.input,
            fingerprint=job.fingerprint,
            take=take_to_submit(record, verdict, fingerprint=job.fingerprint),
            price_usd=self.spending.price_usd(job),
            by=self.spending.labels(job),
            step=job.step,
            made_from=tuple(
                MadeFrom(of=one.job, n=one.take, i=one.index)
                for one in dict.fromkeys(job.sources.values())
            ),
        )
        await self.context.record(job.id, intent)

    async def _post(self, ready: ReadyJob) -> SubmitAnswer:
        job = ready.job
        holds = -1 if self.admission.held else self.admission.holds
        reached(CrashPoint.BEFORE_INTENT)
        await self._record_intent(job)
        reached(CrashPoint.INTENT_DURABLE)
        # The run may have been stopped or held while the intent was on its way to the disk.
        if self.context.stop.no_submissions or self.admission.holds != holds:
            return _NOT_SENT
        answer = await self.context.api.submit(job.model, ready.body)
        silent = isinstance(answer, (TryAgain, Doubt)) and answer.error.http_status is None
        why = answer.error.message if isinstance(answer, (TryAgain, Doubt)) and silent else ""
        self.context.reachability.note(answered=not silent, why=why)
        return answer

    def _react(self, job: Job, answer: SubmitAnswer, *, sent_at_s: float) -> None:
        """Tell the rest of the run what the answer means for it, before anything is awaited."""
        if not (isinstance(answer, TryAgain) and (answer.error.http_status in (None, 429))):
            self.context.pause.not_rejected()
        match answer:
            case Doubt(error=error):
                self.admission.lost(job.model, error.kind)
            case TokenRejected(error=error):
                self.context.observer.on_note(f"the API rejected the token: {error.message}")
                self.context.stop.request(StopReason.TOKEN)
            case NoBalance(error=error):
                self.context.observer.on_note(f"the balance is exhausted: {error.message}")
                self.context.stop.request(StopReason.BALANCE)
            case TryAgain() if answer is not _NOT_SENT:
                if answer.error.http_status == 429:
                    self.window.turned_away()
                    rejected_s = self.context.pause.rejected(sent_at_s=sent_at_s)
                    if rejected_s >= self.context.limits.rejected_s:
                        self.context.stop.request(StopReason.RATE)
                self.context.pause.begin(sent_at_s=sent_at_s, retry_after_s=answer.retry_after_s)

    async def _event_of(
        self, job: Job, answer: TryAgain | TokenRejected | NoBalance | RowRefused | Doubt
    ) -> Event:
        error = answer.error
        if isinstance(answer, (TryAgain, TokenRejected, NoBalance)):
            return NotAccepted(error=error)
        if not isinstance(answer, RowRefused):
            return AnswerLost(error=error)
        # A 404 is about the model, and not about the row, if the catalogue has no such model.
        has_model = self.context.api.has_model
        if error.http_status == 404 and await self._learn(has_model, job.model) is False:
            self.admission.withdrawn(job.model)
            return NotAccepted(error=error)
        return Refused(error=error)

    async def _explained(self, job: Job, denied: AccessDenied) -> TokenRejected | RowRefused:
        """Return whose fault a 403 is: of the token, if a free call with it is rejected too."""
        accepted = await self._learn(self.context.api.accepts_token, job.model)
        if accepted is not False:
            return RowRefused(error=denied.error)
        return TokenRejected(error=replace(denied.error, kind=ErrorKind.NOT_ACCEPTED))

    async def _learn(self, ask: Callable[[str], Awaitable[bool | None]], model: str) -> bool | None:
        """Return the answer of a free call, which is repeated for a moment; None without one."""
        backoff, failures = Backoff(), 0
        try:
            async with asyncio.timeout(FREE_CALLS_S):
                while (answer := await ask(model)) is None:
                    failures += 1
                    delay_s = backoff.delay_s(failures, jitter=self.context.jitter())
                    await self.context.clock.sleep(delay_s)
                return answer
        except TimeoutError:
            return None

    async def _record_accepted(self, job: Job, request_id: str) -> JobRecord:
        try:
            return await self.context.record(job.id, Accepted(request_id=request_id))
        except LocalIOError:
            # The one place where a paid job could be lost: show its name to the user.
            self.context.observer.on_note(
                f"job {job.id!r} was accepted as request {request_id} and could not be written"
                f" to the ledger; keep this line: batchgen resolve --job {job.id}"
                f" --request-id {request_id}"
            )
            raise


class OutageProbe:
    """Free calls, one at a time, for as long as submissions are held after a lost answer."""

    def __init__(self, context: RunContext, admission: Admission, tasks: TaskGroup) -> None:
        self._context, self._admission, self._tasks = context, admission, tasks
        self._backoff = Backoff(max_s=10.0)
        self._is_running = False
        self._noted = ""

    def start_if_held(self, model: str) -> None:
        """Start to ask the catalogue for this model, if submissions are held and no probe runs."""
        if self._admission.held and not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._probe(model))

    async def _has_model(self, model: str) -> bool | None:
        """Ask the catalogue; a defect in that counts as no answer, and is noted once."""
        try:
            return await self._context.api.has_model(model)
        except Exception as error:  # noqa: BLE001 - otherwise the hold would never end
            note = f"the free call of the catalogue failed: {defect_sentence(error)}"
            if note != self._noted:
                self._context.observer.on_note(note)
            self._noted = note
            return None

    async def _probe(self, model: str) -> None:
        context, failures = self._context, 0
        while await self._has_model(model) is None:
            failures += 1
            context.reachability.note(answered=False)
            await context.clock.sleep(self._backoff.delay_s(failures, jitter=context.jitter()))
        context.reachability.note(answered=True)
        self._is_running = False
        self._admission.api_answered()
