"""HTTP requests to hosts that are not the API: each hop is checked, and no token is known here."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from batchgen import __version__
from batchgen.core.throttle import read_retry_after
from batchgen.net.url_policy import Forbidden, UrlPolicy

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONNECT_TIMEOUT_S = 10.0
BUFFER_BYTES = 1 << 18
"""Bytes that may wait to be read on a connection; the network has to wait at twice that."""

_CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-\d*/(\d+|\*)", re.ASCII | re.IGNORECASE)


class CheckedResolver(AbstractResolver):
    """A resolver that refuses private addresses.

    A connection goes to the very addresses that were checked, so a name server that answers
    differently the second time gains nothing. Addresses that are written out never come here.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raise `Forbidden`, which aiohttp lets through."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._policy.check_address(result["host"])
        return found

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


class HttpGet:
    """One session under one policy: no token, no cookies, no proxy; used inside `async with`.

    Connecting has a time limit. How long an answer may take is for the caller to say.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=CheckedResolver(self._policy)),
            headers={"User-Agent": f"batchgen/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            read_bufsize=BUFFER_BYTES,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self, text: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """Return the answer at the end of the redirects; the caller releases it.

        Raise `Forbidden` if the policy refuses a hop, else what aiohttp raises.
        """
        assert self._session is not None, "used inside `async with`"  # noqa: S101
        url = self._policy.check(text)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = await self._session.request(
                    method, url, headers=headers, allow_redirects=False
                )
            except ValueError as error:  # also of the layers below, which know hosts better
                raise Forbidden(f"host {url.host!r} cannot be asked: {error}") from None
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or not location:
                return response
            response.release()
            url = self._policy.check(_hop(url, location))
        raise Forbidden(f"more than {MAX_REDIRECTS} redirects")


def retry_after_s(response: aiohttp.ClientResponse, *, now_s: float) -> float | None:
    """Return the seconds that the server asks for with Retry-After; None if it does not."""
    return read_retry_after(response.headers.get("Retry-After"), now_s=now_s)


def content_range(response: aiohttp.ClientResponse) -> tuple[int | None, int | None]:
    """Return first byte and total of `Content-Range: bytes 5000-9999/10000`.

    Both are None without a valid header, the total also for `/*`.
    """
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _hop(url: URL, location: str) -> str:
    try:
        return str(url.join(URL(location, encoded=True)))
    except ValueError:
        raise Forbidden("it redirects to something that is not a valid URL") from None
