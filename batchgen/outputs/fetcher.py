"""What the headers of an answer say of the bytes in it: which they are, and of what.

Bringing the bytes of an output here over HTTP: hops checked, gone on with, watched for stalls.

Where the bytes go is not known in here, and neither is the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from batchgen import __version__
from batchgen.core.events import ErrorKind, JobError
from batchgen.net.url_policy import Forbidden, GuardedResolver, UrlPolicy
from batchgen.outputs.part_file import PartFile, PartWriter, ResumeNote
from batchgen.ports import LinkExpired, SaveLater


def _content_range(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """First byte and total of `bytes 5000-9999/10000`, as they stand there."""
    span, _, total = response.headers.get("Content-Range", "").partition("/")
    return span.removeprefix("bytes ").partition("-")[0].strip(), total.strip()


def goes_on(response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile) -> bool:
    """Whether the answer goes on exactly where the part ends, in a file of the same length."""
    first, total = _content_range(response)
    same = note.total_bytes is None or total in ("*", str(note.total_bytes))
    return bool(part.size_bytes) and first == str(part.size_bytes) and same


def total_bytes(response: aiohttp.ClientResponse, note: ResumeNote) -> int | None:
    """Of the whole file; None where the server does not say."""
    if response.status == 206:
        total = _content_range(response)[1]
        return int(total) if total.isascii() and total.isdecimal() else note.total_bytes
    return None if _is_encoded(response) else response.content_length


def _is_encoded(response: aiohttp.ClientResponse) -> bool:
    """Compressed though nobody asked for it: lengths and ranges are then of other bytes."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def validator(response: aiohttp.ClientResponse) -> str:
    """What If-Range may say of these bytes; empty where nothing names them without doubt.

    A weak ETag names bytes that only mean the same. A Last-Modified is good where it is older than
    the answer by a second at least: what changes twice within one second keeps its date.
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


def retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """What a busy server asks for, where it says it in seconds."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else None


MAX_REDIRECTS = 5
EXPIRED = frozenset({403, 404, 410})

CONNECT_TIMEOUT_S = 10.0
STALL_S = 120.0
"""A download ends where less than this arrives in that time; as a whole it has no limit."""
MIN_PROGRESS_BYTES = 32 << 10
BUFFER_BYTES = 1 << 18
"""What may wait to be read, for each connection; the network is told to wait at twice that."""


class DownloadPostponed(Exception):
    """This try has come to nothing; carries the answer for the runner."""

    def __init__(self, answer: LinkExpired | SaveLater) -> None:
        super().__init__(answer.error.message)
        self.answer = answer


