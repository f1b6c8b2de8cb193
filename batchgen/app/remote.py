"""The world of one run: the API (or its stand-in), the signals, and what ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.api_base import ApiBase, parse_base_url
from batchgen.core.model_entry import ModelEntry
from batchgen.core.secret import Secret
from batchgen.system import environment

SANDBOX_JOURNAL = "sandbox.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """An API and, where a call was found to be needed, the token for it."""

    base: ApiBase
    known_token: Secret | None = None

    def token(self) -> Secret:
        """Raises `TokenMissing`."""
        return self.known_token or environment.token()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRun:
    """A stand-in in this process.

    It keeps its jobs in the run directory, which must be there: a stand-in that forgot its jobs
    with its process would make every resumed rehearsal fail.
    """

    run_dir: Path
    entries: tuple[ModelEntry, ...] = ()
    """The models that the batch uses, as far as they are known."""


@asynccontextmanager
async def remote(
    base_url: str | None, rehearsal: SandboxRun | None = None
) -> AsyncIterator[Remote]:
    """The API of this run, or its stand-in."""
    if rehearsal is None:
        yield Remote(base=environment.api_base(base_url))
        return
    from batchgen.sandbox import Sandbox, SandboxConfig

    journal = rehearsal.run_dir / SANDBOX_JOURNAL
    async with Sandbox(SandboxConfig(journal=journal, models=rehearsal.entries)) as sandbox:
        yield Remote(base=parse_base_url(sandbox.base_url), known_token=Secret(sandbox.token))
