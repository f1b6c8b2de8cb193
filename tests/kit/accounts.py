"""The run directories of a batch, checked against what the sandbox has counted.

A job is named by the first word of its prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.sandbox.audit import AuditedRequest
from tests.kit.ledger_view import LedgerView

IN_FLIGHT = ("submitting", "in_queue", "in_progress", "completed")


def job_of(prompt: str) -> str:
    """Return the job that a prompt was written for."""
    return prompt.split(maxsplit=1)[0]


def input_of(request: AuditedRequest) -> str:
    """Return what names an input: its prompt, and the picture that it is made from.

    Another take of the picture is another input, and the address tells takes apart.
    """
    values = request.input if isinstance(request.input, dict) else {}
    picture = values.get("image_url")
    return f"{request.prompt} of {picture}" if picture else request.prompt


@dataclass(slots=True)
class Decisions:
    """The user's decisions, each about a job in one run directory."""

    resubmitted: Counter[tuple[Path, str]] = field(default_factory=Counter)
    """Each allows one more submission, and explains a request that no ledger names."""
    given_up: set[tuple[Path, str]] = field(default_factory=set)

    def move(self, run_dir: Path, renamed: Path) -> None:
        """Follow a run directory to another name."""
        for key in [one for one in self.resubmitted if one[0] == run_dir]:
            self.resubmitted[renamed, key[1]] = self.resubmitted.pop(key)
        for key in [one for one in self.given_up if one[0] == run_dir]:
            self.given_up.remove(key)
            self.given_up.add((renamed, key[1]))


def findings(
    ledgers: LedgerView | Sequence[LedgerView],
    requests: Collection[AuditedRequest],
    prompts: dict[str, str],
    decisions: Decisions | None = None,
) -> list[str]:
    """Return all that is wrong once a batch has come to its end, in one sentence each.

    `requests` are those that the sandbox accepted for this batch, `prompts` the rows by their
    job as they are now. With several ledgers each row is made once in each directory that began
    with it.
    """
    all_ledgers = [ledgers] if isinstance(ledgers, LedgerView) else list(ledgers)
    decided = decisions or Decisions()
    return [
        *_paid_twice(all_ledgers, requests, decided),
        *_lost(all_ledgers, requests, decided),
        *(one for ledger in all_ledgers for one in _unfinished(ledger, prompts, decided)),
        *(
            one
            for ledger in all_ledgers
            for one in _strangers(ledger, requests, prompts, is_only=len(all_ledgers) == 1)
        ),
        *(one for ledger in all_ledgers for one in _bad_files(ledger)),
    ]


def _paid_twice(
    ledgers: Sequence[LedgerView], requests: Collection[AuditedRequest], decided: Decisions
) -> Iterator[str]:
    for prompt, count in Counter(map(input_of, requests)).items():
        job = job_of(prompt)
        once_in_each = sum(job in ledger.last for ledger in ledgers) or 1
        allowed = once_in_each + sum(
            count for (_, one), count in decided.resubmitted.items() if one == job
        )
        allowed += sum(ledger.redos()[job] for ledger in ledgers)
        if count > allowed:
            yield f"PAID TWICE: {prompt!r} was accepted {count} times; {allowed} was allowed"
    for ledger in ledgers:
        known = ledger.request_ids()
        here = [request for request in requests if request.request_id in known]
        for prompt, count in Counter(map(input_of, here)).items():
            key = (ledger.run_dir, job_of(prompt))
            if count > 1 + decided.resubmitted[key] + ledger.redos()[key[1]]:
                yield f"PAID TWICE: {prompt!r} has {count} requests in {ledger.run_dir.name}"


def _lost(
    ledgers: Sequence[LedgerView], requests: Collection[AuditedRequest], decided: Decisions
) -> Iterator[str]:
    """Find accepted requests that are not on record; a doubt or a decision explains each."""
    known = {one for ledger in ledgers for one in ledger.request_ids()}
    unknown = [request for request in requests if request.request_id not in known]
    explained: Counter[str] = Counter(
        job for ledger in ledgers for job in ledger.in_state("in_doubt")
    )
    explained.update(job for _, job in decided.given_up)
    for (_, job), count in decided.resubmitted.items():
        explained[job] += count
    for job, count in Counter(job_of(request.prompt) for request in unknown).items():
        if count > explained[job]:
            states = [ledger.last.get(job, {}).get("state", "in no ledger") for ledger in ledgers]
            yield f"LOST: {count} accepted requests of {job} are not recorded; it is {states}"


def _unfinished(ledger: LedgerView, prompts: dict[str, str], decided: Decisions) -> Iterator[str]:
    begun_with = _jobs_begun_with(ledger)
    for job in prompts:
        still, is_clip, _ = job.partition("@")
        if begun_with is not None and still not in begun_with:
            continue
        if is_clip and (still in ledger.rejected() or not _has_output(ledger, still)):
            continue
        state = ledger.last.get(job, {}).get("state", "in no ledger")
        is_given_up = state == "failed" and (ledger.run_dir, job) in decided.given_up
        if state not in ("downloaded", "in_doubt") and not is_given_up:
            yield f"UNFINISHED: {job} is {state} in {ledger.run_dir.name}"
    for job in sorted(ledger.open_redos() & prompts.keys()):
        yield f"UNFINISHED: another take of {job} was asked for and is not made"
    for job, line in ledger.last.items():
        if job not in prompts and line["state"] in IN_FLIGHT:
            yield f"UNFINISHED: {job}, whose row is gone, is {line['state']}"


def _has_output(ledger: LedgerView, job: str) -> bool:
    return ledger.last.get(job, {}).get("state") == "downloaded"


def _jobs_begun_with(ledger: LedgerView) -> set[str] | None:
    path = ledger.run_dir / "jobs.jsonl"
    if not path.exists():
        return None
    return {json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()}


def _strangers(
    ledger: LedgerView,
    requests: Collection[AuditedRequest],
    prompts: dict[str, str],
    *,
    is_only: bool,
) -> Iterator[str]:
    """Find outputs that were not made of the row's prompt as it is now.

    One of several directories keeps what was made of the row as it was on its day.
    """
    made_of = {request.request_id: request.prompt for request in requests}
    for job in sorted(ledger.in_state("downloaded")):
        prompt = made_of.get(ledger.last[job]["request_id"])
        if prompt is None:
            yield f"STRANGER: the request of {job} was never accepted"
        elif job_of(prompt) != job or (is_only and prompt != prompts.get(job, prompt)):
            yield f"STRANGER: {job} asks for {prompts.get(job)!r} and has {prompt!r}"


def _bad_files(ledger: LedgerView) -> Iterator[str]:
    """Find files that are not as recorded, and files under a final name that no record has."""
    owners: dict[str, str] = {}
    for line in ledger.records:
        earlier = [file for take in line.get("takes", ()) for file in take.get("files", ())]
        present = line.get("files", ()) if line["state"] == "downloaded" else ()
        for file in (*earlier, *present):
            path = ledger.run_dir / file["path"]
            if not path.is_file():
                yield f"FILE: {file['path']} of {line['job']} is gone"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                yield f"FILE: {file['path']} of {line['job']} is not what was recorded"
            if owners.setdefault(file["path"], line["job"]) != line["job"]:
                yield f"FILE: {file['path']} belongs to {owners[file['path']]} and {line['job']}"
    parts = set(ledger.parts())
    for path in (ledger.run_dir / "outputs").glob("*"):
        name = path.relative_to(ledger.run_dir).as_posix()
        if name not in owners and path not in parts:
            yield f"FILE: {name} is in no record"
