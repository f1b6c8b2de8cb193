"""Which address is the API, and what that means for trust. Pure text work, no resolving."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_BASE_URL = "https://model-api.runcomfy.net/v1"
"""As in the vendor's own command-line tool; it includes the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBase:
    """The base URL of an API, checked."""

    url: str
    """Without a trailing slash."""
    origin: str
    """`scheme://host[:port]`; the token goes nowhere else."""
    host: str

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine: a stand-in, not the real thing."""
        return is_loopback_host(self.host)


def parse_base_url(text: str) -> ApiBase:
    """Raises ValueError, with a sentence, for what must not be sent a token."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{text!r} is no http(s) URL; the default is {DEFAULT_BASE_URL}")
    if parts.username or parts.password or "\\" in url or parts.query or parts.fragment:
        raise ValueError(f"{text!r}: only scheme, host, port and path are allowed")
    if parts.scheme == "http" and not is_loopback_host(host):
        raise ValueError(f"{text!r}: plain http only to this machine; use https")
    return ApiBase(url=url, origin=f"{parts.scheme}://{parts.netloc.lower()}", host=host)


def is_loopback_host(host: str) -> bool:
    """`localhost` or a loopback address, written out."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def same_api(one: str, other: str) -> bool:
    """Whether request_ids of one origin mean something at the other.

    Every port of this machine counts as one API: a stand-in gets a new port each time.
    """
    if one == other:
        return True
    hosts = [urlsplit(origin).hostname or "" for origin in (one, other)]
    return all(is_loopback_host(host) for host in hosts)
