"""Requests to hosts that are not the API: redirects, resolved addresses, what is sent."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from batchgen.net.http_get import HttpGet, content_range, retry_after_s
from batchgen.net.url_policy import Forbidden, UrlPolicy
from tests.outputs.host import server

LOCAL = UrlPolicy(local=True)


async def hops(request: web.Request) -> web.StreamResponse:
    """Redirect from /3 to /2 to /1 to /0."""
    left = int(request.path.strip("/"))
    if left == 0:
        return web.Response(text=request.method)
    return web.Response(status=302, headers={"Location": f"/{left - 1}"})


async def test_five_redirects_are_followed_with_the_same_method() -> None:
    """The sixth is one too many."""
    async with server(hops) as origin, HttpGet(LOCAL) as http:
        assert (await http.request(f"{origin}/5")).status == 200
        async with await http.request(f"{origin}/5", method="HEAD") as response:
            assert response.method == "HEAD"
        with pytest.raises(Forbidden, match="more than 5 redirects"):
            await http.request(f"{origin}/6")


@pytest.mark.parametrize(
    "target", ["ftp://x/y", "http://u:p@x/y", "http://evil.example/a", "http://[", "//"]
)
async def test_each_hop_is_checked(target: str) -> None:
    """Also one that is not a URL at all."""
    policy = UrlPolicy(local=True, hosts=frozenset({"127.0.0.1"}))

    async def lead_astray(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    async with server(lead_astray) as origin, HttpGet(policy) as http:
        with pytest.raises(Forbidden):
            await http.request(origin)


async def test_nothing_that_identifies_the_user_is_sent() -> None:
    """No token, no referrer, and no cookie that an earlier answer has set."""
    seen: list[web.Request] = []

    async def remember(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with server(remember) as origin, HttpGet(LOCAL) as http:
        for _ in range(2):
            await http.request(origin)

    for request in seen:
        assert not {"Authorization", "Cookie", "Referer"} & set(request.headers)


async def test_a_name_of_this_machine_is_refused_before_connecting() -> None:
    """The resolved address counts, not the name."""
    async with HttpGet(UrlPolicy()) as http:
        with pytest.raises(Forbidden, match="private network"):
            await http.request("https://localhost:1/a")


async def answered(headers: dict[str, str]) -> aiohttp.ClientResponse:
    """An answer with these headers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(headers=headers)

    async with server(answer) as origin, HttpGet(LOCAL) as http:
        return await http.request(origin)


async def test_what_headers_say() -> None:
    """Retry-After, and the place of a part in its file."""
    date = await answered({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert retry_after_s(date, now_s=60.0) == 40.0
    assert retry_after_s(await answered({}), now_s=60.0) is None

    for text, found in [
        ("bytes 5-9/10", (5, 10)),
        ("bytes 5-9/*", (5, None)),
        ("bytes */10", (None, None)),
        ("bytes 5-9/ten", (None, None)),
        ("chapters 5-9/10", (None, None)),
        ("", (None, None)),
    ]:
        assert content_range(await answered({"Content-Range": text})) == found
