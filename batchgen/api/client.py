"""The calls of the Model API, one method each (port `GenerationAPI`).

A call is made once and comes back as a value; whether to call again is decided elsewhere. The
token goes to the API's origin only: URLs are built from the base and an id, never taken from an
answer, redirects are not followed, and no proxy or netrc of the environment is consulted.

Whatever a server answers becomes a value. If a defect of this program keeps an answer from being
read, it is reported as one, and the answer counts as unreadable: no job but this one notices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from batchgen import __version__
from batchgen.core.api_answers import (
    CancelOutcome,
    Doubt,
    Lost,
    NoReply,
    PollAnswer,
    Reply,
    SubmitAnswer,
    TryAgain,
)
from batchgen.core.api_base import DEFAULT_BASE_URL, ApiBase
from batchgen.core.api_decoding import (
    amount_usd,
    read_cancel,
    read_presence,
    read_result,
    read_status,
    read_submit,
    read_token_check,
)
from batchgen.core.errors import defect_sentence
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.json_reader import BadJSON, JSONValue, decode_json
from batchgen.core.model_entry import ModelEntry, ModelPage, read_entry, read_page
from batchgen.core.secret import Secret
from batchgen.core.throttle import read_http_date_s
from batchgen.net.http_get import CONNECT_TIMEOUT_S, retry_after_s
from batchgen.ports import Clock

T = TypeVar("T")
U = TypeVar("U")

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 << 20
"""An answer is a small JSON object; a larger body is not one."""

MAX_TEXT_BYTES = 4096
"""Of a body that are kept for messages; cut after the token was taken out, never through it."""
MAX_BALANCE_USD = 1e9

BALANCE_URL = "https://api.runcomfy.net/prod/v2/balance"

POST_KEEPALIVE_S = 1.0
GET_TIMEOUT_S = 20.0
POST_TIMEOUT_S = 90.0
"""Read timeouts as in the vendor's own clients (ComfyUI partner nodes)."""

