"""Downloads over HTTP: the bytes of an output into its part, resumed if possible, without stalls.

Where whole files go is not known here, and neither is the token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from msgspec.structs import replace

from batchgen.core.errors import BatchgenError, defect_sentence
from batchgen.core.events import ErrorKind, JobError
from batchgen.net.http_get import HttpGet, content_range, retry_after_s
from batchgen.net.url_policy import Forbidden, without_query
from batchgen.outputs.answers import DownloadPostponed, save_later
from batchgen.outputs.part_file import PartFile, PartWriter, ResumeNote
from batchgen.ports import Clock, LinkExpired, SaveLater

_log = logging.getLogger(__name__)

EXPIRED = frozenset({403, 404, 410})
STALL_S = 120.0
"""A download ends if less than `MIN_PROGRESS_BYTES` arrive in that time; the whole has no limit."""
MIN_PROGRESS_BYTES = 32 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches outputs into parts."""

    http: HttpGet
    clock: Clock
    threads: Executor
    max_file_bytes: int
    stall_s: float = STALL_S
    on_defect: Callable[[str], None] = _log.error
    """Takes a sentence on a defect of this program that spoiled one download."""

    async def fetch(
        self, note: ResumeNote, part: PartFile, url: str, remember: Callable[[ResumeNote], None]
    ) -> ResumeNote:
        """Bring the part to its full length, resumed if the server allows.

        Return the note for the whole part; meanwhile `remember` is given notes for what has been
        received, on threads. Raise `DownloadPostponed` for what the network or the server does,
        OSError for what the disk does. A defect of this program is reported as one, and costs this
        download only.
        """
        try:
            return await self._fetch(note, part, url, remember)
        except (DownloadPostponed, BatchgenError, OSError):
            raise
        except Exception as defect:
            why = defect_sentence(defect)
            self.on_defect(why)
            raise DownloadPostponed(save_later(why, hopeless=True)) from defect

    async def _fetch(
        self, note: ResumeNote, part: PartFile, url: str, remember: Callable[[ResumeNote], None]
    ) -> ResumeNote:
        had_bytes = note.high_water_bytes
        try:
            async with (
                asyncio.timeout(self.stall_s) as watchdog,
                await self._request(note, part, url) as response,
            ):
                self._check_answer(response, note, part)
                begun = _begun(response, note, part, url)
                await self._receive(
                    response, part, lambda: remember(begun.with_bytes_of(part)), watchdog
                )
        except (Forbidden, TimeoutError, aiohttp.ClientError) as error:
            later = self._later_after(error, gained_bytes=part.size_bytes - had_bytes)
            raise DownloadPostponed(later) from None
        note = begun.with_bytes_of(part)
        if note.total_bytes not in (None, part.size_bytes):
            message = f"{part.size_bytes:,} bytes came instead of {note.total_bytes:,}"
            raise DownloadPostponed(save_later(message), note.without_bytes())
        return note

    def _later_after(self, error: Exception, *, gained_bytes: int) -> SaveLater:
        if isinstance(error, Forbidden):
            return save_later(str(error), hopeless=True)
        if isinstance(error, TimeoutError):
            message = str(error) or f"less than {MIN_PROGRESS_BYTES:,} bytes in {self.stall_s:g} s"
            # A trickle is not progress: a download that counts it would never end.
            enough = gained_bytes if gained_bytes >= MIN_PROGRESS_BYTES else 0
            return save_later(f"the download stalled: {message}", received_bytes=enough)
        message = str(error) or "the connection broke"
        return save_later(message, received_bytes=max(0, gained_bytes))

    async def _request(self, note: ResumeNote, part: PartFile, url: str) -> aiohttp.ClientResponse:
        headers = {}
        if part.size_bytes and note.validator:
            headers = {"Range": f"bytes={part.size_bytes}-", "If-Range": note.validator}
        return await self.http.request(url, headers=headers)

    def _check_answer(
        self, response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile
    ) -> None:
        status = response.status
        if status in EXPIRED:
            error = JobError(
                kind=ErrorKind.EXPIRED, message=f"the link answers {status}", http_status=status
            )
            raise DownloadPostponed(LinkExpired(error=error))
        if status != 200 and not (status == 206 and _continues(response, note, part)):
            later = save_later(
                f"the download answers {status}",
                http_status=status,
                retry_after_s=retry_after_s(response, now_s=self.clock.now_s()),
            )
            # The part and the file do not match.
            useless = status in (206, 416)
            raise DownloadPostponed(later, note.without_bytes() if useless else None)
        self._check_size(_total_bytes(response, note) or 0)

    async def _receive(
        self,
        response: aiohttp.ClientResponse,
        part: PartFile,
        write_note: Callable[[], None],
        watchdog: asyncio.Timeout,
    ) -> None:
        loop = asyncio.get_running_loop()
        writer = PartWriter(part, self.threads, write_note)
        size_bytes, since_bytes = part.size_bytes, 0
        try:
            async for chunk in response.content.iter_any():
                size_bytes += len(chunk)
                since_bytes += len(chunk)
                if since_bytes >= MIN_PROGRESS_BYTES:
                    since_bytes = 0
                    watchdog.reschedule(loop.time() + self.stall_s)
                self._check_size(size_bytes)
                await writer.add(chunk)
            await writer.flush()
        except BaseException:
            try:
                await writer.flush()
            finally:
                with suppress(OSError):  # a full disk is an error already; the note only helps
                    await loop.run_in_executor(self.threads, write_note)
            raise

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self.max_file_bytes:
            message = f"the file is larger than {self.max_file_bytes:,} bytes"
            raise DownloadPostponed(save_later(message, hopeless=True))


# The headers of an answer, and what they tell about the bytes in it.


def _begun(
    response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile, url: str
) -> ResumeNote:
    """Return the note for an answer that is about to be received."""
    if response.status != 206:
        part.begin_again()
    return replace(
        note,
        total_bytes=_total_bytes(response, note),
        validator=_validator(response),
        content_type=response.content_type,
        url=without_query(url),
    )


def _continues(response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile) -> bool:
    """Return whether the answer begins exactly where the part ends, in a file of that length."""
    first, total_bytes = content_range(response)
    same = note.total_bytes is None or total_bytes in (None, note.total_bytes)
    return bool(part.size_bytes) and first == part.size_bytes and same


def _total_bytes(response: aiohttp.ClientResponse, note: ResumeNote) -> int | None:
    """Return the length of the whole file; None if the server does not say."""
    if response.status == 206:
        _, total_bytes = content_range(response)
        return note.total_bytes if total_bytes is None else total_bytes
    return None if _is_encoded(response) else response.content_length


def _is_encoded(response: aiohttp.ClientResponse) -> bool:
    """Return whether lengths and ranges are of other bytes: compressed, though nobody asked."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def _validator(response: aiohttp.ClientResponse) -> str:
    """Return what If-Range may say of these bytes; empty if nothing identifies them for certain.

    A weak ETag names bytes that only mean the same. A Last-Modified is good if it is older than
    the answer by at least a second: what changes twice within a second keeps its date.
    """
    if _is_encoded(response):
        return ""
    etag = response.headers.get("ETag", "").strip()
    if etag:
        return etag if etag.startswith('"') else ""
    modified, date = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age.total_seconds() >= 1 else ""
