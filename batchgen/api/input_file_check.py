"""A check with small requests: could the API fetch the files that the inputs point at?

The API fetches them without a login from the public internet, so that is how they are asked for
here: no token, no cookies, no private address, each hop of a redirect checked. A file itself is
never downloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from batchgen.core.errors import Problem
from batchgen.core.input_files import MB, MediaInput
from batchgen.core.units import size_text
from batchgen.net.http_get import HttpGet, content_range, retry_after_s
from batchgen.net.url_policy import Forbidden, without_query
from batchgen.ports import Clock

CONCURRENCY = 16
TIMEOUT_S = 10.0
"""For one address, with its redirects and a second request."""
MAX_RETRY_AFTER_S = TIMEOUT_S / 2
BUSY = frozenset({429, 503})
HEAD_MAY_BE_WRONG = frozenset({400, 403, 405, 501})
"""Servers without HEAD say 405 or 501; a pre-signed address is signed for GET alone and refuses
a HEAD as forbidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The answer of an address."""

    status: int
    content_type: str
    size_bytes: int | None
    """Of the whole file; None if the server does not tell."""
    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFileCheck:
    """Asks addresses, over a session whose policy is that of the API."""

    http: HttpGet
    clock: Clock
    concurrency: int = CONCURRENCY
    timeout_s: float = TIMEOUT_S

    async def problems(self, inputs: Iterable[MediaInput]) -> list[Problem]:
        """Return what the API could not fetch, in the order of `inputs`, which are distinct."""
        waiting = enumerate(inputs)
        found: dict[int, Problem] = {}

        async def work() -> None:
            for number, one in waiting:
                if what := await self.fault(one):
                    found[number] = Problem(one.where, what)

        await asyncio.gather(*(work() for _ in range(self.concurrency)))
        return [found[number] for number in sorted(found)]

    async def fault(self, one: MediaInput) -> str | None:
        """Return why the API could not fetch this file, in a sentence with what would be right."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return _fault(one, await self._ask(one.url))
        except Forbidden as error:
            return f"{_shown(one.url)} cannot be fetched by the API: {error}"
        except TimeoutError:
            return f"{_shown(one.url)} gave no answer within {self.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{_shown(one.url)} cannot be reached: {_cause(error)}"

    async def _ask(self, url: str) -> _Found:
        """Ask, and once more if the server is busy and says that it will soon not be."""
        found = await self._head_or_get(url)
        wait_s = found.retry_after_s if found.status in BUSY else None
        if wait_s is not None and wait_s <= MAX_RETRY_AFTER_S:
            await self.clock.sleep(wait_s)
            found = await self._head_or_get(url)
        return found

    async def _head_or_get(self, url: str) -> _Found:
        found = await self._request("HEAD", url)
        return await self._request("GET", url) if found.status in HEAD_MAY_BE_WRONG else found

    async def _request(self, method: str, url: str) -> _Found:
        headers = {"Range": "bytes=0-0"} if method == "GET" else {}
        response = await self.http.request(url, method=method, headers=headers)
        # Closed, not released: the rest of a file that nobody wants is not read.
        response.close()
        _, total_bytes = content_range(response)
        return _Found(
            status=response.status,
            content_type=response.content_type,
            size_bytes=total_bytes if response.status == 206 else response.content_length,
            retry_after_s=retry_after_s(response, now_s=self.clock.now_s()),
        )


def _fault(one: MediaInput, found: _Found) -> str | None:
    shown = _shown(one.url)
    if found.status in (401, 403):
        return f"{shown} answers {found.status}; the API has no login, it needs a public address"
    if not 200 <= found.status < 300:
        return f"{shown} answers {found.status}; the API would not get the file either"
    if found.content_type in ("text/html", "application/xhtml+xml"):
        return f"{shown} is a web page, not a file; give the address of the file itself"
    allowed_mb = one.allowed_mb(found.content_type)
    if found.size_bytes is not None and found.size_bytes > allowed_mb * MB:
        return f"{shown} is {size_text(found.size_bytes)}, at most {allowed_mb} MB are taken"
    return None


def _shown(url: str) -> str:
    """Return the address for a message: cut, without the query, which may hold a signature."""
    address = without_query(url)
    cut = address if len(address) <= 120 else address[:119] + "…"
    return repr(cut + ("?…" if "?" in url else ""))


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host is not known"
    return " ".join(str(error).split())[:160] or type(error).__name__
