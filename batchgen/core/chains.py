"""Chains: the jobs of the steps of one row, and which of them can go now.

A manifest with steps gives each row several jobs: its own, and those that are made from outputs of
jobs before them. What a job of a later step is made from is decided here, by row, records and
verdicts alone, each time it is asked for. So a run, a dry run and the page agree, and nothing about
chains is stored but the records of their jobs.

The identity of such a job has the identity, take and number of the output in the place of its
address: addresses expire and are renewed, and another take is another input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchgen.core.jobs import (
    INDEX_CLOSES,
    INDEX_OPENS,
    Job,
    Source,
    StepDraft,
    Wait,
    fingerprint,
    identity_of,
    step_job_name,
    with_values,
)
from batchgen.core.lifecycle import PAID_FOR, JobRecord, Records, Take
from batchgen.core.plan import Disposition, Policy, disposition_of
from batchgen.core.reviews import Verdict, VerdictWord


@dataclass(frozen=True, slots=True)
class _Usable:
    """A take whose outputs the next step may use."""

    take: Take
    identity: str


@dataclass(frozen=True, slots=True)
class _Link:
    """One job of a chain, with the outputs that it was made from, by their steps."""

    job: Job
    number: str = ""
    """The part of its name after `#`; empty if it has none."""
    lineage: Mapping[str, Source] = field(default_factory=dict)


def chain_of(row: Job, records: Records, policy: Policy) -> Iterator[Job]:
    """Yield the row's own job and those of its later steps, in the order of the steps.

    A job that cannot go now says why (`wait`); its input lacks addresses then.
    """
    yield row
    links = {row.step: [_Link(row)]}
    for draft in row.steps:
        before = links[draft.after]
        links[draft.step] = made = []
        for link in before if draft.of_each_output else before[:1]:
            for one in _jobs_after(link, draft, row, records, policy):
                yield one.job
                made.append(one)


def _jobs_after(
    link: _Link, draft: StepDraft, row: Job, records: Records, policy: Policy
) -> Iterator[_Link]:
    usable = _usable(link.job, draft, records, policy)
    if isinstance(usable, Wait):
        for number in _known_numbers(link, draft, row, records):
            yield _Link(_waiting(draft, row, link.job, number, usable), number)
        return
    outputs = usable.take.outputs if draft.of_each_output else usable.take.outputs[:1]
    for index in range(1, len(outputs) + 1):
        lineage = {**link.lineage, draft.after: _source(link.job, usable, index)}
        number = _number(link, index) if draft.of_each_output else ""
        yield _Link(_made(draft, row, link.job, number, lineage), number, lineage)


def _number(link: _Link, index: int) -> str:
    """Return the number of a job that is made of one output.

    It counts the outputs of the row's step. After such a step each job goes on under its own
    number, so that no number depends on how many outputs another job has.
    """
    if not link.number:
        return str(index)
    return link.number if index == 1 else f"{link.number}.{index}"


def _known_numbers(link: _Link, draft: StepDraft, row: Job, records: Records) -> Iterable[str]:
    """Return the numbers of the jobs that there were before, if what they are made of is not known.

    One job stands for all if there were none.
    """
    if not draft.of_each_output:
        return ("",)
    found, index = [], 1
    while records.get(step_job_name(row.id, draft.step, _number(link, index))) is not None:
        found.append(_number(link, index))
        index += 1
    return found or (link.number,)


def _source(before: Job, usable: _Usable, index: int) -> Source:
    take = usable.take
    return Source(
        job=before.id,
        take=take.take,
        index=index,
        url=take.outputs[index - 1],
        identity=usable.identity,
        request_id=take.request_id,
        path=take.files[index - 1].path if len(take.files) >= index else None,
    )


def _waiting(draft: StepDraft, row: Job, before: Job, number: str, wait: Wait) -> Job:
    return Job(
        id=step_job_name(row.id, draft.step, number),
        model=draft.model,
        input=draft.input,
        where=row.where,
        columns=row.columns,
        step=draft.step,
        row=row,
        before=before.id,
        wait=wait,
    )


def _made(
    draft: StepDraft, row: Job, before: Job, number: str, lineage: Mapping[str, Source]
) -> Job:
    sources = {(name, position): lineage[step] for name, position, step in draft.urls}
    texts = _with_numbers(draft.input, lineage) if draft.has_index else draft.input
    assets = {(name, position): one for name, position, one in draft.assets}
    identity = with_values(
        identity_of(texts, assets),
        {place: [one.identity, one.take, one.index] for place, one in sources.items()},
    )
    return Job(
        id=step_job_name(row.id, draft.step, number),
        model=draft.model,
        input=with_values(texts, {place: one.url for place, one in sources.items()}),
        where=row.where,
        columns=row.columns,
        known_fingerprint=fingerprint(draft.model, identity),
        step=draft.step,
        row=row,
        sources=sources,
        assets=assets,
        before=before.id,
    )


def _with_numbers(values: Mapping[str, Any], lineage: Mapping[str, Source]) -> dict[str, Any]:
    def filled(text: str) -> str:
        for step, source in lineage.items():
            text = text.replace(f"{INDEX_OPENS}{step}{INDEX_CLOSES}", str(source.index))
        return text

    return {key: filled(one) if isinstance(one, str) else one for key, one in values.items()}


def _usable(job: Job, draft: StepDraft, records: Records, policy: Policy) -> _Usable | Wait:
    """Return the take that a step may use, or why there is none."""
    if job.wait is not None:
        return Wait.LATER_REVIEW if job.wait is Wait.REVIEW else job.wait
    record = records.get(job.id)
    kind = disposition_of(job, records, policy)
    present = _present_output(record, job, kind, policy)
    if record is None:
        return Wait.LATER_REVIEW if draft.if_kept else Wait.STEP
    is_reviewed = records.has_verdict(job.id)
    verdict = records.verdict(record) if is_reviewed else None
    if draft.if_kept:
        return _kept(record, present, verdict, kind)
    if present is not None:
        return _unless_unwanted(present, record, verdict)
    if kind is Disposition.REJECTED:
        return Wait.UNWANTED
    if kind not in _ENDED_WITHOUT:
        return Wait.STEP
    good = record.good_take if _is_same(record, job, policy) else None
    return Wait.FAILED if good is None else _Usable(good, record.fingerprint)


_ENDED_WITHOUT = frozenset({
    Disposition.HELD, Disposition.FAILED, Disposition.GIVEN_UP, Disposition.CANCELLED,
    Disposition.NOT_KNOWN, Disposition.DEFECT, Disposition.WAITS_FOR_FAILED,
})  # fmt: skip
"""Decisions after which a job gets no output without a decision of the user."""


def _is_same(record: JobRecord, job: Job, policy: Policy) -> bool:
    return record.fingerprint in ("", job.fingerprint) or policy.keep_changed


def _present_output(
    record: JobRecord | None, job: Job, kind: Disposition, policy: Policy
) -> Take | None:
    """Return the present take, if it is what the row asks for and has an output."""
    if record is None or record.state not in PAID_FOR or not record.outputs:
        return None
    is_settled = kind in (Disposition.DONE, Disposition.DOWNLOAD)
    return record.present_take if is_settled and _is_same(record, job, policy) else None


def _unless_unwanted(take: Take, record: JobRecord, verdict: Verdict | None) -> _Usable | Wait:
    word = None if verdict is None else verdict.verdict
    if word is VerdictWord.REJECT:
        return Wait.UNWANTED
    if word is VerdictWord.REDO:
        return Wait.STEP  # the next take follows once this one is on disk
    return _Usable(take, record.fingerprint)


def _kept(
    record: JobRecord,
    present: Take | None,
    verdict: Verdict | None,
    kind: Disposition,
) -> _Usable | Wait:
    """Return the present take if the user has kept it, or why it cannot be used.

    An earlier take is not used instead: the user has asked for another one.
    """
    word = None if verdict is None else verdict.verdict
    if present is not None and word is VerdictWord.KEEP:
        return _Usable(present, record.fingerprint)
    if word is VerdictWord.REJECT and (present is not None or kind is Disposition.REJECTED):
        return Wait.UNWANTED
    if present is not None:
        return Wait.REVIEW if record.files else Wait.LATER_REVIEW
    return Wait.FAILED if kind in _ENDED_WITHOUT else Wait.LATER_REVIEW
