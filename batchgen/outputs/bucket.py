"""Outputs kept in an object store (a `Destination`): S3 and its likes, Google Cloud, Azure.

The library comes with an extra and is imported when it is needed. Credentials are its own matter:
it takes them from the environment, and nothing of them is known in here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.destination import Unreachable
from batchgen.outputs.file_names import MAX_NAME_BYTES
from batchgen.system.crash_points import CrashPoint, reached

if TYPE_CHECKING:
    from obstore.store import ObjectStore


SCHEMES = ("s3", "gs", "az")
EXTRA = "stores"

MAX_KEY_BYTES = 1024
"""Of S3, Google and Azure alike."""
PIECE_BYTES = 8 << 20
"""Larger files go in pieces of this size, two at a time, so that memory stays flat."""
_STATUS = re.compile(r"status code: (\d{3})")
DIGEST_KEY = "sha256"
"""Metadata of each object, by which a later run knows it without reading it."""


def fault_of(url: str) -> str | None:
    """Why nothing could be kept there, as a sentence; None where it can be tried."""
    place = urlsplit(url)
    if place.scheme not in SCHEMES:
        ways = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        return f"{url!r} is no place for files; give a directory, or a bucket as {ways}"
    if place.query or place.fragment or "@" in place.netloc:
        return "more than bucket and prefix; credentials and settings come from the environment"
    if not place.netloc:
        return f"{url!r} names no bucket; write it like {place.scheme}://bucket/prefix"
    if find_spec("obstore") is None:
        return f"object stores need an extra: pip install 'batchgen[{EXTRA}]'"
    return None


@dataclass(slots=True, kw_only=True)
class Bucket:
    """Files are received on this machine, then put whole under their keys, and looked at there."""

    url: str
    """`s3://bucket/prefix`."""
    parts: Path
    """Directory on this machine where files are received."""
    _store: ObjectStore = field(init=False, repr=False)

    @property
    def max_name_bytes(self) -> int:
        """What the prefix leaves of a key."""
        return min(MAX_NAME_BYTES, MAX_KEY_BYTES - len(urlsplit(self.url).path.encode()))

    def prepare(self) -> None:
        """Look into the place, so that a wrong bucket or key is said now. Raises `LocalIOError`."""
        import obstore

        self._connect()
        try:
            with self._telling():
                next(iter(obstore.list(self._store, chunk_size=1)), None)
        except Unreachable as error:
            raise LocalIOError(str(error)) from error

    def part_path(self, stem: str, digest: str) -> Path:  # noqa: ARG002 - keys may be no file names
        """In the run directory."""
        return self.parts / f"{digest}.part"

    def path_of(self, name: str) -> str:
        """The whole URL."""
        return f"{self.url.rstrip('/')}/{name}"

    def holds(self, file: OutputFile) -> bool:
        """By size and by the digest in its metadata."""
        with self._telling():
            return self._look(self._key(file.path)) == (file.bytes, file.sha256)

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:
        """Upload, and look at what came of it. The store makes it visible whole or not at all."""
        key = self._key(file.path)
        with self._telling():
            there = self._look(key)
            if there is None:
                if not self._upload(key, part, file, content_type):
                    return self.put(part, file, content_type)  # somebody was quicker
                reached(CrashPoint.FILE_RENAMED)
                there = self._look(key)
                if there is None or there[0] != file.bytes:
                    raise Unreachable(f"{file.path}: is not there as it was sent")
        if there != (file.bytes, file.sha256):
            return False
        part.unlink(missing_ok=True)
        return True

    def put_text(self, path: str, content: bytes) -> None:
        """Replace what lies there at once."""
        import obstore

        with self._telling():
            obstore.put(
                self._store,
                self._key(path),
                content,
                attributes={"Content-Type": "application/json"},
            )

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """The first bytes; None where nothing lies there."""
        import obstore

        with self._telling():
            try:
                found = obstore.get(self._store, self._key(path))
                return bytes(found.bytes())[:limit_bytes]
            except FileNotFoundError:
                return None

    def _connect(self) -> None:
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        more: dict[str, Any] = {}
        if self.url.startswith("s3://"):
            more["config"] = {"checksum_algorithm": "SHA256"}  # the store checks what it got
        try:
            self._store = from_url(
                self.url,
                client_options={
                    "timeout": timedelta(minutes=5),
                    "connect_timeout": timedelta(seconds=10),
                    "allow_http": True,  # where the environment names an endpoint, it is meant
                },
                retry_config={"max_retries": 4, "retry_timeout": timedelta(minutes=1)},
                **more,
            )
        except (BaseError, ValueError) as error:
            raise LocalIOError(f"{self.url}: {_brief(error)}") from error

    def _upload(self, key: str, part: Path, file: OutputFile, content_type: str) -> bool:
        """False where something has come to lie there meanwhile."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        attributes: Any = {"Content-Type": content_type, DIGEST_KEY: file.sha256}
        if file.bytes > PIECE_BYTES:  # in pieces, which no store can make depend on a condition
            obstore.put(self._store, key, part, attributes=attributes, use_multipart=True,
                        chunk_size=PIECE_BYTES, max_concurrency=2)  # fmt: skip
            return True
        try:
            obstore.put(self._store, key, part.read_bytes(), attributes=attributes, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def _look(self, key: str) -> tuple[int, str] | None:
        """Size and digest of an object; None where there is none."""
        import obstore

        try:
            found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        attributes: dict[str, str] = dict(found.attributes)
        return found.meta["size"], attributes.get(DIGEST_KEY, "")

    def _key(self, path: str) -> str:
        return path.rpartition("/")[2]

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Errors of the library as ours: what another try may mend, and what it cannot."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if why := _refusal(error):
                raise LocalIOError(f"{self.url}: {why}") from error
            raise Unreachable(f"{self.url}: {_brief(error)}") from error


def _refusal(error: Exception) -> str | None:
    """What no other try mends; the library has a type for it in some calls, a text in others."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    said = _STATUS.search(str(error))
    status = said[1] if said else ""
    refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError))
    if refused or status in ("401", "403"):
        return "access denied; check the credentials of the object store in the environment"
    if isinstance(error, FileNotFoundError) or status == "404":
        return "no such bucket"
    return None


def _brief(error: Exception) -> str:
    """The first line, without the answer of the store: that may repeat parts of the credentials."""
    line = str(error).partition("\n")[0].partition("<")[0].strip(" :-")
    return line[:200] or type(error).__name__
