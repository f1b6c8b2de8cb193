"""A bucket of an object store as the destination of outputs: S3 and alike, Google Cloud, Azure.

The library comes with an extra: `destination` imports this module only for a bucket. It takes the
credentials from the environment by itself; nothing is known of them here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, from_url

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.answers import Unreachable
from batchgen.outputs.file_names import MAX_NAME_BYTES
from batchgen.system.crash_points import CrashPoint, reached

MAX_KEY_BYTES = 1024
"""The limit of S3, Google and Azure alike."""
PIECE_BYTES = 8 << 20
"""Larger files go in pieces of this size, two at a time, so that memory stays flat."""
_STATUS = re.compile(r"status code: (\d{3})")
CLAIM = ".claim"
"""Behind the key of an object that is put in pieces, for as long as that takes."""
DIGEST_KEY = "sha256"
"""Key in the metadata of each object, by which a later run knows it without reading it."""


@dataclass(slots=True, kw_only=True)
class Bucket:
    """Files are received on this machine, put whole under their keys, and then checked there."""

    url: str
    """`s3://bucket/prefix`."""
    parts: Path
    """Directory on this machine where files are received."""
    _store: ObjectStore = field(init=False, repr=False)

    @property
    def max_name_bytes(self) -> int:
        """The length that the prefix leaves of a key."""
        return min(
            MAX_NAME_BYTES, MAX_KEY_BYTES - len(urlsplit(self.url).path.encode()) - len(CLAIM)
        )

    def prepare(self) -> None:
        """List the bucket, so that a wrong bucket or key is reported now. Raise `LocalIOError`."""
        self._connect()
        try:
            with self._translating_errors():
                next(iter(obstore.list(self._store, chunk_size=1)), None)
        except Unreachable as error:
            raise LocalIOError(str(error)) from error

    def part_path(self, stem: str, digest: str) -> Path:  # noqa: ARG002 - keys may be no file names
        """Return a path in the run directory."""
        return self.parts / f"{digest}.part"

    def path_of(self, name: str) -> str:
        """Return the whole URL."""
        return f"{self.url.rstrip('/')}/{name}"

    def owns(self, path: str) -> bool:
        """Return whether its key is below the prefix."""
        return path.startswith(f"{self.url.rstrip('/')}/")

    def difference(self, file: OutputFile) -> str:
        """Compare the size, and the digest in the metadata."""
        with self._translating_errors():
            same = self._size_and_digest(self._key(file.path)) == (file.bytes, file.sha256)
        return "" if same else "missing, or not what was downloaded (size, sha256)"

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:
        """Upload and check the object. The store makes it visible whole or not at all."""
        key = self._key(file.path)
        with self._translating_errors():
            there = self._size_and_digest(key)
            if there is None and self._upload(key, part, file, content_type):
                reached(CrashPoint.FILE_RENAMED)
                there = self._size_and_digest(key)
                if there is None or there[0] != file.bytes:
                    raise Unreachable(f"{file.path}: the object is not as it was sent")
            elif there is None:  # somebody else was quicker, or is about to be
                there = self._size_and_digest(key)
        if there != (file.bytes, file.sha256):
            return False
        part.unlink(missing_ok=True)
        return True

    def put_text(self, path: str, content: bytes, *, replaces: bool) -> bool:
        """Put it in one request, which replaces an earlier object at once, or none."""
        with self._translating_errors():
            return self._put_small(
                self._key(path), content, {"Content-Type": "application/json"}, replaces=replaces
            )

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the first bytes; None if there is no such object."""
        with self._translating_errors():
            found = self._read(self._key(path))
        return None if found is None else found[:limit_bytes]

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return None

    def _connect(self) -> None:
        self._store = connected(self.url)

    def _upload(self, key: str, part: Path, file: OutputFile, content_type: str) -> bool:
        """Upload; return False if another object has that key by now, or is about to."""
        attributes = {"Content-Type": content_type, DIGEST_KEY: file.sha256}
        if file.bytes <= PIECE_BYTES:
            return self._put_small(key, part.read_bytes(), attributes, replaces=False)
        # In pieces, which no store can make depend on a condition: so a small object, which can,
        # says who is putting this key.
        claim, own = f"{key}{CLAIM}", str(self.parts.absolute()).encode()
        own_digest = hashlib.sha256(own).hexdigest().encode()
        is_claimed = self._put_small(claim, own_digest, {}, replaces=False)
        if not is_claimed and self._read(claim) != own_digest:  # else an earlier try of our own
            return False
        free = self._size_and_digest(key) is None
        if free:
            obstore.put(self._store, key, part, attributes=cast("Any", attributes),
                        use_multipart=True, chunk_size=PIECE_BYTES, max_concurrency=2)  # fmt: skip
        obstore.delete(self._store, claim)
        return free

    def _put_small(
        self, key: str, content: bytes, attributes: dict[str, str], *, replaces: bool
    ) -> bool:
        """Put an object in one request; return False if there is one and it may not be replaced."""
        mode: Any = "overwrite" if replaces else "create"
        more: Any = attributes
        try:
            obstore.put(self._store, key, content, attributes=more, mode=mode)
        except AlreadyExistsError:
            return False
        return True

    def _size_and_digest(self, key: str) -> tuple[int, str] | None:
        """Return size and digest of an object; None if there is none."""
        try:
            found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        attributes: dict[str, str] = dict(found.attributes)
        return found.meta["size"], attributes.get(DIGEST_KEY, "")

    def _key(self, path: str) -> str:
        return path.rpartition("/")[2]

    def _translating_errors(self) -> AbstractContextManager[None]:
        return translating_errors(self.url)


def connected(url: str) -> ObjectStore:
    """Return the object store at an address. Raises `LocalIOError`."""
    more: dict[str, Any] = {}
    if url.startswith("s3://"):
        more["config"] = {"checksum_algorithm": "SHA256"}  # the store checks what it got
    try:
        return from_url(
            url,
            client_options={
                "timeout": timedelta(minutes=5),
                "connect_timeout": timedelta(seconds=10),
                "allow_http": True,  # an endpoint in the environment is meant as it is
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(minutes=1)},
            **more,
        )
    except (BaseError, ValueError) as error:
        raise LocalIOError(f"{url}: {_brief(error)}") from error


@contextmanager
def translating_errors(url: str) -> Iterator[None]:
    """Turn errors of the library into ours: `Unreachable` if another try may succeed."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        if why := _refusal(error):
            raise LocalIOError(f"{url}: {why}") from error
        raise Unreachable(f"{url}: {_brief(error)}") from error


def _refusal(error: Exception) -> str | None:
    """Return why no other try can succeed; None if one may.

    The library has a type of error for it in some calls, only a text in others.
    """
    match = _STATUS.search(str(error))
    status = match[1] if match else ""
    refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError))
    if refused or status in ("401", "403"):
        return "access denied; check the credentials of the object store in the environment"
    if isinstance(error, FileNotFoundError) or status == "404":
        return "no such bucket"
    return None


def _brief(error: Exception) -> str:
    """Return the first line, without the store's answer: it may repeat parts of the credentials."""
    line = str(error).partition("\n")[0].partition("<")[0].strip(" :-")
    return line[:200] or type(error).__name__
