"""A Model API that lies: everything works but what a test replaces, byte by byte."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.kit import MODEL
from tests.kit.live import Done, batchgen
from tests.outputs.host import PNG

TOKEN = "lying-api-token"


@dataclass
class LyingAPI:
    """The answers by endpoint: `submit`, `status`, `result`, `cancel`, `entry`, `list`, `file`."""

    lies: dict[str, Callable[[str], bytes]] = field(default_factory=dict)
    """Endpoint -> the whole answer to a prompt or request id, head and body."""
    origin: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Endpoint and what it was asked about, in order."""

    def output(self, name: str) -> str:
        """Return the URL of a good output."""
        return f"{self.origin}/files/{name}.png"

    def batchgen(self, *words: object, **more: str) -> Done:
        """Run a command against it."""
        base = {"RUNCOMFY_MODEL_API_BASE": f"{self.origin}/v1", "RUNCOMFY_TOKEN": TOKEN}
        return batchgen(*map(str, words), **(base | more))

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        """Return the answer to one call."""
        endpoint, about = _endpoint(method, path, body)
        self.calls.append((endpoint, about))
        if endpoint in self.lies:
            return self.lies[endpoint](about)
        if endpoint == "file":
            return reply(PNG, content_type="image/png")
        return json_reply(self.truth(endpoint, about))

    def truth(self, endpoint: str, about: str) -> object:
        """Return the right answer of an endpoint, as JSON."""
        match endpoint:
            case "submit":
                return {"request_id": f"rid-{about}"}
            case "status":
                return {"status": "completed"}
            case "result":
                output = {"image": self.output(about)}
                return {"status": "succeeded", "output": output, "cost": 0.03}
            case "cancel":
                return {"outcome": "not_cancellable"}
            case "list":
                return {"models": [self._entry()], "total": 1}
        return self._entry()

    def _entry(self) -> dict[str, object]:
        properties = {"prompt": {"type": "string"}}
        return {"model_id": MODEL, "base_price_usd": 0.03, "price_unit": "output",
                "input_schema": {"type": "object", "properties": properties}}  # fmt: skip


def reply(body: bytes, *, status: int = 200, content_type: str = "application/json") -> bytes:
    """Return an answer with this body."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def json_reply(value: object, *, status: int = 200) -> bytes:
    """Return an answer with this JSON."""
    return reply(json.dumps(value, ensure_ascii=False).encode(), status=status)


def redirect(location: bytes) -> bytes:
    """Return a redirect to these very bytes."""
    return b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: %b\r\n\r\n" % (
        location
    )


def _endpoint(method: str, path: str, body: bytes) -> tuple[str, str]:
    """Return the endpoint of a call, and the prompt or request id that it is about."""
    match path.partition("?")[0].strip("/").split("/"):
        case ["v1", "models"]:
            return "list", ""
        case ["v1", "models", *_] if method == "POST":
            return "submit", str(json.loads(body).get("prompt"))
        case ["v1", "models", *_]:
            return "entry", ""
        case ["v1", "requests", request_id, verb]:
            return verb, request_id.removeprefix("rid-")
    return "file", path


@contextmanager
def lying_api(**lies: Callable[[str], bytes]) -> Iterator[LyingAPI]:
    """Serve in a thread of its own, on a free port of this machine."""
    api = LyingAPI(lies)
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode("latin-1").split(" ", 2)
        lines = head.lower().split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        body = await reader.readexactly(lengths[0]) if lengths else b""
        writer.write(api.answer(method, path, body))
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(call, "127.0.0.1", 0)
        api.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield api
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
