"""Outputs on the local disk (port `OutputStore`).

A file is streamed to `NAME.part`, checked, made durable and only then renamed: whatever lies
under a final name is whole. No file that lies there already is ever overwritten. The token is
not known in here.
"""

from __future__ import annotations

import asyncio
import filecmp
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import aiofiles
import aiohttp
from yarl import URL

from batchgen import __version__
from batchgen.core.errors import LocalIOError
from batchgen.core.events import ErrorKind, JobError, OutputFile
from batchgen.durable import sync_directory, sync_file
from batchgen.outputs import media
from batchgen.outputs.guard import Forbidden, Guard, GuardedResolver
from batchgen.outputs.names import Names
from batchgen.ports import FilesSaved, LinkExpired, SaveAnswer, SaveLater

MAX_FILE_BYTES = 2 << 30
CHUNK_BYTES = 1 << 18
MAX_REDIRECTS = 5
EXPIRED = frozenset({403, 404, 410})

CONNECT_TIMEOUT_S = 10.0
STALL_TIMEOUT_S = 120.0
"""Without a byte; there is no limit to a download as a whole (both as in the vendor's CLI)."""


@dataclass(slots=True, kw_only=True)
class _Partial:
    """What is known of one output while it is fetched; lives as long as the run."""

    stem: str
    path: Path
    received_bytes: int = 0
    validator: str = ""
    """ETag of what was received, with which the server can say that it is still the same."""


class _NotNow(Exception):
    """This try has come to nothing; carries the answer for the runner."""

    def __init__(self, answer: LinkExpired | SaveLater) -> None:
        super().__init__(answer.error.message)
        self.answer = answer


