"""The look at an address before it is sent, against a real server."""

from __future__ import annotations

from collections import Counter

import pytest
from aiohttp import web

from batchgen.net.address_check import HttpAddressCheck
from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import UrlPolicy
from tests.outputs.host import server

LOCAL = UrlPolicy(local=True)


async def is_gone(answers: dict[str, int]) -> tuple[bool, Counter[str]]:
    """Ask an address that answers each method with a status."""
    seen: Counter[str] = Counter()

    async def handler(request: web.Request) -> web.StreamResponse:
        seen[request.method] += 1
        assert "Authorization" not in request.headers
        return web.Response(status=answers[request.method], text="x" * 100)

    async with server(handler) as base, HttpGet(LOCAL) as http:
        return await HttpAddressCheck(http).is_gone(f"{base}/a.png"), seen


@pytest.mark.parametrize("status", [404, 410])
async def test_an_address_that_has_expired(status: int) -> None:
    assert await is_gone({"HEAD": status}) == (True, {"HEAD": 1})


@pytest.mark.parametrize("status", [200, 204, 429, 500, 503])
async def test_an_address_that_works_or_is_busy(status: int) -> None:
    assert await is_gone({"HEAD": status}) == (False, {"HEAD": 1})


@pytest.mark.parametrize(("status", "gone"), [(200, False), (206, False), (403, True), (404, True)])
async def test_an_address_that_may_be_signed_for_get_alone(status: int, gone: bool) -> None:
    for refused in (403, 405, 501):
        found, seen = await is_gone({"HEAD": refused, "GET": status})
        assert (found, seen) == (gone, {"HEAD": 1, "GET": 1})


async def test_an_address_without_an_answer_may_still_work_for_the_api() -> None:
    async with HttpGet(LOCAL) as http:
        assert not await HttpAddressCheck(http).is_gone("http://127.0.0.1:9/a.png")
    async with HttpGet(UrlPolicy()) as http:
        assert not await HttpAddressCheck(http).is_gone("http://10.0.0.1/a.png")
