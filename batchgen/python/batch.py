"""`Batch`: check, plan, run and look at a manifest from Python, as the command line does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from batchgen.app.batch_snapshot import read_snapshot
from batchgen.app.command_context import CommandContext
from batchgen.app.loading import load
from batchgen.app.open_batch import open_newest
from batchgen.app.run_command import RunCommand
from batchgen.app.run_options import RunRequest
from batchgen.app.signals import RequestedSignals
from batchgen.core.errors import BatchgenError, InternalError, ManifestError, Problem
from batchgen.core.manifest_address import is_address, resumable_address
from batchgen.python.background_run import BackgroundRun
from batchgen.python.keywords import GivenKeywords, Keywords
from batchgen.python.results import Job, Plan, Summary
from batchgen.python.silent_console import SilentConsole
from batchgen.python.stream import Inbox, JobStream
from batchgen.system.environment import read_env_file

if TYPE_CHECKING:
    from batchgen.python.keywords import StrPath


class Batch:
    """A manifest and its run directory.

    Every keyword is a flag of `batchgen run` with underscores (`params` and `columns` are mappings;
    see `Keywords`). Those given here hold for every call, those of a call for that call only.

    Nothing is printed: messages go to the logger `batchgen`. Every error is a `BatchgenError`.
    An instance may be used from several threads; runs of one batch exclude each other by the lock
    of its run directory.

        batch = Batch("spring.csv", model="bytedance/dreamina-4-0/text-to-image")
        for problem in batch.check():
            print(problem)
        summary = batch.run(concurrency=8, max_cost="20/day")
    """

    def __init__(
        self,
        manifest: StrPath,
        *,
        environment: Mapping[str, str] | None = None,
        **keywords: Unpack[Keywords],
    ) -> None:
        """Name a batch; nothing is read yet.

        `environment` is used in place of `os.environ`: the token, the address of the API and the
        places of cache and state are taken from it. Raises `UsageError` for a keyword that does not
        exist or whose value is wrong.
        """
        self._manifest = os.fspath(manifest)
        self._environment = os.environ if environment is None else environment
        self._keywords: dict[str, Any] = dict(keywords)
        self._last_run: BackgroundRun[Summary] | None = None
        self._given({}).batch(self._manifest)  # what is wrong is said here and not in a later call

    def __repr__(self) -> str:
        name = resumable_address(self._manifest) if is_address(self._manifest) else self._manifest
        return f"Batch({name!r})"

    def check(self) -> tuple[Problem, ...]:
        """Check every row, and return everything that is wrong. Nothing is written.

        No network, except for a manifest at an address. Raises `ManifestNotFound`.
        """
        with _defects_named():
            return self._check()

    def plan(self, **keywords: Unpack[Keywords]) -> Plan:
        """Return what a run would do and cost. Spends nothing, and asks only the catalogue.

        Raises as `run`.
        """
        given = self._given({**keywords, "dry_run": True, "json": True})
        signals = RequestedSignals()
        command = self._command(given, self._context(given, SilentConsole(), signals))
        self._drain()
        with _defects_named():
            BackgroundRun(command.execute, signals).result()
        return Plan.of(command.plans)

    def run(self, **keywords: Unpack[Keywords]) -> Summary:
        """Submit, poll and download until the run ends; blocks, also within a running loop.

        Raises only for what keeps the run from beginning: `ManifestError` (with `problems`),
        `TokenMissing`, `LockHeld`, ... How it ended is in the summary. Ctrl-C drains the run before
        it is a `KeyboardInterrupt`.
        """
        return self._begin(self._given(keywords)).result()

    def stream(self, **keywords: Unpack[Keywords]) -> JobStream:
        """Run, and yield each job as it ends: `async for job in batch.stream(): ...`.

        Jobs that had ended before are not among them (see `jobs`). Leaving the loop or cancelling
        its task drains the run as Ctrl-C does; no signal handler is installed. Raises as `run`.
        """
        given = self._given(keywords)
        return JobStream(lambda inbox: self._begin(given, inbox))

    def jobs(self) -> Iterator[Job]:
        """Yield every job in the manifest's order, as the ledger has it; no network.

        A job that was never submitted is `pending`; wrong rows are left out. The jobs of rows that
        are no longer in the manifest come last. Without the manifest, the ledger alone is read.
        """
        self._drain()
        given = self._given({})
        context = self._context(given, SilentConsole())
        with read_snapshot(given.batch(self._manifest), context) as snapshot:
            for row in snapshot.rows():
                if not row.problems:
                    yield Job.of_row(row, snapshot.directory)

    @property
    def summary(self) -> Summary | None:
        """How the last `run` or `stream` of this object ended.

        None before that, and if it raised an error. Waits until a stream that was left early has
        drained.
        """
        self._drain()
        if self._last_run is None or not self._last_run.has_ended:
            return None
        try:
            return self._last_run.outcome()
        except BatchgenError:
            return None

    def _given(self, keywords: Mapping[str, object]) -> GivenKeywords:
        return GivenKeywords.of({**self._keywords, **keywords})

    def _context(
        self,
        given: GivenKeywords,
        console: SilentConsole,
        signals: RequestedSignals | None = None,
    ) -> CommandContext:
        environment = self._environment
        if given.env_file is not None:
            environment = {**environment, **read_env_file(given.env_file)}
        return CommandContext(
            console=console, environment=environment, base_url=given.base_url,
            signals=signals or RequestedSignals(),
        )  # fmt: skip

    def _command(self, given: GivenKeywords, context: CommandContext) -> RunCommand:
        ref = given.batch(self._manifest)
        request = RunRequest(flags=given.flags(), command_line=given.command_line(ref.shown))
        return RunCommand(ref=ref, request=request, context=context)

    def _begin(self, given: GivenKeywords, inbox: Inbox | None = None) -> BackgroundRun[Summary]:
        """Begin a run in the background, once a stream that was left early has drained."""
        self._drain()
        signals = RequestedSignals()
        console = SilentConsole(None if inbox is None else inbox.put)
        command = self._command(given, self._context(given, console, signals))

        async def execute() -> Summary:
            with _defects_named():
                return Summary.of(command, await command.execute())

        self._last_run = BackgroundRun(execute, signals)
        return self._last_run

    def _drain(self) -> None:
        """Wait for a run of this object that was stopped, and has not ended yet."""
        if self._last_run is not None and self._last_run.is_stopped:
            self._last_run.join()

    def _check(self) -> tuple[Problem, ...]:
        given = self._given({})
        context = self._context(given, SilentConsole())
        ref = given.batch(self._manifest)
        try:
            with load(open_newest(ref, context, fresh=True).manifest, keep=False) as loaded:
                found, total = loaded.problems.shown(most=None)
        except ManifestError as error:
            found, total = list(error.problems), error.total
        if hidden := total - len(found):
            found.append(Problem(ref.shown, f"and {hidden:,} more problems"))
        return tuple(found)


@contextmanager
def _defects_named() -> Iterator[None]:
    """Raise `InternalError` in place of an exception that nobody expected."""
    try:
        yield
    except BatchgenError:
        raise
    except Exception as error:
        raise InternalError(error) from error
