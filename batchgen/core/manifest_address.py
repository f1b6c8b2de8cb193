"""The address of a manifest: what may be fetched, what may be shown of it, and its format."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

from batchgen.core.api_base import is_loopback_host

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FORMATS_BY_TYPE = {
    "text/csv": "csv", "application/csv": "csv", "text/tab-separated-values": "tsv",
    "application/json": "json", "text/json": "json", "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl", "application/yaml": "yaml", "application/x-yaml": "yaml",
    "text/yaml": "yaml", "text/x-yaml": "yaml", "text/plain": "txt",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)


def is_address(manifest: str) -> bool:
    """Tell whether a manifest is named by an address and not by a path."""
    return _ADDRESS.match(manifest) is not None


def address_fault(address: str) -> str:
    """Return why an address is not fetched at all; empty if it may be."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an address that begins with https://"
    if parts.scheme == "http" and not is_loopback_host(host):
        return "plain http is allowed to this machine only; use https"
    if parts.username is not None or parts.password is not None:
        return "has a user name or a password in it; share the sheet by a link instead"
    return ""


def is_of_this_machine(address: str) -> bool:
    """Tell whether an address names a server on this machine."""
    return is_loopback_host(urlsplit(address).hostname or "")


def shown_address(address: str) -> str:
    """Return an address for messages and files: its query may be a key, and so may its user."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def resumable_address(address: str) -> str:
    """Return an address for the command that resumes a run; `...` stands for its query."""
    return shown_address(address) + ("?..." if "?" in address else "")


def address_digest(address: str) -> str:
    """Return 16 hex digits that name an address and tell nothing of it."""
    return hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def format_of_type(content_type: str) -> str | None:
    """Return the format that a Content-Type names; None if it names none."""
    return _FORMATS_BY_TYPE.get(content_type.partition(";")[0].strip().lower())


def is_web_page(content_type: str, begin: bytes) -> bool:
    """Tell whether an answer is a web page, by its first bytes, or by its type and a tag."""
    if _PAGE.match(begin):
        return True
    is_page_type = content_type.partition(";")[0].strip().lower() in _PAGE_TYPES
    return is_page_type and begin.lstrip()[:1] == b"<"
