"""A ping: one POST that tells a monitor that a run has begun, or how it ended.

The address is the user's own, so it may be on a private network, with plain http, and with a name
and password in it. A redirect is not followed: the body would go to somebody else.
"""

from __future__ import annotations

import asyncio
import os

import aiohttp
from yarl import URL

from batchgen import __version__

START = "start"
MAX_BODY_BYTES = 10_000
_SUCCESS = range(200, 300)


def ping_fault(address: str) -> str:
    """Return why an address cannot be pinged, without repeating it; empty if it can be."""
    try:
        url = URL(address)
        host = url.host
    except ValueError:
        return "it is not a valid URL"
    if url.scheme not in ("http", "https") or not host:
        return "it is not an address that begins with https:// or http://"
    return ""


def address_for(address: str, event: str) -> URL:
    """Return the address to POST to: `start`, an exit code, or empty for exit code 0."""
    url = URL(address)
    path = f"{url.raw_path.rstrip('/')}/{event}" if event else url.raw_path
    return url.with_path(path, encoded=True, keep_query=True, keep_fragment=False)


def ping(address: str, event: str, body: str, *, timeout_s: float) -> str:
    """POST the body; return why that failed, without the secret parts of the address, or "".

    Never raises for what the network or the server does.
    """
    if fault := ping_fault(address):
        return fault
    return asyncio.run(_post(address_for(address, event), body, timeout_s))


async def _post(url: URL, body: str, timeout_s: float) -> str:
    data = body.encode("utf-8", "replace")[:MAX_BODY_BYTES]
    headers = {"User-Agent": f"batchgen/{__version__}", "Content-Type": "text/plain; charset=utf-8"}
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=data, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status in _SUCCESS:
                return ""
            return f"the server answered {answer.status}"
    except TimeoutError:
        return f"no answer within {timeout_s:.0f} s"
    except (aiohttp.ClientConnectorError, OSError) as error:
        return f"it cannot be reached ({_reason(error)})"
    except (aiohttp.ClientError, ValueError) as error:
        return f"it cannot be reached ({type(error).__name__})"


def _reason(error: aiohttp.ClientConnectorError | OSError) -> str:
    """Return the reason of the system alone: the text of an error may repeat the address."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return os.strerror(inner.errno) if inner.errno else type(inner).__name__