class Fetcher:
    """Fetches outputs into parts; used inside `async with`."""

    def __init__(
        self, guard: UrlPolicy, threads: Executor, *, max_file_bytes: int, stall_s: float = STALL_S
    ) -> None:
        self._guard, self._threads = guard, threads
        self._max_file_bytes, self._stall_s = max_file_bytes, stall_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=GuardedResolver(self._guard)),
            headers={"User-Agent": f"batchgen/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            read_bufsize=BUFFER_BYTES,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self, note: ResumeNote, part: PartFile, url: str, mark: Callable[[], None]
    ) -> None:
        """Bring the part to its full length, from where it is if the server allows.

        `mark` notes how far it is. Raises `DownloadPostponed` for what the network or the server
        does, with the part and its note as far as they got; OSError for what the disk does.
        """
        had_bytes = note.high_water_bytes
        try:
            async with (
                asyncio.timeout(self._stall_s) as watchdog,
                await self._open(note, part, url) as response,
            ):
                self._check_answer(response, note, part)
                self._begin(response, note, part, url)
                await self._receive(response, note, part, mark, watchdog)
        except Forbidden as error:
            raise DownloadPostponed(later(str(error), hopeless=True)) from None
        except TimeoutError as error:
            message = str(error) or f"less than {MIN_PROGRESS_BYTES:,} bytes in {self._stall_s:g} s"
            gained_bytes = part.size_bytes - had_bytes
            # A trickle is no progress: a server that sends it would be listened to for ever.
            enough = gained_bytes if gained_bytes >= MIN_PROGRESS_BYTES else 0
            raise DownloadPostponed(
                later(f"the download stalled: {message}", received_bytes=enough)
            ) from None
        except aiohttp.ClientError as error:
            gained_bytes = max(0, part.size_bytes - had_bytes)
            message = str(error) or "the connection broke"
            raise DownloadPostponed(later(message, received_bytes=gained_bytes)) from None
        if note.total_bytes not in (None, part.size_bytes):
            message = f"{part.size_bytes:,} bytes came instead of {note.total_bytes:,}"
            note.forget_bytes()
            raise DownloadPostponed(later(message))

    # The answer.

    async def _open(self, note: ResumeNote, part: PartFile, text: str) -> aiohttp.ClientResponse:
        """The answer at the end of the redirects, each hop of which is checked."""
        url = self._guard.check(text)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(url, note, part)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                return response
            response.release()
            url = self._guard.check(str(url.join(URL(location, encoded=True))))
        raise Forbidden(f"more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: URL, note: ResumeNote, part: PartFile) -> aiohttp.ClientResponse:
        assert self._session is not None, "used inside `async with`"  # noqa: S101
        headers = {}
        if part.size_bytes and note.validator:
            headers = {"Range": f"bytes={part.size_bytes}-", "If-Range": note.validator}
        return await self._session.get(url, headers=headers, allow_redirects=False)

    def _check_answer(
        self, response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile
    ) -> None:
        status = response.status
        if status in EXPIRED:
            error = JobError(
                kind=ErrorKind.EXPIRED, message=f"the link answers {status}", http_status=status
            )
            raise DownloadPostponed(LinkExpired(error=error))
        fits = status == 200 or (status == 206 and goes_on(response, note, part))
        if status in (206, 416) and not fits:  # the part and the file do not match: begin anew
            note.forget_bytes()
        if not fits:
            message = f"the download answers {status}"
            wait_s = retry_after_s(response)
            raise DownloadPostponed(later(message, http_status=status, retry_after_s=wait_s))
        self._check_size(total_bytes(response, note) or 0)

    def _begin(
        self, response: aiohttp.ClientResponse, note: ResumeNote, part: PartFile, url: str
    ) -> None:
        """Note what the server says of these bytes."""
        if response.status != 206:
            part.begin_anew()
        note.total_bytes = total_bytes(response, note)
        note.validator = validator(response)
        note.content_type = response.content_type
        note.url = plain(url)

    async def _receive(
        self,
        response: aiohttp.ClientResponse,
        note: ResumeNote,
        part: PartFile,
        mark: Callable[[], None],
        watchdog: asyncio.Timeout,
    ) -> None:
        loop = asyncio.get_running_loop()
        intake = PartWriter(part, self._threads, mark)
        size_bytes, since_bytes = part.size_bytes, 0
        try:
            async for chunk in response.content.iter_any():
                size_bytes += len(chunk)
                since_bytes += len(chunk)
                if since_bytes >= MIN_PROGRESS_BYTES:
                    since_bytes = 0
                    watchdog.reschedule(loop.time() + self._stall_s)
                self._check_size(size_bytes)
                await intake.add(chunk)
            await intake.flush()
        except BaseException:
            try:
                await intake.flush()
            finally:
                with suppress(OSError):  # a full disk has said so already; the note only helps
                    await loop.run_in_executor(self._threads, mark)
            raise
        finally:
            note.high_water_bytes = max(note.high_water_bytes, part.size_bytes)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_file_bytes:
            message = f"the file is larger than {self._max_file_bytes:,} bytes"
            raise DownloadPostponed(later(message, hopeless=True))


def plain(url: str) -> str:
    """A URL without query and fragment: what it is about, not who may see it until when."""
    return url.partition("#")[0].partition("?")[0]


def later(
    message: str,
    *,
    received_bytes: int = 0,
    hopeless: bool = False,
    http_status: int | None = None,
    retry_after_s: float | None = None,
) -> SaveLater:
    """The answer for the runner."""
    error = JobError(kind="download", message=message, http_status=http_status)
    return SaveLater(
        error=error, received_bytes=received_bytes, hopeless=hopeless, retry_after_s=retry_after_s
    )
