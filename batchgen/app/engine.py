"""The engine of a run: who fetches, checks and stores its outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen import __version__
from batchgen.core.errors import UsageError
from batchgen.net.url_policy import UrlPolicy
from batchgen.runner.stopping import DOWNLOADS
from batchgen.system.environment import TOKEN_VARIABLES

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext
    from batchgen.app.loading import LoadedBatch
    from batchgen.core.api_base import ApiBase
    from batchgen.core.run_settings import RunSettings
    from batchgen.outputs.file_worker import MakePool
    from batchgen.system.run_directory import RunDirectory

RAY_ADDRESS = "RAY_ADDRESS"
WORKERS = 4
"""Without --download-workers."""
_OWN = "BATCHGEN_"
"""Begins the names of variables for this program; some hold addresses that are secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Who fetches files, and how many at once."""

    make_pool: MakePool | None = None
    """None: this process."""
    downloads: int = DOWNLOADS

    @property
    def is_local(self) -> bool:
        """Tell whether this process fetches and inspects the files."""
        return self.make_pool is None


@asynccontextmanager
async def engine_of(
    directory: RunDirectory,
    loaded: LoadedBatch,
    api: ApiBase,
    settings: RunSettings,
    context: CommandContext,
) -> AsyncIterator[Engine]:
    """Give the engine that `--engine` names, ready to work.

    Raises `MissingExtra`, `NoWorkers`, or `LocalIOError` if a worker cannot store files; nothing
    was submitted then.
    """
    if settings.engine == "local" and (settings.download_workers or settings.ray_address):
        raise UsageError("--download-workers and --ray-address belong to --engine ray")
    if settings.engine == "local" or settings.no_download:
        yield Engine()
        return
    from batchgen.engines.messages import FILES_PER_WORKER, Setup
    from batchgen.engines.pool import ray_pool
    from batchgen.outputs.fetcher import STALL_S
    from batchgen.outputs.output_dir import destination_of
    from batchgen.outputs.store import MAX_FILE_BYTES
    from batchgen.reports.results_xlsx import PICTURE_PX
    from batchgen.reports.thumbnails import Thumbnails

    output = loaded.manifest.settings.output
    policy = UrlPolicy.for_outputs(api, output.hosts)
    setup = Setup(
        version=__version__,
        address=settings.ray_address or context.environment.get(RAY_ADDRESS, ""),
        workers=settings.download_workers or WORKERS, run_dir=str(directory.path.absolute()),
        output_dir=output.dir or "", probe="", probe_content="",
        hosts=tuple(sorted(policy.hosts or ())), is_local_api=policy.local,
        max_file_bytes=MAX_FILE_BYTES, stall_s=STALL_S, picture_px=PICTURE_PX,
    )  # fmt: skip
    pool = ray_pool(
        setup, destination_of(directory.path, output.dir),
        environment=bridge_environment(context.environment),
        keep=Thumbnails(directory=directory, size_px=PICTURE_PX).keep,
        say=context.console.say, clock=context.clock,
    )  # fmt: skip
    async with pool as workers:
        yield Engine(make_pool=workers.bound, downloads=setup.workers * FILES_PER_WORKER)


def bridge_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process that speaks with Ray, and of all that it starts.

    Without the token, and without what would send news of this use to the makers of Ray.
    """
    kept = {
        key: value
        for key, value in environment.items()
        if key not in TOKEN_VARIABLES and not key.startswith(_OWN)
    }
    kept.pop(RAY_ADDRESS, None)  # the address is told, so that an empty one means none
    return kept | {"RAY_USAGE_STATS_ENABLED": "0"}
