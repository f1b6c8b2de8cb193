"""The API of a run: the real one, or the sandbox in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.app.command_context import CommandContext
from batchgen.core.api_base import ApiBase, parse_base_url
from batchgen.core.model_entry import ModelEntry
from batchgen.core.secret import Secret
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from batchgen.api.client import ModelAPI


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """An API, and the way to call it."""

    base: ApiBase
    context: CommandContext
    sandbox_token: Secret | None = None
    """None for the real API, whose token is looked up only if a call is needed."""

    def client(self) -> ModelAPI:
        """Return a client, to be entered before use. Raises `TokenMissing`."""
        return self.context.client(self.base, self.token())

    def token(self) -> Secret:
        """Return the token for this API. Raises `TokenMissing`."""
        return self.sandbox_token or self.context.token()


def remote_of(
    context: CommandContext, directory: RunDirectory, entries: Iterable[ModelEntry],
    *, is_sandbox: bool,
) -> AbstractAsyncContextManager[Remote]:  # fmt: skip
    """Give the API of a run: the sandbox in this process, or the one that is called."""
    if is_sandbox:
        return sandbox_in_process(context, directory, entries)
    return real_api(context)


@asynccontextmanager
async def real_api(context: CommandContext) -> AsyncIterator[Remote]:
    """Give the API that flags and environment name."""
    yield Remote(base=context.api, context=context)


@asynccontextmanager
async def sandbox_in_process(
    context: CommandContext, directory: RunDirectory | None, entries: Iterable[ModelEntry] = ()
) -> AsyncIterator[Remote]:
    """Serve the sandbox for as long as this is entered; `entries` are models that it must know.

    It keeps its jobs in the run directory, which must exist: a sandbox that forgot its jobs with
    its process would make every resumed run fail. None: it keeps nothing.
    """
    from batchgen.sandbox.config import USUAL_QUEUE_S, SandboxConfig
    from batchgen.sandbox.server import Sandbox

    shortest_s, longest_s = USUAL_QUEUE_S
    config = SandboxConfig(
        journal=None if directory is None else directory.sandbox_journal, models=tuple(entries),
        queue_min_s=shortest_s, queue_max_s=longest_s,
    )  # fmt: skip
    async with Sandbox(config) as sandbox:
        base = parse_base_url(sandbox.base_url)
        yield Remote(base=base, context=context, sandbox_token=Secret(sandbox.token))
