"""The live catalogue: one entry, or the listing page by page.

Its calls cost nothing and a run can do without them, so nothing is raised for what the network or
the server does: the answer is an entry, or the reason why there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from batchgen.core.api_answers import NoReply, Reply
from batchgen.core.api_decoding import error_code
from batchgen.core.model_entry import ModelEntry, NoCatalogueEntry, is_model_id

if TYPE_CHECKING:
    from batchgen.api.client import ModelAPI


T = TypeVar("T")

PAGE_LIMIT = 100
"""Entries per page; the most that clients are known to ask for."""
MAX_PAGES = 200
ENTRY_TIMEOUT_S = 5.0
LISTING_TIMEOUT_S = 30.0


class Catalogue:
    """The models of one API."""

    def __init__(self, api: ModelAPI) -> None:
        self._api = api

    async def entry(
        self, model_id: str, *, timeout_s: float = ENTRY_TIMEOUT_S
    ) -> ModelEntry | NoCatalogueEntry:
        """Return the entry of a model."""
        if not is_model_id(model_id):
            return NoCatalogueEntry(why=f"{model_id!r} is not a valid model id", reached=True)
        answer = await _in_time(self._api.model(model_id), timeout_s)
        if not isinstance(answer, ModelEntry):
            return _no_entry(answer)
        if answer.model_id != model_id:
            return NoCatalogueEntry(why="it answered for another model", reached=True)
        return answer

    async def listing(
        self, *, search: str = "", category: str = "", timeout_s: float = LISTING_TIMEOUT_S
    ) -> tuple[ModelEntry, ...] | NoCatalogueEntry:
        """Return every entry that fits, with its schema if the API adds one, in the API's order."""
        return await _in_time(self._pages(search, category), timeout_s)

    async def _pages(self, search: str, category: str) -> tuple[ModelEntry, ...] | NoCatalogueEntry:
        given = {"search": search, "category": category}
        query = {name: text for name, text in given.items() if text}
        found: dict[str, ModelEntry] = {}
        offset = 0
        for _ in range(MAX_PAGES):
            page = await self._api.models(
                query | {"limit": PAGE_LIMIT, "offset": offset, "include_schema": "true"}
            )
            if isinstance(page, (Reply, NoReply)):
                return _no_entry(page)
            before = len(found)
            found |= {entry.model_id: entry for entry in page.entries}
            offset += page.listed
            # The server may give fewer than were asked for, so a short page is not the last one.
            if len(found) == before or (page.total is not None and offset >= page.total):
                break
        return tuple(found.values())


async def _in_time(answer: Awaitable[T], timeout_s: float) -> T | NoCatalogueEntry:
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        return NoCatalogueEntry(why=f"no answer within {timeout_s:g} s", reached=False)


def _no_entry(answer: Reply | NoReply | NoCatalogueEntry) -> NoCatalogueEntry:
    if isinstance(answer, NoCatalogueEntry):
        return answer
    if isinstance(answer, NoReply):
        return NoCatalogueEntry(why=answer.message, reached=False)
    code = error_code(answer.payload)
    shown = f"error {code}" if code else f"HTTP {answer.http_status}"
    if answer.http_status == 404 or (code or 0) // 1000 == 404:
        return NoCatalogueEntry(why="it does not know this model", reached=True)
    if answer.http_status in (401, 403) or code in (400004, 401001):
        return NoCatalogueEntry(why=f"the token was rejected ({shown})", reached=False)
    return NoCatalogueEntry(why=f"it answered {shown}", reached=answer.http_status < 500)
