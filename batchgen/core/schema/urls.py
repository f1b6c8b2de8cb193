"""Addresses of input files: the API fetches them itself, so they must be public https."""

from __future__ import annotations

from urllib.parse import urlsplit

from batchgen.core.schema.values import Unfit, shown


def checked_url(text: str) -> str:
    """The address without outer blanks; raises `Unfit` for what the API could not fetch."""
    url = text.strip()
    if url.startswith("data:"):
        return url
    fault = _fault(url)
    if fault:
        raise Unfit(f"{shown(url)} {fault}; expected a public https:// address")
    return url


def _fault(url: str) -> str | None:
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        return "has a blank, control character or backslash in it"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is no address"
    if parts.scheme != "https":
        return "is not an https address" if parts.scheme else "is no address"
    if not host:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or password"
    return None
