"""The page beside a run (`run --serve`): `batchgen serve` in a process of its own.

It reads the whole batch again and again, which would slow the run down if it shared its process.
It ends with the run, also if that is killed: its stdin is a pipe that closes then.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.shards import split_suffix
from batchgen.system.environment import TOKEN_VARIABLES
from batchgen.system.run_directory import SANDBOX_SUFFIX

if TYPE_CHECKING:
    from batchgen.app.command_context import CommandContext
    from batchgen.system.run_directory import RunDirectory

END_S = 1.5
"""The time that the process has to end, once the run has ended."""


def serve_command(manifest: str, directory: RunDirectory, *, sandbox: bool) -> Sequence[str]:
    """Return the command line that serves this very directory until its stdin is closed."""
    name = str(directory.path)
    words = ["--sandbox"] if sandbox else []
    if sandbox:
        whole, shard = split_suffix(name)
        name = whole.removesuffix(SANDBOX_SUFFIX) + ("" if shard is None else shard.suffix)
    program = [sys.executable, "-P", "-m", "batchgen"]
    return [*program, "serve", manifest, "--run-dir", name, *words, "--until-eof"]


@contextmanager
def page_beside_run(
    manifest: str, directory: RunDirectory, context: CommandContext, *, sandbox: bool
) -> Iterator[None]:
    """Serve the page until the block ends, and print its address.

    A page that cannot be served is one line, and changes nothing about the run.
    """
    command = serve_command(manifest, directory, sandbox=sandbox)
    try:
        process = subprocess.Popen(  # noqa: S603 - this very program, without a shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, start_new_session=True, env=_environment(context),
        )  # fmt: skip
    except OSError as error:
        context.console.insist(f"--serve: the page cannot be served: {error.strerror}")
        yield
        return
    teller = threading.Thread(target=_tell, args=(process, context), daemon=True)
    teller.start()
    try:
        yield
    finally:
        _end(process)
        teller.join(END_S)


def _environment(context: CommandContext) -> dict[str, str]:
    """Return the environment without the token, which the page does not need."""
    package = str(Path(__file__).parents[2])
    kept = {key: value for key, value in context.environment.items() if key not in TOKEN_VARIABLES}
    paths = [package, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": ":".join(paths)}


def _tell(process: subprocess.Popen[str], context: CommandContext) -> None:
    address = process.stdout.readline().strip() if process.stdout is not None else ""
    if address:
        context.console.insist(f"the page of this run, live: {address}")
    elif process.poll() not in (0, None):
        context.console.insist("--serve: the page could not be served; see: batchgen serve")


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
