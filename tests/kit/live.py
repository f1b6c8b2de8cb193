"""Real processes against a real server: the sandbox in a thread, the program as a child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.sandbox.audit import AuditedRequest
from tests.kit import MODEL
from tests.kit.waiting import wait_until


@dataclass(frozen=True)
class Live:
    """A sandbox that runs in a thread of its own."""

    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop

    @property
    def base_url(self) -> str:
        return self.sandbox.base_url

    @property
    def token(self) -> str:
        return self.sandbox.token

    @property
    def audit(self) -> Seen:
        """A copy of its audit, made in its own thread."""

        async def count() -> Seen:
            audit = self.sandbox.audit
            return Seen(
                requests=audit.requests,
                calls={name: dict(found) for name, found in audit.calls.items()},
                received={posts.prompt: posts.received for posts in audit.posts.values()},
                tokens_on_files=audit.tokens_on_files,
                in_flight_high_water=audit.in_flight_high_water,
            )

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(10)


@dataclass(frozen=True)
class Seen:
    """A copy of the audit at one moment."""

    requests: list[AuditedRequest]
    calls: dict[str, dict[str, int]]
    received: dict[str, int]
    """POSTs per prompt, accepted or not."""
    tokens_on_files: int
    in_flight_high_water: int

    @property
    def call_count(self) -> int:
        return sum(sum(found.values()) for found in self.calls.values())


@contextmanager
def live_sandbox(config: SandboxConfig | None = None) -> Iterator[Live]:
    """Run a sandbox in a thread with a loop of its own; its audit may be read at any time."""
    sandbox = Sandbox(config or SandboxConfig(duration_min_s=0.05, duration_max_s=0.2))
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with sandbox:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield Live(sandbox, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@dataclass(frozen=True)
class Done:
    """Exit code and output of a finished command."""

    code: int
    out: str
    err: str


def environment(sandbox: Live | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a new user, with a sandbox's address and token if there is one."""
    base = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    if sandbox is not None:
        base |= {"RUNCOMFY_MODEL_API_BASE": sandbox.base_url, "RUNCOMFY_TOKEN": sandbox.token}
    return base | more


def command(*words: str | Path) -> list[str]:
    """Return the command line of a child of this interpreter; a spreadsheet needs a model."""
    line = [sys.executable, "-m", "batchgen", *map(str, words)]
    return [*line, "--model", MODEL] if words[0] == "run" and "--model" not in words else line


def batchgen(
    *words: str | Path, sandbox: Live | None = None, cwd: Path | None = None, **more: str
) -> Done:
    """Run one command to its end."""
    done = subprocess.run(
        command(*words), env=environment(sandbox, **more), cwd=cwd, capture_output=True,
        text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def start(*words: str | Path, sandbox: Live | None = None, **more: str) -> subprocess.Popen[str]:
    """Start one command and let it run."""
    return subprocess.Popen(
        command(*words), env=environment(sandbox, **more), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_after(run: subprocess.Popen[str], sandbox: Live, submissions: int) -> bool:
    """Kill a run after so many more submissions; return whether it was still at work then."""
    goal = len(sandbox.audit.requests) + submissions
    wait_until(
        lambda: run.poll() is not None or len(sandbox.audit.requests) >= goal, "more submissions"
    )
    was_at_work = run.poll() is None
    run.kill()
    run.communicate()
    return was_at_work


def accepted(sandbox: Live) -> dict[str, int]:
    """Return the paid jobs per prompt, as the sandbox counts them."""
    counts: dict[str, int] = {}
    for request in sandbox.audit.requests:
        counts[request.prompt] = counts.get(request.prompt, 0) + 1
    return counts


def write_csv(path: Path, rows: Sequence[str], header: str = "id,prompt") -> Path:
    """Write a small spreadsheet."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def prompts(path: Path, count: int) -> Path:
    """Write a spreadsheet of so many prompts with ids."""
    return write_csv(path, [f"j{n:04d},prompt number {n}" for n in range(count)])
