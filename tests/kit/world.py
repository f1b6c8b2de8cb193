"""A machine in virtual time: commands run in this process against an API in memory."""

from __future__ import annotations

import asyncio
import importlib
import io
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.run_command import RunCommand
from batchgen.app.run_options import RunRequest
from batchgen.cli.parser import build_parser
from batchgen.core.errors import BatchgenError, LockHeld
from batchgen.core.model_entry import NoCatalogueEntry, read_entry
from batchgen.core.run_settings import given_flags
from batchgen.ledger.group_commit import GroupCommit
from tests.kit import MODEL
from tests.kit.fakes import MemoryAPI
from tests.kit.live import Done
from tests.kit.time import LeapingLoop, LoopClock

T = TypeVar("T")

_append = GroupCommit.append

DAY_S = 86_400.0


@dataclass
class World:
    """Clock, API and environment of the commands of one test; time goes on between them."""

    api: MemoryAPI = field(default_factory=MemoryAPI)
    price_usd: float | None = 0.03
    schemas: dict[str, Any] = field(default_factory=dict)
    """By model, what the catalogue publishes."""
    elapsed_s: float = 0.0
    token: str = "test-token"
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def context(self) -> CommandContext:
        """The context that `cli.main` would build."""
        environment = {"RUNCOMFY_TOKEN": self.token}
        return _Context(clock=_Clock(self), environment=environment, world=self)

    def batchgen(self, *words: str | Path) -> Done:
        """Run `batchgen run` to its end, and let the time go on that it took."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = self.do(self.run(*words))
            except LockHeld as error:
                self.context.console.print_error(error)
                code = error.exit_code
        return Done(code, out.getvalue(), err.getvalue())

    async def run(self, *words: str | Path) -> int:
        """Run `batchgen run` on the running loop, and return the exit code."""
        argv = [str(word) for word in words]
        if "--model" not in argv:
            argv += ["--model", MODEL]
        args = build_parser(argv).parse_args(argv)
        request = RunRequest(
            flags=given_flags(vars(args)), command_line="batchgen " + " ".join(argv)
        )
        command = RunCommand(ref=BatchRef.of(args), request=request, context=self.context)
        return await command.execute()

    def command(self, *words: str | Path) -> Done:
        """Run any command to its end, as `cli.main` does."""
        argv = [str(word) for word in words]
        args = build_parser(argv).parse_args(argv)
        args.command_line = "batchgen " + " ".join(argv)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), patch.object(asyncio, "run", self._run):
            context = self.context
            try:
                code = importlib.import_module(args.handler).handle(args, context)
            except BatchgenError as error:
                context.console.print_error(error)
                code = error.exit_code
        return Done(code, out.getvalue(), err.getvalue())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Take the place of `asyncio.run`; a thread that asks for a price has a loop of its own."""
        if threading.current_thread() is threading.main_thread():
            return self.do(work)
        with asyncio.Runner() as runner:
            return runner.run(work)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in virtual time."""

        def loop() -> LeapingLoop:
            self.loop = LeapingLoop(self.elapsed_s)
            return self.loop

        def append(commit: GroupCommit, line: bytes, *, optional: bool = False) -> Any:
            assert isinstance(self.loop, LeapingLoop)
            return self.loop.wait_for_thread(_append(commit, line, optional=optional))

        with (
            patch.object(GroupCommit, "append", append),
            asyncio.Runner(loop_factory=loop) as runner,
        ):
            try:
                return runner.run(work)
            finally:
                self.elapsed_s = runner.get_loop().time()
                self.loop = None

    def sleep(self, for_s: float) -> None:
        """Let time pass between two commands."""
        self.elapsed_s += for_s


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context(CommandContext):
    world: World

    @asynccontextmanager
    async def client(self, *_: object) -> AsyncIterator[Any]:  # type: ignore[override]
        yield _Client(self.world)


@dataclass
class _Client:
    """The API in memory with the catalogue that prices come from."""

    world: World

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.api, name)

    async def balance_usd(self) -> float | None:
        return 20.0

    async def model(self, model_id: str) -> Any:
        if self.world.price_usd is None:
            return NoCatalogueEntry(why="it does not know this model", reached=True)
        price = {"base_price_usd": self.world.price_usd, "price_unit": "output"}
        schema = self.world.schemas.get(model_id)
        more = {} if schema is None else {"input_schema": schema}
        return read_entry({"model_id": model_id, **price, **more})


class _Clock(LoopClock):
    """The clock of a world, which goes on between its loops."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic_s(self) -> float:
        return self._world.elapsed_s if self._world.loop is None else self._world.loop.time()
