"""A manifest at an address: fetched once per command, and kept by each run in its directory.

The request knows no token, no cookie and no proxy. Each hop of a redirect is checked, and only
public hosts are asked, unless the address itself is on this machine.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from batchgen.app.model_sources import from_a_thread
from batchgen.core.errors import (
    BatchgenError,
    LocalIOError,
    ManifestError,
    ManifestNotFound,
    Problem,
)
from batchgen.core.manifest_address import (
    format_of_type,
    is_of_this_machine,
    is_web_page,
)
from batchgen.manifest.formats import FORMATS, format_of
from batchgen.system.files import replacing

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext
    from batchgen.system.run_directory import RunDirectory

_BEGIN_BYTES = 2048


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """The bytes of a manifest, in a file of this machine."""

    path: Path
    format: str
    holder: IO[bytes] | None = None
    """The temporary file, which exists for as long as this object; None for a kept copy."""
    note: str = ""
    """A sentence about it for the user; empty if there is none."""

    def is_newer_than(self, other: FetchedManifest) -> bool:
        """Tell whether these bytes were written later."""
        return self.path.stat().st_mtime_ns > other.path.stat().st_mtime_ns


def fetched_manifest(ref: BatchRef, context: CommandContext) -> FetchedManifest:
    """Return the manifest at an address, which is asked once per command.

    Raises `ManifestNotFound` if it cannot be fetched, and `ManifestError` if it is a web page or of
    no known format.
    """
    found = context.fetched.get(ref.manifest)
    if found is None:
        try:
            found = _fetch(ref)
        except BatchgenError as error:
            found = error
        context.fetched[ref.manifest] = found
    if isinstance(found, BatchgenError):
        raise found
    assert isinstance(found, FetchedManifest)  # noqa: S101 - nothing else is put there
    return found


def kept_manifest(directory: RunDirectory) -> FetchedManifest | None:
    """Return the copy that the last run kept; None if there is none.

    A crash may have left the copy of an earlier run in another format; the newest is meant.
    """
    names = dict.fromkeys(FORMATS.values())
    copies = [FetchedManifest(directory.manifest_copy(name), name) for name in names]
    found = [one for one in copies if one.path.is_file()]
    return max(found, key=lambda one: one.path.stat().st_mtime_ns, default=None)


def keep_manifest(fetched: FetchedManifest, directory: RunDirectory) -> None:
    """Keep the bytes that this run uses, whole or not at all. Raises `LocalIOError`."""
    target = directory.manifest_copy(fetched.format)
    try:
        with replacing(target) as copy, fetched.path.open("rb") as source:
            while block := source.read(1 << 20):
                copy.write(block)
        for name in dict.fromkeys(FORMATS.values()):
            if name != fetched.format:
                directory.manifest_copy(name).unlink(missing_ok=True)
    except OSError as error:
        raise LocalIOError(f"{target}: {error.strerror}") from error


def _fetch(ref: BatchRef) -> FetchedManifest:
    from batchgen.net.bounded_download import DownloadFailed, download  # loads aiohttp

    holder = tempfile.NamedTemporaryFile(prefix="batchgen-")  # noqa: SIM115 - closed with its owner
    is_local = is_of_this_machine(ref.manifest)
    try:
        content_type = from_a_thread(lambda: download(ref.manifest, holder, loopback=is_local))
        holder.flush()
    except DownloadFailed as error:
        raise ManifestNotFound(f"{ref.shown}: {error}") from None
    except OSError as error:
        raise LocalIOError(f"temporary file: {error.strerror or error}") from error
    path = Path(holder.name)
    with path.open("rb") as file:
        begin = file.read(_BEGIN_BYTES)
    if is_web_page(content_type, begin):
        raise _not_a_table(
            ref,
            "is a web page and not a table, perhaps a page to log in; share the sheet with"
            " everybody who has the link, and use the address of its CSV export",
        )
    return FetchedManifest(path, _format(ref, content_type), holder)


def _format(ref: BatchRef, content_type: str) -> str:
    path = Path(unquote(urlsplit(ref.manifest).path))
    if wanted := ref.row_options.format:
        return format_of(path, wanted, ref.shown)
    ending = path.suffix.lower()
    found = FORMATS.get(ending) or format_of_type(content_type)
    if found is None:
        kind = content_type or "no Content-Type"
        raise _not_a_table(ref, f"is of an unknown kind ({kind}); say --format")
    return found


def _not_a_table(ref: BatchRef, what: str) -> ManifestError:
    return ManifestError([Problem(ref.shown, what)])
