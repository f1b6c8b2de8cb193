"""The check of an address before it is sent to the API (port `AddressCheck`)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import Forbidden

TIMEOUT_S = 10.0
GONE = frozenset({403, 404, 410})
"""The answers of an address that has expired."""
_HEAD_MAY_BE_WRONG = frozenset({400, 403, 405, 501})
"""Servers without HEAD, and addresses that are signed for GET alone, answer so."""


@dataclass(frozen=True, slots=True)
class HttpAddressCheck:
    """Asks addresses over a session whose policy is that of the outputs."""

    http: HttpGet

    async def is_gone(self, url: str) -> bool:
        """Tell whether an address has expired.

        An address that gives no answer here may still be reached by the API, so it counts as good.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._status("HEAD", url)
                if status in _HEAD_MAY_BE_WRONG:
                    status = await self._status("GET", url)
        except (aiohttp.ClientError, OSError, TimeoutError, Forbidden, ValueError):
            return False
        return status in GONE

    async def _status(self, method: str, url: str) -> int:
        headers = {"Range": "bytes=0-0"} if method == "GET" else {}
        response = await self.http.request(url, method=method, headers=headers)
        response.close()  # not released: the rest of a file that nobody wants is not read
        return response.status
