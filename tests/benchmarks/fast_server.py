"""A Model API that answers with prebuilt bytes, far faster than any client can ask.

    python -m tests.benchmarks.fast_server

It prints the two lines that the sandbox prints, and serves until it is terminated. A job has ended
when it is submitted. Only what a benchmark asks is answered: the catalogue entry of one model (as
the sandbox gives it), submissions, status, result, and one small file for every output.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import live_sandbox

TOKEN = "benchmark-token"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_FILE = bytes(range(256)) * 4


def _answer(body: bytes) -> bytes:
    return _HEAD % (len(body), body)


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests are read up to their announced length."""

    entry = b"{}"
    origin = b""
    numbers = itertools.count(1)
    _ended = _answer(b'{"request_id":"r","status":"completed"}')

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            line = self._buffer[: self._buffer.index(b"\r\n")]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(self._reply(line))

    def _reply(self, line: bytes) -> bytes:
        if line.startswith(b"POST"):
            return _answer(
                b'{"request_id":"request-%012d","status":"in_queue"}' % next(self.numbers)
            )
        path = line.split(b" ", 2)[1].partition(b"?")[0]
        if path.endswith(b"/status"):
            return self._ended
        if path.endswith(b"/result"):
            name = path.split(b"/")[-2]
            return _answer(
                b'{"request_id":"%b","status":"succeeded","output":{"image":"%b/files/%b.bin"},'
                b'"cost":0.03}' % (name, self.origin, name)
            )
        return _answer(self.entry)


def catalogue_entry() -> bytes:
    """Return the entry of the model as the sandbox serves it."""
    with live_sandbox(SandboxConfig()) as sandbox:
        request = urllib.request.Request(f"{sandbox.base_url}/models/{MODEL}")
        request.add_header("Authorization", f"Bearer {sandbox.token}")
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve from a process of its own; the environment for its clients, in an empty home."""
    server, environment = start(["tests.benchmarks.fast_server"])
    with tempfile.TemporaryDirectory() as home:
        try:
            yield {**environment, "HOME": home}
        finally:
            server.terminate()
            server.wait()


def start(words: list[str], *, quiet: bool = False) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start a server that prints two lines to copy; return it with what they set."""
    server = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    lines = [server.stdout.readline() for _ in range(2)]
    found = dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
    return server, {**os.environ, **found}


async def serve() -> None:
    """Serve until the process is terminated."""
    Connection.entry = catalogue_entry()
    server = await asyncio.get_running_loop().create_server(
        Connection, "127.0.0.1", 0, backlog=1024
    )
    port = server.sockets[0].getsockname()[1]
    Connection.origin = b"http://127.0.0.1:%d" % port
    print(f"export RUNCOMFY_MODEL_API_BASE=http://127.0.0.1:{port}/v1")
    print(f"export RUNCOMFY_TOKEN={TOKEN}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
