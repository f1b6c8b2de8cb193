"""Outages: everything at once fails, is reset or refused, and then works again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from batchgen.sandbox import Sandbox, SandboxConfig
from tests.kit import MODEL

from .conftest import Client, Clock, Start


async def test_an_outage_of_everything(start: Start) -> None:
    """`any` with a window fails every kind of call inside of it and none outside."""
    client = await start(faults=("any:503:from_s=10:to_s=20",))
    request_id = await client.submit("before")
    client.clock.now += 1
    url = (await client.result(request_id)).json["output"]["image"]

    async def seen() -> list[int]:
        balance = f"{client.sandbox.origin}/prod/v2/balance"
        return [got.status for got in (
            await client.post("during"), await client.status(request_id),
            await client.result(request_id), await client.cancel(request_id),
            await client.call("GET", "/models"), await client.call("GET", f"/models/{MODEL}"),
            await client.call("GET", "/models/categories"), await client.call("GET", balance),
            await client.file(url),
        )]  # fmt: skip

    client.clock.now += 9
    assert await seen() == [503] * 9
    assert client.sandbox.audit.accepted("during") == 0
    client.clock.now += 10
    assert await seen() == [200, 200, 200, 202, 200, 200, 200, 200, 200]


@pytest.mark.parametrize(("options", "accepted"), [("", 0), (":accepted=yes", 1)])
async def test_connections_that_are_reset(start: Start, options: str, accepted: int) -> None:
    """The client sees a reset, not an orderly end; the audit knows whether there is a job."""
    client = await start(faults=(f"submit:reset:first=1{options}",))
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await client.post("x")
    assert isinstance(caught.value, ConnectionResetError) or caught.value.errno == 104
    audit = client.sandbox.audit
    assert (audit.received("x"), audit.accepted("x")) == (1, accepted)
    assert audit.calls["submit"] == {"closed": 1}


async def test_an_outage_of_resets(start: Start) -> None:
    """`any:reset` tears every connection down while it lasts, files and all."""
    client = await start(faults=("any:reset:to_s=10",))
    for path in ("/models", "/requests/x/status", f"{client.sandbox.origin}/files/x/1.png"):
        with pytest.raises(aiohttp.ClientOSError):
            await client.call("GET", path)
    client.clock.now += 10
    assert (await client.call("GET", "/models")).status == 200


class Gate(Clock):
    """A clock whose sleepers wake when the test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self._moved = asyncio.Condition()

    async def sleep(self, delay_s: float) -> None:
        end = self.now + delay_s
        async with self._moved:
            await self._moved.wait_for(lambda: self.now >= end)

    async def leap(self, seconds: float) -> None:
        async with self._moved:
            self.now += seconds
            self._moved.notify_all()


@pytest.fixture
async def refusing() -> AsyncIterator[tuple[Client, Gate]]:
    """A sandbox whose port is closed from the 10th to the 70th second."""
    gate = Gate()
    config = SandboxConfig(faults=("any:refuse:from_s=10:to_s=70",))
    async with (
        Sandbox(config, clock=gate, sleep=gate.sleep) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield Client(sandbox, session, gate), gate


async def answers(client: Client) -> bool:
    """Return whether a new connection is accepted."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            return (await Client(client.sandbox, session, client.clock).status("x")).status == 404
        except aiohttp.ClientConnectorError:
            return False


async def until(client: Client, *, listening: bool) -> None:
    """Wait for the port to open or close; it does so on its own time, but soon."""
    while await answers(client) is not listening:
        await asyncio.sleep(0)


async def test_the_port_is_closed_for_a_while(refusing: tuple[Client, Gate]) -> None:
    """Connections are refused for that time; then the same port has the same jobs again."""
    client, gate = refusing
    request_id = await client.submit("before")
    await gate.leap(9.9)
    assert await answers(client)
    await gate.leap(0.1)
    with pytest.raises(aiohttp.ClientOSError):  # the connection that was open is reset
        await client.post("during")
    async with asyncio.timeout(20):
        await until(client, listening=False)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.post("during")
        await gate.leap(59)
        assert not await answers(client)
        await gate.leap(1)
        await until(client, listening=True)
    assert (await client.status(request_id)).json["status"] == "completed"
    assert client.sandbox.audit.accepted("during") == 0
    assert client.sandbox.audit.accepted("before") == 1


async def test_a_sandbox_stops_in_the_middle_of_an_outage(
    refusing: tuple[Client, Gate],
) -> None:
    """Stopping while the port is closed ends at once and leaves no task behind."""
    client, gate = refusing
    await gate.leap(10)
    async with asyncio.timeout(20):
        await until(client, listening=False)
        await client.sandbox.stop()
    assert len(asyncio.all_tasks()) == 1
