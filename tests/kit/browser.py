"""A real headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, "Escape": 27}


def find_browser() -> str | None:
    """Return the browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Tab:
    """One tab; what the page logs, asks for and refuses is kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Stop listening."""
        self._reader.cancel()
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["entry"])[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(self._waiting[number], 30)
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to an address, and wait until the page has been built."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def js(self, source: str) -> Any:
        """Return the value of an expression."""
        said = await self.send(
            "Runtime.evaluate", expression=source, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, source: str, timeout_s: float = 15.0) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(timeout_s):
            while not await self.js(source):
                await asyncio.sleep(0.02)

    async def press(self, *keys: str) -> None:
        """Press keys one after the other; a single letter is typed."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = KEYS.get(key, ord(key.upper()[0]))
            for kind in ("keyDown", "keyUp"):
                extra = text if kind == "keyDown" else {}
                await self.send(
                    "Input.dispatchKeyEvent",
                    type=kind, key=key, windowsVirtualKeyCode=code, **extra,
                )  # fmt: skip

    async def type(self, text: str) -> None:
        """Type a text into the field that has the focus."""
        await self.send("Input.insertText", text=text)

    async def screenshot(self, path: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Write a picture of the page in a window of that size."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await asyncio.sleep(0.6)
        shot = await self.send("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser_tab(profile: Path) -> AsyncIterator[Tab]:
    """Start the browser with a fresh profile in a directory, and yield its tab."""
    program = find_browser()
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        "--window-size=1280,900", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(40):
            while not (port := _port(profile)):
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            address = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
            socket = await session.ws_connect(address, max_msg_size=1 << 28)
            tab = Tab(socket)
            try:
                yield tab
            finally:
                await tab.close()
    finally:
        process.kill()
        await process.wait()


def _port(profile: Path) -> str:
    try:
        return (profile / "DevToolsActivePort").read_text().split("\n")[0]
    except OSError:
        return ""