_TIMEOUTS = {
    "GET": aiohttp.ClientTimeout(total=GET_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
    "POST": aiohttp.ClientTimeout(total=POST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The result of one free call: whether the API answers, accepts the token, and its time."""

    why: str = ""
    """Why there was no answer; empty if there was one."""
    http_status: int = 0
    accepts_token: bool | None = None
    """None if the API is not available (no answer, 408, 429, a 5xx)."""
    now_s: float | None = None
    """The time by its clock (header `Date`), in seconds since 1970."""


class ModelAPI:
    """One session with one API, for one token; used inside `async with`."""

    def __init__(
        self,
        base: ApiBase,
        token: Secret,
        *,
        clock: Clock,
        connections: int = 64,
        on_defect: Callable[[str], None] = _log.error,
    ) -> None:
        """`on_defect` takes a sentence on a defect of this program that spoiled one answer."""
        self._on_defect = on_defect
        self._base = base
        self._token = token
        self._clock = clock
        self._gets = _session(aiohttp.TCPConnector(limit=connections))
        # A POST on a pooled connection that the server is just closing would be a doubt. So
        # POSTs reuse a connection only within a moment, far below any server's idle limit, and
        # never wait for one: a time-out in a pool would look like a lost answer.
        self._posts = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=POST_KEEPALIVE_S))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._gets.close()
        await self._posts.close()

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        """Call `POST /models/{model_id}`; the body is the input object itself."""
        body = msgspec.json.encode(values)
        reply = await self._call("POST", f"/models/{model}", body=body)
        return self._guarded(lambda: read_submit(reply), lambda why: Doubt(error=_unread(why)))

    async def status(self, request_id: str) -> PollAnswer:
        """Call `GET /requests/{request_id}/status`."""
        reply = await self._call("GET", f"{_request_path(request_id)}/status")
        return self._guarded(lambda: read_status(reply), lambda why: TryAgain(error=_unread(why)))

    async def result(self, request_id: str) -> PollAnswer:
        """Call `GET /requests/{request_id}/result`, with the cost (a query of the vendor's CLI)."""
        path = f"{_request_path(request_id)}/result?include_cost=true"
        reply = await self._call("GET", path)
        return self._guarded(lambda: read_result(reply), lambda why: TryAgain(error=_unread(why)))

    async def cancel(self, request_id: str) -> CancelOutcome:
        """Call `POST /requests/{request_id}/cancel`, without a body."""
        reply = await self._call("POST", f"{_request_path(request_id)}/cancel")
        return self._guarded(lambda: read_cancel(reply), lambda _: CancelOutcome.UNKNOWN)

    async def model(self, model_id: str) -> ModelEntry | Reply | NoReply:
        """Call `GET /models/{model_id}`; return the entry, or what came instead of one."""
        reply = await self._call("GET", f"/models/{model_id}")
        return self._guarded(lambda: _read_payload(read_entry, reply) or reply, lambda _: reply)

    async def balance_usd(self) -> float | None:
        """Return the balance; None if it is not known.

        The only call to another host that gets the token (vendor's CLI: balance), and only for the
        built-in API: a sandbox or a proxy must not see the balance.
        """
        if self._base.url != DEFAULT_BASE_URL:
            return None
        reply = await self._fetch("GET", BALANCE_URL)
        payload = reply.payload if isinstance(reply, Reply) else None
        value = payload.get("balance_usd") if isinstance(payload, dict) else None
        return amount_usd(value, at_least=-MAX_BALANCE_USD, at_most=MAX_BALANCE_USD)

    async def has_model(self, model: str) -> bool | None:
        """Return whether the catalogue knows a model; None if the API does not answer."""
        reply = await self._call("GET", f"/models/{model}")
        return self._guarded(lambda: read_presence(reply), lambda _: None)

    async def accepts_token(self, model: str) -> bool | None:
        """Return whether a free call with the token is allowed; None if the API does not answer."""
        return read_token_check(await self._call("GET", f"/models/{model}"))

    async def probe(self, model: str) -> Probe:
        """Make the same call, and return everything that its answer tells."""
        headers: dict[str, str] = {}
        reply = await self._fetch("GET", f"{self._base.url}/models/{model}", received=headers)
        if isinstance(reply, NoReply):
            return Probe(why=reply.message)
        return Probe(
            http_status=reply.http_status, accepts_token=read_token_check(reply),
            now_s=read_http_date_s(headers.get("Date", "")),
        )  # fmt: skip

    async def models(self, query: Mapping[str, str | int]) -> ModelPage | Reply | NoReply:
        """Call `GET /models` (queries of the vendor's CLI); return a page, or what came instead."""
        reply = await self._call("GET", f"/models?{urlencode(query)}")
        return self._guarded(lambda: _read_payload(read_page, reply) or reply, lambda _: reply)

    async def _call(self, method: str, path: str, *, body: bytes | None = None) -> Reply | NoReply:
        return await self._fetch(method, self._base.url + path, body=body)

    async def _fetch(
        self,
        method: str,
        text: str,
        *,
        body: bytes | None = None,
        received: dict[str, str] | None = None,
    ) -> Reply | NoReply:
        """Make one call; `received` takes the headers of the answer."""
        url = URL(text, encoded=True)
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        session = self._gets if method == "GET" else self._posts
        try:
            async with session.request(
                method, url, data=body, headers=headers, timeout=_TIMEOUTS[method],
                allow_redirects=False,
            ) as response:  # fmt: skip
                raw = await _read_bounded(response)
                if received is not None:
                    received.update(response.headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Connecting failed, TLS included: no byte of the request has left.
            return NoReply(lost=Lost.NOT_SENT, message=self._describe(error))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return NoReply(lost=Lost.UNKNOWN, message=self._describe(error))
        return self._guarded(
            lambda: self._reply(response, raw),
            lambda why: NoReply(lost=Lost.UNKNOWN, message=_unread(why).message),
        )

    def _reply(self, response: aiohttp.ClientResponse, raw: bytes) -> Reply:
        try:
            payload = decode_json(raw)
        except BadJSON:
            payload = None
        text = raw[:MAX_TEXT_BYTES].decode("utf-8", "replace")
        if self._token.may_be_in(raw):
            payload, text = self._token.redact_all(payload), self._token.redact(text)
        return Reply(
            http_status=response.status,
            payload=payload,
            text=text[:600],
            retry_after_s=retry_after_s(response, now_s=self._clock.now_s()),
        )

    def _guarded(self, read: Callable[[], T], unreadable: Callable[[str], U]) -> T | U:
        """Return what was read, or after a defect what stands for an answer that is unreadable."""
        try:
            return read()
        except Exception as defect:  # noqa: BLE001 - one answer must not end the run
            why = defect_sentence(defect)
            self._on_defect(why)
            return unreadable(why)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return "no answer in time"
        return self._token.redact(str(error) or type(error).__name__)[:300]


def _unread(why: str) -> JobError:
    return JobError(kind=ErrorKind.LOST_ANSWER, message=f"the answer could not be read: {why}")


def _read_payload(read: Callable[[object], T | None], reply: Reply | NoReply) -> T | None:
    return read(reply.payload) if isinstance(reply, Reply) else None


def _request_path(request_id: str) -> str:
    return f"/requests/{quote(request_id, safe='')}"


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        headers={"Accept": "application/json", "User-Agent": f"batchgen/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the answer is larger than {MAX_BODY_BYTES:,} bytes")
    return bytes(body)
