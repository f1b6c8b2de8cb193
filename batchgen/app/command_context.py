"""The command context: what every command needs from the machine it runs on.

`cli.main` builds it once, from the real clock and environment; tests hand in their own. Nothing
else creates a clock, reads the environment or decides which API is meant.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.app.console import Console
from batchgen.app.signals import PROCESS_SIGNALS, SignalSource
from batchgen.core.api_base import ApiBase
from batchgen.core.secret import Secret
from batchgen.ports import Clock
from batchgen.system import environment
from batchgen.system.clock import SystemClock

if TYPE_CHECKING:
    from batchgen.api.client import ModelAPI


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Clock, environment and console of one command; API, token and cache follow from them."""

    clock: Clock = field(default_factory=SystemClock)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    console: Console = field(default_factory=Console)
    signals: SignalSource = PROCESS_SIGNALS
    """Who ends a run early."""
    fetched: dict[str, object] = field(default_factory=dict)
    """By address: what this command has fetched, or why it could not."""
    base_url: str | None = None
    """The value of `--base-url`."""

    @staticmethod
    def use_env_file(name: str) -> None:
        """Add what the file of `--env-file` says to the environment, before a context is made.

        Raises `ManifestNotFound` or `UsageError`.
        """
        environment.use_env_file(Path(name))

    @property
    def api(self) -> ApiBase:
        """The API to talk to. Raises `UsageError` for an address that is not valid."""
        return environment.api_base(self.base_url, self.environment)

    def token(self) -> Secret:
        """Return the user's token. Raises `TokenMissing`, which says how to set one."""
        return environment.token(self.environment)

    @property
    def cache_dir(self) -> Path | None:
        """Return the cache directory of model descriptions; None if there is no place."""
        return environment.cache_directory(self.environment)

    @property
    def state_dir(self) -> Path | None:
        """Return the directory of this user's lasting data; None if there is no place."""
        return environment.state_directory(self.environment)

    @staticmethod
    def new_seed() -> int:
        """Return a number by chance, for what a new batch picks."""
        return secrets.randbits(31)

    async def addresses_of(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a name on this machine. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    def client(self, base: ApiBase, token: Secret) -> ModelAPI:
        """Return a client of an API, to be entered before use (`async with`)."""
        from batchgen.api.client import ModelAPI  # aiohttp: only for commands that call the API

        return ModelAPI(base, token, clock=self.clock, on_defect=self.console.insist)
