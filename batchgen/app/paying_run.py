"""The part of a run that pays: what must hold before it, the wiring of the runner, what follows."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.app.api_wait import wait_for_api
from batchgen.app.command_context import CommandContext
from batchgen.app.early_thumbnails import early_thumbnails
from batchgen.app.engine import engine_of
from batchgen.app.output_store import (
    address_check,
    asset_store,
    output_finder,
    store_of,
    with_sidecars,
)
from batchgen.app.remote import Remote
from batchgen.app.run_options import limits_of, policy_of
from batchgen.app.signals import signals_stop
from batchgen.core.errors import ServiceUnreachable
from batchgen.core.jobs import Batch
from batchgen.core.plan import Plan
from batchgen.core.polling.durations import past_duration_s
from batchgen.core.stop_reasons import StopReason
from batchgen.net.url_policy import is_private
from batchgen.reports.progress import TICK_S, Tally
from batchgen.runner.runner import Outcome, Runner

if TYPE_CHECKING:
    from batchgen.app.console import RunObserver
    from batchgen.app.known_ledgers import KnownLedgers
    from batchgen.app.loading import LoadedBatch
    from batchgen.app.run_directories import RunDirectories
    from batchgen.core.run_settings import RunSettings
    from batchgen.ledger.run_ledger import RunLedger
    from batchgen.outputs.file_worker import MakePool
    from batchgen.ports import Clock, Observer, OutputStore
    from batchgen.runner.spending import Spending
    from batchgen.system.run_directory import RunDirectory


STORAGE_HOST = "playgrounds-storage-public.runcomfy.net"
LOOKUP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PayingRun:
    """One run of the runner, once everything is planned."""

    context: CommandContext
    directory: RunDirectory
    directories: RunDirectories
    loaded: LoadedBatch
    settings: RunSettings
    remote: Remote
    ledger: RunLedger
    spending: Spending
    adopt_later: Mapping[str, str]
    """New job -> the job of the same input that it takes over once its own has ended."""
    known_ledgers: KnownLedgers
    away: str
    """Why the catalogue, which is asked first, gave no answer; empty if it did."""
    silent_s: float
    """How long it gave none."""

    async def run(self, selected: Batch, plan: Plan) -> Outcome:
        """Submit, poll and download until nothing is left or a reason to stop arrives.

        Raises `TokenMissing`, or `ServiceUnreachable` if outputs could never be downloaded here.
        """
        known = self.known_ledgers
        self.remote.token()  # a missing one is reported before anything about the network
        fetches = plan.submissions and not self.settings.no_download
        if fetches and (note := await require_public_storage(self.remote, self.context)):
            self.context.console.say(note)
        was_known = known.knows(self.directories)
        async with build_runner(self, plan) as runner:
            if silence := await self._wait_for_api(runner):
                return Outcome(reasons=(StopReason.UNREACHABLE,), silence=silence)
            known.remember(self.directories, self.remote.base.origin)  # before anything is paid
            outcome = await runner.run(selected)
        if not was_known:
            known.forget_if_unpaid(self.directories, self.ledger)
        return outcome

    async def _wait_for_api(self, runner: Runner) -> str:
        """Return why the API could not be reached in the time that is left for that, or "".

        Only a catalogue that gave no answer is a reason to ask before anything is submitted.
        """
        model = next(iter(self.loaded.models), None)
        if not self.away or model is None or self.remote.sandbox_token is not None:
            return ""
        async with self.remote.client() as api:
            return await wait_for_api(
                api, model, left_s=self.settings.wait_for_api_s - self.silent_s, why=self.away,
                clock=self.context.clock, is_stopped=lambda: runner.stop.no_submissions,
            )  # fmt: skip


async def require_public_storage(remote: Remote, context: CommandContext) -> str:
    """Raise `ServiceUnreachable` if the storage host has a private or reserved address here.

    A name server, a hosts file or a filter may send its name to a private address, from which
    nothing is ever fetched: every output would be paid for and none could be downloaded.

    A lookup that fails proves nothing: the run goes on, downloads wait for better times, and the
    sentence about that is returned. The sandbox, and any other API on this machine, keeps its
    outputs itself.
    """
    if remote.base.is_loopback:
        return ""
    try:
        async with asyncio.timeout(LOOKUP_S):
            addresses = await context.addresses_of(STORAGE_HOST)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = str(error) or "no answer in time"
        return (
            f"{STORAGE_HOST}, where the API keeps its outputs, could not be looked up ({why});"
            " outputs that cannot be downloaded now are fetched by a later run"
        )
    for address in addresses:
        if is_private(address):
            raise ServiceUnreachable(
                f"{STORAGE_HOST}, where the API keeps its outputs, has the address {address} on"
                " this machine. That is an address of a private or reserved network, from which"
                " nothing is downloaded, so nothing was submitted. A name server, a hosts file, a"
                " VPN or a filter changes it: correct that, or add --no-download to leave the"
                " outputs remote"
            )
    return ""


@asynccontextmanager
async def build_runner(run: PayingRun, plan: Plan) -> AsyncIterator[Runner]:
    """Give a runner for the jobs of `plan`, which signals stop; its parts are closed at the end.

    Raises `TokenMissing`, and `LocalIOError` if the outputs cannot be written.
    """
    clock, settings = run.context.clock, run.settings
    to_do = plan.work_left + plan.to_follow
    policy = policy_of(settings)
    client = run.remote.client()
    tally = Tally(total=to_do, download=policy.download)
    is_dumb = run.context.environment.get("TERM") == "dumb"
    console = run.context.console
    with closing(console.progress(tally, clock, run.directory, is_dumb=is_dumb)) as progress:
        async with (
            engine_of(run.directory, run.loaded, run.remote.base, settings, run.context) as engine,
            _outputs(run, progress, engine.make_pool) as (outputs, observer),
            client as api,
            early_thumbnails(run.directory, observer, wanted=engine.is_local) as watching,
            address_check(run.loaded, run.remote.base) as addresses,
            asset_store(run.loaded, expiry_s=settings.asset_expiry_s, clock=clock) as assets,
            _moving(progress, clock),
        ):  # fmt: skip
            runner = Runner(
                api=api, ledger=run.ledger, outputs=outputs, clock=clock, observer=watching,
                policy=policy, rng=random.Random(), spending=run.spending,
                adopt_later=run.adopt_later, addresses=addresses,
                assets=assets, find_output=output_finder(run.directory, run.ledger),
                has_new_reviews=_news_of_reviews(run),
                limits=limits_of(
                    settings, begun_s=clock.monotonic_s(), jobs=to_do, downloads=engine.downloads
                ),
            )  # fmt: skip
            tally.limited_by = runner.limited_by
            _recall_durations(runner, run)
            with signals_stop(runner.stop, run.context.signals):
                yield runner


@asynccontextmanager
async def _outputs(
    run: PayingRun, progress: RunObserver, make_pool: MakePool | None
) -> AsyncIterator[tuple[OutputStore, Observer]]:
    """Give the store of the outputs, and the observer that it needs to be told by."""
    store = store_of(
        run.directory, run.loaded, run.ledger, api=run.remote.base,
        download=not run.settings.no_download, clock=run.context.clock,
        on_defect=run.context.console.insist, make_pool=make_pool,
    )  # fmt: skip
    async with store:
        yield with_sidecars(store, run.loaded, run.ledger, progress, wanted=run.settings.sidecar)


@asynccontextmanager
async def _moving(progress: RunObserver, clock: Clock) -> AsyncIterator[None]:
    """Let a bar move once a second, also if nothing happens."""

    async def tick() -> None:
        while True:
            await clock.sleep(TICK_S)
            progress.tick()

    ticking = asyncio.create_task(tick()) if progress.moves else None
    try:
        yield
    finally:
        if ticking is not None:
            ticking.cancel()


def _news_of_reviews(run: PayingRun) -> Callable[[], bool] | None:
    """Return what tells of new verdicts; None if no step waits for one."""
    return run.ledger.read_new_reviews if run.loaded.has_gates else None


def _recall_durations(runner: Runner, run: PayingRun) -> None:
    """Tell the runner how long jobs of each model took in earlier runs of this batch."""
    if next(iter(run.ledger.records()), None) is None:
        return  # a first run has no history, and the rows need not be read for it
    took_s: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for job in run.loaded.batch(run.ledger).jobs():
        record = run.ledger.get(job.id)
        duration_s = past_duration_s(record) if record else None
        if record and record.finished_at and duration_s is not None:
            took_s[job.model].append((record.finished_at, duration_s))
    for model, ended in took_s.items():
        runner.forecasts.of(model).whole.seed(duration_s for _, duration_s in sorted(ended))