@dataclass(slots=True, kw_only=True)
class LocalStore:
    """Puts outputs into a directory."""

    run_dir: Path
    directory: Path
    guard: Guard
    names: Names
    name_of: Callable[[str, int], str] = lambda job, index: f"{job}-{index}"
    """What an output is to be called, before that is made safe and claimed."""
    max_file_bytes: int = MAX_FILE_BYTES
    _saved: dict[tuple[str, int], OutputFile] = field(default_factory=dict)
    _partials: dict[tuple[str, int], _Partial] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=GuardedResolver(self.guard)),
            headers={"User-Agent": f"batchgen/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=STALL_TIMEOUT_S
            ),
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

    async def save(self, job: str, urls: tuple[str, ...]) -> SaveAnswer:
        """Fetch what is not there yet. Raises `LocalIOError` for what is wrong with the disk."""
        try:
            files = [await self._save_one(job, i, url) for i, url in enumerate(urls, start=1)]
        except _NotNow as stopped:
            return stopped.answer
        except OSError as error:
            raise LocalIOError(f"{self.directory}: {error.strerror or error}") from error
        for index in range(1, len(urls) + 1):
            self._saved.pop((job, index), None)
        return FilesSaved(files=tuple(files))

    async def _save_one(self, job: str, index: int, url: str) -> OutputFile:
        key = (job, index)
        if key not in self._saved:
            partial = self._partials.get(key) or self._begin(key)
            content_type = await self._fetch(partial, url)
            self._saved[key] = await asyncio.to_thread(self._finish, partial, content_type)
            del self._partials[key]
        return self._saved[key]

    def _begin(self, key: tuple[str, int]) -> _Partial:
        self.directory.mkdir(parents=True, exist_ok=True)
        stem = self.names.claim(self.name_of(*key))
        partial = _Partial(stem=stem, path=self.directory / f"{stem}.part")
        self._partials[key] = partial
        return partial

    # Fetching.

    async def _fetch(self, partial: _Partial, text: str) -> str:
        """Bring the part to its full length; the content type. Raises `_NotNow` or OSError."""
        before = partial.received_bytes
        try:
            async with await self._open(partial, text) as response:
                await self._receive(partial, response)
                return response.content_type
        except Forbidden as error:
            raise _NotNow(_later(str(error), hopeless=True)) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            message = str(error) or "the download stalled"
            received = max(0, partial.received_bytes - before)
            raise _NotNow(_later(message, received_bytes=received)) from None

    async def _open(self, partial: _Partial, text: str) -> aiohttp.ClientResponse:
        """The answer at the end of the redirects, each hop of which is checked."""
        url = self.guard.check(text)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(url, partial)
            if response.status not in (301, 302, 303, 307, 308):
                return response
            response.release()
            location = URL(response.headers.get("Location", ""), encoded=True)
            url = self.guard.check(str(url.join(location)))
        raise Forbidden(f"more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: URL, partial: _Partial) -> aiohttp.ClientResponse:
        assert self._session is not None, "the store is used inside `async with`"  # noqa: S101
        headers = {}
        if partial.received_bytes and partial.validator:
            headers = {
                "Range": f"bytes={partial.received_bytes}-",
                "If-Range": partial.validator,
            }
        return await self._session.get(url, headers=headers, allow_redirects=False)

    async def _receive(self, partial: _Partial, response: aiohttp.ClientResponse) -> None:
        self._check_answer(response, partial)
        if not _continues(response, partial):
            partial.received_bytes = 0
        etag = response.headers.get("ETag", "")
        partial.validator = "" if etag.startswith("W/") else etag
        mode: Literal["r+b", "wb"] = "r+b" if partial.received_bytes else "wb"
        async with aiofiles.open(partial.path, mode) as file:
            await file.seek(partial.received_bytes)
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                await file.write(chunk)
                partial.received_bytes += len(chunk)
                self._check_size(partial.received_bytes)
            await file.truncate()
        if partial.received_bytes == 0:
            raise _NotNow(_later("the file is empty"))

    def _check_answer(self, response: aiohttp.ClientResponse, partial: _Partial) -> None:
        status = response.status
        if status in EXPIRED:
            error = JobError(
                kind=ErrorKind.EXPIRED, message=f"the link answers {status}", http_status=status
            )
            raise _NotNow(LinkExpired(error=error))
        if status == 416:  # the part and the file do not match: begin anew
            partial.received_bytes = 0
        if status not in (200, 206):
            raise _NotNow(_later(f"the download answers {status}", http_status=status))
        self._check_size(response.content_length or 0)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self.max_file_bytes:
            message = f"the file is larger than {self.max_file_bytes:,} bytes"
            raise _NotNow(_later(message, hopeless=True))

    # Finishing; runs in a thread.

    def _finish(self, partial: _Partial, content_type: str) -> OutputFile:
        digest = hashlib.sha256()
        with partial.path.open("rb") as file:
            start = file.read(media.SNIFF_BYTES)
            if media.is_web_page(start, content_type):
                partial.received_bytes = 0
                raise _NotNow(_later("a web page came in place of the file"))
            file.seek(0)
            while chunk := file.read(CHUNK_BYTES * 4):
                digest.update(chunk)
            sync_file(file.fileno())
        name = self._rename(partial, media.extension(start, content_type))
        path = Path(os.path.relpath(self.directory / name, self.run_dir)).as_posix()
        return OutputFile(path=path, bytes=partial.received_bytes, sha256=digest.hexdigest())

    def _rename(self, partial: _Partial, extension: str) -> str:
        """Give the file its name; one that a crash left there unrecorded is the same file."""
        stem = partial.stem
        while True:
            final = self.directory / f"{stem}.{extension}"
            if not final.exists() or filecmp.cmp(partial.path, final, shallow=False):
                break
            stem = self.names.claim(stem)
        partial.path.replace(final)
        sync_directory(self.directory)
        return final.name


def _continues(response: aiohttp.ClientResponse, partial: _Partial) -> bool:
    """Whether the answer goes on exactly where the part ends."""
    if response.status != 206 or not partial.received_bytes:
        return False
    return response.headers.get("Content-Range", "").startswith(f"bytes {partial.received_bytes}-")


def _later(
    message: str, *, received_bytes: int = 0, hopeless: bool = False, http_status: int | None = None
) -> SaveLater:
    error = JobError(kind="download", message=message, http_status=http_status)
    return SaveLater(error=error, received_bytes=received_bytes, hopeless=hopeless)
