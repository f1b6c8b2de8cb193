"""A download of a file from an address that the user gave, bounded in time and size."""

from __future__ import annotations

import asyncio
import os
from typing import IO

from aiohttp import ClientError, ClientPayloadError, ClientResponse

from batchgen.net.http_get import HttpGet
from batchgen.net.url_policy import Forbidden, UrlPolicy

ANSWER_S = 30.0
"""The time until the answer begins, and between two parts of it."""
WHOLE_S = 300.0
"""The time until the answer is whole."""
MAX_BYTES = 256 << 20
OK = 200


class DownloadFailed(Exception):
    """The file could not be fetched; the message says why, without the address."""


async def download(address: str, file: IO[bytes], *, loopback: bool) -> str:
    """Write the file at an address to `file`, and return its Content-Type, which may be empty.

    `loopback`: the address names this machine, so its redirects may stay there too.
    Raises `DownloadFailed`, and OSError if `file` cannot be written.
    """
    try:
        async with asyncio.timeout(WHOLE_S), HttpGet(UrlPolicy(loopback=loopback)) as http:
            async with asyncio.timeout(ANSWER_S):
                response = await http.request(address)
            async with response:
                return await _copied(response, file)
    except Forbidden as error:
        raise DownloadFailed(str(error)) from None
    except TimeoutError:
        raise DownloadFailed(f"no answer within {ANSWER_S:.0f} s") from None
    except ClientPayloadError:
        raise DownloadFailed("the answer ended before it was whole") from None
    except ClientError as error:
        number = getattr(getattr(error, "os_error", None), "errno", None)
        why = os.strerror(number) if number else type(error).__name__
        raise DownloadFailed(f"cannot be fetched: {why}") from None


async def _copied(response: ClientResponse, file: IO[bytes]) -> str:
    if response.status != OK:
        raise DownloadFailed(f"the server answered {response.status}")
    size_bytes = 0
    while True:
        async with asyncio.timeout(ANSWER_S):
            block = await response.content.read(1 << 18)
        if not block:
            return response.headers.get("Content-Type", "")
        size_bytes += len(block)
        if size_bytes > MAX_BYTES:
            raise DownloadFailed(f"the answer is longer than {MAX_BYTES >> 20} MB")
        file.write(block)
