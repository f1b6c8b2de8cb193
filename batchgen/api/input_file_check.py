"""Whether the API could fetch the files that the inputs point at, asked with small requests.

The API fetches them without a login from the public internet, so that is how they are asked for
here: no token, no cookies, no private address, each hop of a redirect checked. A file itself is
never downloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from batchgen import __version__
from batchgen.core.errors import Problem
from batchgen.core.input_files import MB, MediaInput
from batchgen.core.units import size_text
from batchgen.net.url_policy import CheckedResolver, Forbidden, require_public

CONCURRENCY = 16
TIMEOUT_S = 10.0
"""For one address, its redirects included."""
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEAD_MAY_BE_WRONG = frozenset({400, 403, 405, 501})
"""Servers without HEAD say 405 or 501; a pre-signed address is signed for GET alone and refuses
a HEAD as forbidden."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an address answered."""

    status: int
    content_type: str
    size_bytes: int | None
    """None where the server does not tell."""


class OnlineCheck:
    """Asks addresses; use it as `async with`.

    `local`: also plain http and private addresses, for an API that is on this machine itself.
    """

    def __init__(
        self, *, local: bool = False, concurrency: int = CONCURRENCY, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._local = local
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = None if self._local else CheckedResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=self._concurrency),
            headers={"User-Agent": f"batchgen/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def problems(self, inputs: Iterable[MediaInput]) -> list[Problem]:
        """What the API could not fetch, in the order of `inputs`, which name each URL once."""
        waiting = enumerate(inputs)
        found: dict[int, Problem] = {}

        async def work() -> None:
            for number, one in waiting:
                if what := await self.fault(one):
                    found[number] = Problem(one.where, what)

        await asyncio.gather(*(work() for _ in range(self._concurrency)))
        return [found[number] for number in sorted(found)]

    async def fault(self, one: MediaInput) -> str | None:
        """Why the API could not fetch this file, in a sentence with what would be right."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return _judged(one, await self._ask(one.url))
        except Forbidden as error:
            return f"{_shown(one.url)} cannot be fetched by the API: {error}"
        except TimeoutError:
            return f"{_shown(one.url)} gave no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{_shown(one.url)} cannot be reached: {_cause(error)}"

    async def _ask(self, text: str) -> Found:
        found = await self._follow("HEAD", text)
        if found.status in HEAD_MAY_BE_WRONG:
            return await self._follow("GET", text)
        return found

    async def _follow(self, method: str, text: str) -> Found:
        """The answer at the end of the redirects. Raises `Forbidden`."""
        url = self._checked(text)
        for _ in range(MAX_REDIRECTS + 1):
            found, location = await self._one(method, url)
            if found.status not in REDIRECTS or not location:
                return found
            url = self._checked(str(url.join(URL(location, encoded=True))))
        raise Forbidden(f"it redirects more than {MAX_REDIRECTS} times")

    async def _one(self, method: str, url: URL) -> tuple[Found, str]:
        assert self._session is not None, "used inside `async with`"  # noqa: S101
        headers = {"Range": "bytes=0-0"} if method == "GET" else {}
        response = await self._session.request(method, url, headers=headers, allow_redirects=False)
        # Closed, not released: the rest of a file that nobody wants is not read.
        response.close()
        found = Found(response.status, response.content_type, _size_bytes(response))
        return found, response.headers.get("Location", "")

    def _checked(self, text: str) -> URL:
        if "\\" in text or any(ord(char) <= 32 for char in text):
            raise Forbidden("it has a blank or a backslash in it")
        url = URL(text, encoded=True)
        host = (url.host or "").rstrip(".")
        if url.user is not None or url.password is not None:
            raise Forbidden("it carries a user name or password")
        if url.scheme != "https" and not (self._local and url.scheme == "http"):
            raise Forbidden(f"only https is fetched, not {url.scheme or 'this'}")
        if not host:
            raise Forbidden("it names no host")
        if not self._local:
            require_public(host)
        return url


def _size_bytes(response: aiohttp.ClientResponse) -> int | None:
    """Of the whole file; a ranged answer tells it behind the slash of its Content-Range."""
    if response.status == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(total) if total.isascii() and total.isdecimal() else None
    return response.content_length


def _judged(one: MediaInput, found: Found) -> str | None:
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
    """Without the query, where pre-signed addresses have their signature; cut."""
    address, mark, _ = url.partition("?")
    cut = address if len(address) <= 120 else address[:119] + "…"
    return repr(cut + ("?…" if mark else ""))


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host is not known"
    return " ".join(str(error).split())[:160] or type(error).__name__
