"""`batchgen sandbox`: serve the sandbox until a signal, or around one command.

stdout has only the two lines to copy, or what the command prints; messages go to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.app.console import Console
from batchgen.app.signals import handled_signals
from batchgen.core.errors import UsageError
from batchgen.sandbox.config import USUAL_QUEUE_S, SandboxConfig
from batchgen.sandbox.faults.rules import read_rules
from batchgen.sandbox.http_answer import ErrorStyle
from batchgen.sandbox.server import Sandbox

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext

_DEFAULT = SandboxConfig()

_OPTIONS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("--token", "token", "token to ask for (%(default)s)", {"metavar": "T"}),
    ("--capacity", "capacity", "jobs that run at once (%(default)s)",
     {"type": int, "metavar": "N"}),
    ("--balance", "balance_usd", "what is in the wallet (%(default)s)",
     {"type": float, "metavar": "USD"}),
    ("--images", "images", "pictures per job of an image model (%(default)s)",
     {"type": int, "metavar": "N"}),
    ("--chaos", "chaos",
     "a mixture of faults; each call goes wrong with this chance, 0 to 1 (%(default)g)",
     {"type": float, "metavar": "P"}),
    ("--error-style", "error_style", "HTTP status and body of API errors (%(default)s)",
     {"choices": list(ErrorStyle)}),
    ("--success-word", "success_word", "status of good results (%(default)s)",
     {"choices": ("succeeded", "completed")}),
    ("--journal", "journal", "keep requests here, over restarts",
     {"type": Path, "metavar": "FILE"}),
    ("--seed", "seed", "decides durations and faults (%(default)s)",
     {"type": int, "metavar": "N"}),
)  # fmt: skip
"""The options that are fields of `SandboxConfig` as they are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `batchgen sandbox` to a parser of the command line."""
    add = parser.add_argument
    add("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    add("--duration", default=f"{_DEFAULT.duration_min_s:g}-{_DEFAULT.duration_max_s:g}",
        metavar="MIN-MAX", help="how long a job runs, in seconds (%(default)s)")  # fmt: skip
    add("--queue", default=f"{USUAL_QUEUE_S[0]:g}-{USUAL_QUEUE_S[1]:g}", metavar="MIN-MAX",
        help="how long a job waits before it runs, in seconds (%(default)s)")  # fmt: skip
    add("--fault", action="append", default=[], metavar="RULE",
        help="what goes wrong: ON:DO[:key=value...], such as submit:429:first=3; repeatable",
    )  # fmt: skip
    add("--faults", type=Path, metavar="FILE.json", help="a JSON list of such rules")
    add("--models", type=Path, action="append", default=[], metavar="PATH",
        help="a catalogue entry as JSON, or a directory of them; repeatable")  # fmt: skip
    for flag, field, meaning, options in _OPTIONS:
        add(flag, dest=field, default=getattr(_DEFAULT, field), help=meaning, **options)
    add("child", nargs="*", metavar="-- COMMAND",
        help="run this with both variables set, and end with it")  # fmt: skip


def config_of(args: argparse.Namespace) -> SandboxConfig:
    """Return the settings of the parsed arguments. Raises `UsageError`."""
    shortest, longest = _range_of("--duration", args.duration)
    queue_min_s, queue_max_s = _range_of("--queue", args.queue)
    return SandboxConfig(
        **{field: getattr(args, field) for _, field, _, _ in _OPTIONS},
        duration_min_s=shortest,
        duration_max_s=longest,
        queue_min_s=queue_min_s,
        queue_max_s=queue_max_s,
        faults=(*args.fault, *(read_rules(args.faults) if args.faults else ())),
        models=tuple(args.models),
    )


def _range_of(option: str, text: str) -> tuple[float, float]:
    shortest, dash, longest = text.partition("-")
    try:
        return float(shortest), float(longest if dash else shortest)
    except ValueError:
        message = f"{option} is {text!r}; give MIN-MAX in seconds, such as 0.2-0.8"
        raise UsageError(message) from None


async def serve(args: argparse.Namespace, console: Console | None = None) -> int:
    """Run `batchgen sandbox`, and return the exit code. Raises `UsageError` and `LocalIOError`."""
    sandbox = Sandbox(config_of(args))
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    # Before the lines are printed: whoever reads them may send a signal at once.
    with handled_signals(signals.put_nowait):
        try:
            await sandbox.start(args.port)
            return await _serve(sandbox, args.child, signals, console or Console())
        finally:
            await sandbox.stop()


async def _serve(
    sandbox: Sandbox,
    command: list[str],
    signals: asyncio.Queue[signal.Signals],
    console: Console,
) -> int:
    console.say(f"sandbox: listens on {sandbox.base_url}; prices and pictures are made up")
    if command:
        code = await _run(sandbox, command, signals)
    else:
        console.print_lines(*(f"export {k}={v}" for k, v in _variables(sandbox).items()))
        console.out.flush()
        await signals.get()
        code = 0
    jobs, peak = len(sandbox.audit.requests), sandbox.audit.in_flight_high_water
    console.say(f"sandbox: {jobs:,} jobs accepted, at most {peak:,} in flight")
    return code


def _variables(sandbox: Sandbox) -> dict[str, str]:
    return {"RUNCOMFY_MODEL_API_BASE": sandbox.base_url, "RUNCOMFY_TOKEN": sandbox.token}


async def _run(sandbox: Sandbox, command: list[str], signals: asyncio.Queue[signal.Signals]) -> int:
    environment = {**os.environ, **_variables(sandbox)}
    try:
        child = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as problem:
        raise UsageError(f"cannot run {command[0]!r}: {problem.strerror}") from None
    forwarding = asyncio.create_task(_forward(signals, child))
    try:
        code = await child.wait()
    finally:
        forwarding.cancel()
    return code if code >= 0 else 128 - code


async def _forward(signals: asyncio.Queue[signal.Signals], child: Process) -> None:
    while True:
        number = await signals.get()
        # A Ctrl-C reaches the whole foreground group; a second one would end the child at once.
        if number is signal.SIGINT and _in_foreground():
            continue
        if child.returncode is None:
            child.send_signal(number)


def _in_foreground() -> bool:
    """Tell whether this process belongs to the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Serve until a signal, or around one command, and return the exit code."""
    return asyncio.run(serve(args, context.console))
