"""The base URL of the API: parsed and checked as text, without resolving its host."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_BASE_URL = "https://model-api.runcomfy.net/v1"
"""That of the vendor's own command-line tool, version included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBase:
    """A base URL that may be sent a token."""

    url: str
    """Without a trailing slash."""
    origin: str
    """`scheme://host[:port]`; the token is sent nowhere else."""
    host: str

    @property
    def is_loopback(self) -> bool:
        """True if the API is on this machine: the sandbox, not the real one."""
        return is_loopback_host(self.host)


def parse_base_url(text: str) -> ApiBase:
    """Parse a base URL. Raises ValueError, with a sentence, if it must not be sent a token."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{text!r} is not an http(s) URL; the default is {DEFAULT_BASE_URL}")
    if parts.username or parts.password or "\\" in url or parts.query or parts.fragment:
        raise ValueError(f"{text!r}: only scheme, host, port and path are allowed")
    if parts.scheme == "http" and not is_loopback_host(host):
        raise ValueError(f"{text!r}: plain http is allowed to this machine only; use https")
    return ApiBase(url=url, origin=f"{parts.scheme}://{parts.netloc.lower()}", host=host)


def is_loopback_host(host: str) -> bool:
    """Tell whether the host is `localhost` or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def same_api(one: str, other: str) -> bool:
    """Tell whether request_ids of one origin are valid at the other.

    All ports of this machine count as one API, because a sandbox gets a new port each time.
    """
    if one == other:
        return True
    hosts = [urlsplit(origin).hostname or "" for origin in (one, other)]
    return all(is_loopback_host(host) for host in hosts)
