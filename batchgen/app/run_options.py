"""What a run was asked to do: flags over the manifest's `run:` over defaults, once and frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from batchgen.app.run_preparation import Retry
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.plan import Policy
from batchgen.core.run_limits import (
    AT_ONCE,
    Allowance,
    Failures,
    IfLocked,
    parse_allowance,
    parse_failures,
)
from batchgen.core.units import parse_duration_s
from batchgen.manifest import ManifestSettings
from batchgen.runner import Limits

T = TypeVar("T")


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
    log_file: Path | None = None


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
    """Merge. Raises `ManifestError` for values of `run:` that make no sense, all at once."""
    reader = _RunKeys(head)
    policy = Policy(
        max_attempts=_first(flags.max_attempts, reader.whole("max_attempts"), 3),
        resubmit_doubts=_first(
            flags.in_doubt, reader.word("in_doubt", ("hold", "resubmit")), "hold"
        )
        == "resubmit",
        keep_changed=_first(flags.changed, reader.word("changed", ("run", "keep")), "run")
        == "keep",
        download=not _first(flags.no_download, reader.switch("no_download"), False),
    )
    limits = Limits(
        concurrency=_first(flags.concurrency, reader.whole("concurrency"), 8),
        job_timeout_s=_optional(flags.job_timeout_s, reader.duration_s("job_timeout")),
        rate_per_s=_optional(flags.rate_per_s, reader.amount("rate")),
        cancel_on_interrupt=_first(
            flags.on_interrupt, reader.word("on_interrupt", ("detach", "cancel")), "detach"
        )
        == "cancel",
        wait_for_api_s=_first(flags.wait_for_api_s, reader.duration_s("wait_for_api"), 20.0),
    )
    options = RunOptions(
        policy=policy,
        limits=limits,
        allowances=flags.max_cost or reader.allowances("max_cost"),
        assume_price_usd=_optional(flags.assume_price_usd, reader.amount("assume_price")),
        max_runtime_s=_optional(flags.max_runtime_s, reader.duration_s("max_runtime")),
        max_failures=_optional(flags.max_failures, reader.failures("max_failures")),
        limit=_optional(flags.limit, reader.whole("limit")),
        skip_invalid=_first(flags.skip_invalid, reader.switch("skip_invalid"), False),
        sidecar=_first(flags.sidecar, head.output.sidecar, False),
        jobs=frozenset(flags.jobs),
    )
    reader.finish()
    return options


def _first(flag: T | None, key: T | None, default: T) -> T:
    if flag is not None:
        return flag
    return default if key is None else key


def _optional(flag: T | None, key: T | None) -> T | None:
    return key if flag is None else flag


class _RunKeys:
    """Reads the `run:` mapping and collects what is wrong with it."""

    def __init__(self, head: ManifestSettings) -> None:
        self._head = head
        self._run: Mapping[str, object] = head.run
        self._problems: list[Problem] = []
        if head.output.dir and "://" in head.output.dir:
            from batchgen.outputs.bucket import fault_of

            if what := fault_of(head.output.dir):
                self._problems.append(Problem(where=head.where("output.dir"), what=what))

    def whole(self, name: str) -> int | None:
        """A whole number from 1."""
        value = self._run.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self._complain(name, f"{value!r} is no whole number from 1")
        return None

    def switch(self, name: str) -> bool | None:
        """true or false."""
        value = self._run.get(name)
        if value is not None and not isinstance(value, bool):
            self._complain(name, f"{value!r} is neither true nor false")
            return None
        return value

    def word(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """One of these."""
        value = self._run.get(name)
        if value is None or value in allowed:
            return None if value is None else str(value)
        self._complain(name, f"{value!r} is none of {', '.join(allowed)}")
        return None

    def duration_s(self, name: str) -> float | None:
        """A duration, or a bare number of seconds."""
        return self._parsed(name, lambda value: parse_duration_s(str(value)))

    def amount(self, name: str) -> float | None:
        """A number above 0."""
        value = self._run.get(name)
        if value is None:
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return float(value)
        self._complain(name, f"{value!r} is no number above 0")
        return None

    def allowances(self, name: str) -> tuple[Allowance, ...]:
        """One budget or a list of them."""
        value = self._run.get(name)
        given = value if isinstance(value, list) else [] if value is None else [value]
        try:
            return tuple(parse_allowance(str(one)) for one in given)
        except ValueError as error:
            self._complain(name, str(error))
            return ()

    def failures(self, name: str) -> Failures | None:
        """A count, or a share like `5%`."""
        return self._parsed(name, lambda value: parse_failures(str(value)))

    def finish(self) -> None:
        """Raises `ManifestError` where anything was wrong."""
        if self._problems:
            raise ManifestError(self._problems)

    def _parsed(self, name: str, parse: Callable[[object], T]) -> T | None:
        value = self._run.get(name)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self._complain(name, str(error))
            return None

    def _complain(self, name: str, what: str) -> None:
        self._problems.append(Problem(where=self._head.where(f"run.{name}"), what=what))
