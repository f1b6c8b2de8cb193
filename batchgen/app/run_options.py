"""The settings of one run: the flags that were given, merged with the manifest's `run:`."""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.app.run_preparation import Retry
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.plan import Policy
from batchgen.core.run_limits import AT_ONCE, Allowance, Failures, IfLocked
from batchgen.core.run_settings import RUN_SETTINGS, RunSettings, merge
from batchgen.manifest import ManifestSettings
from batchgen.outputs.destination import fault_of_output_dir
from batchgen.runner import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of `run`; None where a flag was not given."""

    concurrency: int | None = None
    max_attempts: int | None = None
    in_doubt: str | None = None
    job_timeout_s: float | None = None
    rate_per_s: float | None = None
    max_cost: tuple[Allowance, ...] = ()
    assume_price_usd: float | None = None
    max_runtime_s: float | None = None
    max_failures: Failures | None = None
    on_interrupt: str | None = None
    wait_for_api_s: float | None = None
    limit: int | None = None
    no_download: bool | None = None
    skip_invalid: bool | None = None
    sidecar: bool | None = None
    changed: str | None = None
    jobs: tuple[str, ...] = ()
    command_line: str = "batchgen run"
    """As it was typed; what to type to go on."""
    retry: Retry | None = None
    """Which jobs get one more attempt; with `retry_rest` the others run too."""
    retry_rest: bool = False
    date: str | None = None
    fresh: bool = False
    repair: bool = False
    if_locked: IfLocked = AT_ONCE
    dry_run: bool = False
    quiet: bool = False
    json: bool = False
    log_json: bool = False
    log_file: str | None = None
    verbose: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Everything decided."""

    policy: Policy
    limits: Limits
    allowances: tuple[Allowance, ...]
    assume_price_usd: float | None
    max_runtime_s: float | None
    max_failures: Failures | None
    limit: int | None
    skip_invalid: bool
    sidecar: bool
    """Whether a JSON is written beside each output."""
    jobs: frozenset[str]


def decide(flags: Flags, head: ManifestSettings) -> RunOptions:
    """Merge flags, the manifest and the defaults. Raises `ManifestError` for a bad `output.dir`."""
    _require_output_directory(head)
    given = {row.name: getattr(flags, row.name) for row in RUN_SETTINGS}
    given = {name: value for name, value in given.items() if value not in (None, False, ())}
    sidecar = {} if head.output.sidecar is None else {"sidecar": head.output.sidecar}
    settings = merge(given, {**head.run, **sidecar})
    return RunOptions(
        policy=policy_of(settings),
        limits=limits_of(settings),
        allowances=settings.max_cost,
        assume_price_usd=settings.assume_price_usd,
        max_runtime_s=settings.max_runtime_s,
        max_failures=settings.max_failures,
        limit=settings.limit,
        skip_invalid=settings.skip_invalid,
        sidecar=settings.sidecar,
        jobs=frozenset(settings.jobs),
    )


def policy_of(settings: RunSettings) -> Policy:
    """Return what a run may do with each job."""
    return Policy(
        max_attempts=settings.max_attempts,
        resubmit_doubts=settings.in_doubt == "resubmit",
        keep_changed=settings.changed == "keep",
        download=not settings.no_download,
    )


def limits_of(settings: RunSettings) -> Limits:
    """Return the limits that do not depend on the plan or on the moment the run begins."""
    return Limits(
        concurrency=settings.concurrency,
        job_timeout_s=settings.job_timeout_s,
        rate_per_s=settings.rate_per_s,
        cancel_on_interrupt=settings.on_interrupt == "cancel",
        wait_for_api_s=settings.wait_for_api_s,
    )


def _require_output_directory(head: ManifestSettings) -> None:
    if what := fault_of_output_dir(head.output.dir):
        raise ManifestError([Problem(where=head.where("output.dir"), what=what)])
