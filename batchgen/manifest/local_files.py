"""Local files as inputs: found beside the manifest and checked, without network.

What is named here is uploaded before the submission that needs it. So it must be there, be what the
parameter wants, and be small enough for the model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.core.errors import ManifestError, ManifestNotFound
from batchgen.core.file_signatures import SNIFF_BYTES, extension_of
from batchgen.core.input_files import MB, MediaInput
from batchgen.core.jobs import Asset
from batchgen.core.media_types import kind_of_file
from batchgen.core.schema.values import InvalidValue, shown
from batchgen.core.units import size_text
from batchgen.manifest.file_access import confined

MEDIA = ("image", "video", "audio")
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True, kw_only=True)
class LocalFiles:
    """The files of this machine that one manifest names; each is read once."""

    base_dir: Path
    allow_outside: bool = False
    is_fetched: bool = False
    """True for a manifest from an address, which may name no file of this machine."""
    upload_to: str | None = None
    """`--assets`; None: nothing can be uploaded."""
    _known: dict[str, Asset | InvalidValue] = field(default_factory=dict)

    def asset(self, name: str, parameter: str, *, limit_mb: int | None) -> Asset:
        """Return a file that a cell names. Raises `InvalidValue` with what is wrong with it."""
        if name not in self._known:
            try:
                self._known[name] = self._read(name)
            except InvalidValue as unfit:
                self._known[name] = unfit
        found = self._known[name]
        if isinstance(found, InvalidValue):
            raise found
        if fault := _fault(found, parameter, limit_mb):
            raise InvalidValue(f"{shown(name)} {fault}")
        return found

    def _read(self, name: str) -> Asset:
        if self.is_fetched:
            raise InvalidValue(
                f"{shown(name)}: a manifest from an address cannot name files on this machine;"
                " expected a public https:// address"
            )
        try:
            path = confined(name, self.base_dir, allow_outside=self.allow_outside, where="file")
            size_bytes = path.stat().st_size
        except ManifestNotFound:
            if (self.base_dir / name).exists():
                raise InvalidValue(f"{shown(name)} is not a file that can be read") from None
            raise InvalidValue(
                f"{shown(name)} is not an address, and there is no such file; expected a public"
                " https:// address, or a file beside the manifest"
            ) from None
        except ManifestError as error:
            raise InvalidValue(error.problems[0].what) from None
        except OSError as error:
            raise InvalidValue(f"{shown(name)} cannot be read: {error.strerror}") from None
        if self.upload_to is None:
            raise InvalidValue(
                f"{shown(name)} is a file on this machine, and the API needs an address; say where"
                " to upload it: --assets s3://BUCKET/PREFIX"
            )
        if size_bytes == 0:
            raise InvalidValue(f"{shown(name)} is empty")
        return _asset(name, path)


def _asset(name: str, path: Path) -> Asset:
    digest, size_bytes, start = hashlib.sha256(), 0, b""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                start = start or block[:SNIFF_BYTES]
                size_bytes += len(block)
                digest.update(block)
    except OSError as error:
        raise InvalidValue(f"{shown(name)} cannot be read: {error.strerror}") from None
    return Asset(
        name=name,
        path=str(path.absolute()),
        sha256=digest.hexdigest(),
        bytes=size_bytes,
        extension=extension_of(start) or "",
    )


def _fault(asset: Asset, parameter: str, limit_mb: int | None) -> str:
    """Return why a file cannot be the input of a parameter; empty if it can."""
    kind = kind_of_file(f"x.{asset.extension}") if asset.extension else "file"
    wanted = wanted_kind(parameter)
    if wanted and kind != wanted:
        article = "an" if wanted[0] in "aeiou" else "a"
        is_media = kind in MEDIA
        what = f"is {'an' if kind[0] in 'aeiou' else 'a'} {kind}" if is_media else "is not media"
        return f"{what} by its first bytes; {parameter} wants {article} {wanted}"
    content_type = f"{kind}/{asset.extension}"
    allowed = MediaInput(url="", where="", parameter=parameter, limit_mb=limit_mb)
    allowed_mb = allowed.allowed_mb(content_type)
    if asset.bytes > allowed_mb * MB:
        return f"is {size_text(asset.bytes)}; at most {allowed_mb} MB are taken"
    return ""


def wanted_kind(parameter: str) -> str:
    """Return the kind of file that a parameter wants, by its name; empty if that does not tell."""
    name = parameter.casefold()
    if any(word in name for word in ("image", "frame", "mask", "picture", "photo")):
        return "image"
    return next((kind for kind in MEDIA if kind in name), "")
