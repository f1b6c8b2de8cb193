"""The store of local input files (port `AssetStore`): each content is uploaded once, then signed.

The API fetches a file from the address that is made here for one submission. Nothing else learns
that address: it is a key to the file for as long as it is valid.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import obstore
from obstore.store import ObjectStore

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Asset
from batchgen.core.media_types import media_type
from batchgen.core.throttle import Backoff
from batchgen.outputs.answers import Unreachable
from batchgen.outputs.bucket import PIECE_BYTES, connected, translating_errors
from batchgen.ports import AssetChanged, Clock

UPLOADS = 4
"""At once, beside submissions and downloads."""
_BLOCK_BYTES = 1 << 20
TRIES = 5
"""Of one upload, before the store counts as unreachable."""


@dataclass(slots=True, kw_only=True)
class BucketAssets:
    """Files in an object store, by what is in them: `<prefix>/<sha256>.<ext>`."""

    url: str
    """`s3://bucket/prefix`."""
    expiry_s: float
    """How long an address is valid."""
    clock: Clock
    _store: Any = field(init=False, default=None, repr=False)
    _turns: asyncio.Semaphore = field(init=False, repr=False)
    _uploads: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict, repr=False)
    """By digest: many jobs may name one file."""

    async def prepare(self) -> None:
        """List the bucket, so that a wrong bucket or key is reported before anything is submitted.

        Raises `LocalIOError`.
        """
        self._turns = asyncio.Semaphore(UPLOADS)
        self._store = connected(self.url)
        try:
            await asyncio.to_thread(self._list)
        except Unreachable as error:
            raise LocalIOError(str(error)) from error

    def _list(self) -> None:
        with translating_errors(self.url):
            next(iter(obstore.list(self._store, chunk_size=1)), None)

    async def address_of(self, asset: Asset) -> str:
        """Return a fresh address of a file, which is uploaded if it is not there yet.

        Raises `AssetChanged` if the file is not as it was checked, and `LocalIOError`.
        """
        upload = self._uploads.get(asset.sha256)
        if upload is None:
            upload = asyncio.create_task(self._upload(asset))
            self._uploads[asset.sha256] = upload
        try:
            await asyncio.shield(upload)
        except (AssetChanged, LocalIOError):
            self._uploads.pop(asset.sha256, None)  # another file may have this content
            raise
        return await asyncio.to_thread(self._signed, _key(asset))

    def _signed(self, key: str) -> str:
        with translating_errors(self.url):
            expires_in = timedelta(seconds=self.expiry_s)
            return obstore.sign(self._store, "GET", key, expires_in)

    async def _upload(self, asset: Asset) -> None:
        backoff = Backoff()
        async with self._turns:
            for failures in range(1, TRIES + 1):
                try:
                    await asyncio.to_thread(put_asset, self._store, self.url, asset)
                except Unreachable as error:
                    if failures == TRIES:
                        raise LocalIOError(f"{asset.name} was not uploaded: {error}") from error
                    await self.clock.sleep(backoff.delay_s(failures, jitter=0.5))
                else:
                    return

    async def close(self) -> None:
        """End what is still being uploaded: the submissions that needed it are over."""
        for upload in self._uploads.values():
            upload.cancel()
        await asyncio.gather(*self._uploads.values(), return_exceptions=True)


def put_asset(store: ObjectStore, url: str, asset: Asset) -> None:
    """Put a file under its key, unless it is there. Blocks.

    Raises `AssetChanged`, `Unreachable` and `LocalIOError`.
    """
    key = _key(asset)
    with translating_errors(url):
        if _size_bytes(store, key) == asset.bytes:
            return
    attributes: Any = {"Content-Type": media_type(key) or "application/octet-stream"}
    # A copy that nobody else writes: what is digested is what is sent.
    with _checked_copy(asset) as copy, translating_errors(url):
        obstore.put(store, key, copy, attributes=attributes, chunk_size=PIECE_BYTES)


@contextmanager
def _checked_copy(asset: Asset) -> Iterator[IO[bytes]]:
    """Give a copy of a file in memory, of a large one on disk. Raises `AssetChanged`."""
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=PIECE_BYTES) as copy:
        try:
            with Path(asset.path).open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                    copy.write(block)
        except OSError as error:
            raise AssetChanged(f"{asset.name} cannot be read any more: {error}") from error
        if digest.hexdigest() != asset.sha256:
            raise AssetChanged(f"{asset.name} has changed since it was checked")
        copy.seek(0)
        yield copy


def _size_bytes(store: ObjectStore, key: str) -> int | None:
    try:
        return int(obstore.head(store, key)["size"])
    except FileNotFoundError:
        return None


def _key(asset: Asset) -> str:
    return f"{asset.sha256}.{asset.extension or 'bin'}"
