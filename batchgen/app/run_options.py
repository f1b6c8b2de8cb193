"""The request of one command: which flags were given; and its settings, merged with a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.core.plan import Policy
from batchgen.core.run_settings import RunSettings, merge
from batchgen.manifest.settings import ManifestSettings
from batchgen.outputs.output_dir import fault_of_output_dir
from batchgen.runner.stopping import DOWNLOADS, Limits

RETRIABLE = (JobState.FAILED, JobState.IN_DOUBT, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The jobs that `batchgen retry` grants one more attempt."""

    states: frozenset[JobState] = frozenset({JobState.FAILED})
    jobs: frozenset[str] = frozenset()
    """Only these, in any of the states of `RETRIABLE`; empty: all jobs in `states`."""

    def chooses(self, record: JobRecord) -> bool:
        """Tell whether this job is meant."""
        if self.jobs:
            return canonical_text(record.job) in self.jobs and record.state in RETRIABLE
        return record.state in self.states


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the user asks of a run, before the manifest is read."""

    flags: Mapping[str, object]
    """The flags that were given, by the names of their settings."""
    command_line: str = "batchgen run"
    """As it was typed, to resume with."""
    retry: Retry | None = None
    """Which jobs get one more attempt."""
    retry_rest: bool = False
    """Whether the jobs that are not retried run too."""

    def settings(self, manifest: ManifestSettings | None) -> RunSettings:
        """Return the settings of a run, without a manifest those that the flags alone give.

        Raises `ManifestError` if nothing can be stored in the manifest's `output.dir`.
        """
        return merge(self.flags, {} if manifest is None else _run_keys(manifest))


def _run_keys(manifest: ManifestSettings) -> Mapping[str, object]:
    output = manifest.output
    if what := fault_of_output_dir(output.dir):
        raise ManifestError([Problem(where=manifest.where("output.dir"), what=what)])
    sidecar = {} if output.sidecar is None else {"sidecar": output.sidecar}
    return {**manifest.run, **sidecar}


def policy_of(settings: RunSettings) -> Policy:
    """Return what a run may do with each job."""
    return Policy(
        max_attempts=settings.max_attempts,
        resubmit_doubts=settings.in_doubt == "resubmit",
        keep_changed=settings.changed == "keep",
        download=not settings.no_download,
    )


def limits_of(
    settings: RunSettings, *, begun_s: float, jobs: int, downloads: int = DOWNLOADS
) -> Limits:
    """Return the limits of a run that begins now, in monotonic time, and has this many jobs."""
    runtime_s, failures = settings.max_runtime_s, settings.max_failures
    return Limits(
        concurrency=settings.concurrency,
        downloads=downloads,
        job_timeout_s=settings.job_timeout_s,
        rate_per_s=settings.rate_per_s,
        cancel_on_interrupt=settings.on_interrupt == "cancel",
        wait_for_api_s=settings.wait_for_api_s,
        ends_at_s=None if runtime_s is None else begun_s + runtime_s,
        max_failures=None if failures is None else failures.of(jobs),
    )
