"""The rules for URLs from outside: which schemes, hosts and addresses may be fetched.

URLs come from manifests and from results, and are hostile until checked. There are two checks,
because a name that looks right may resolve to an address that is not: the URL at each hop of a
redirect, and the resolved address when a connection is made.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from yarl import URL

from batchgen.core.api_base import ApiBase, is_loopback_host

OUTPUT_HOSTS = ("*.runcomfy.net", "*.runcomfy.com")
"""The hosts of the API's outputs (the vendor's own tool trusts the same two domains)."""

MAX_URL = 1 << 16
"""Characters; servers and proxies refuse longer ones."""
MAX_HOST = 253

_NAT64 = ip_network("64:ff9b::/96")


class Forbidden(Exception):
    """A URL or address that must not be fetched; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPolicy:
    """The rules for one purpose; as constructed: https from any public host."""

    local: bool = False
    """Also plain http and private addresses, because the API itself is on this machine."""
    loopback: bool = False
    """Also plain http to loopback addresses, and no other private ones."""
    hosts: frozenset[str] | None = None
    """The only hosts allowed; `*.example.com` is a domain with everything below it."""

    @classmethod
    def for_outputs(cls, api: ApiBase, more_hosts: Collection[str] = ()) -> Self:
        """Return the rules for the outputs of an API, with the hosts that the user allows."""
        hosts = (api.host, *OUTPUT_HOSTS, *more_hosts)
        return cls(local=api.is_loopback, hosts=frozenset(host.lower() for host in hosts))

    def check(self, text: str) -> URL:
        """Return the URL, ready to be fetched byte for byte as given. Raise `Forbidden`."""
        shown = repr(without_query(text)[:200])  # the query may hold a signature
        if "\\" in text or " " in text or not text.isprintable():
            raise Forbidden(f"{shown} has a blank, a control character or a backslash in it")
        if len(text) > MAX_URL:
            raise Forbidden(f"{shown} goes on for {len(text):,} characters; that is not a URL")
        try:
            url = URL(text, encoded=True)
            host = (url.host or "").lower().rstrip(".")
            _ = url.port
        except ValueError:
            raise Forbidden(f"{shown} is not a valid URL") from None
        if url.user is not None or url.password is not None:
            raise Forbidden(f"the URL has a user name or password in it (host {host!r})")
        may_be_plain = self.local or (self.loopback and is_loopback_host(host))
        if url.scheme != "https" and not (may_be_plain and url.scheme == "http"):
            raise Forbidden(f"{url.scheme}://{host}: only https is fetched")
        if not _is_host(host) or _is_odd_address(host):
            raise Forbidden(f"{shown} names no valid host")
        if not self._allows(host):
            raise Forbidden(
                f"host {host!r} is not one of the API's; if you trust it, add it to output.hosts"
            )
        self.check_address(host)
        return url

    def check_address(self, host: str) -> None:
        """Raise `Forbidden` for a private address that is written out; names pass."""
        if self.loopback and is_loopback_host(host.strip("[]")):
            return
        if not self.local and is_private(host):
            raise Forbidden(f"{host} is an address of a private network")

    def _allows(self, host: str) -> bool:
        if self.hosts is None or host in self.hosts:
            return True
        return any(
            f".{host}".endswith(allowed[1:]) for allowed in self.hosts if allowed.startswith("*.")
        )


def is_private(host: str) -> bool:
    """Return whether `host` is written as an address outside the public internet; no name is."""
    address = _address(host)
    if address is None:
        return False
    inner = _inner(address)
    return not inner.is_global or inner.is_multicast


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    """Return whether this is an address, or a name that could be looked up at all."""
    if _address(host) is not None:
        return True
    try:
        name = host.encode("idna")
    except UnicodeError:  # an empty label, one of more than 63 characters, letters of no script
        return False
    return 0 < len(name) <= MAX_HOST


def _is_odd_address(host: str) -> bool:
    """Return whether only sockets take this for an address: `127.1`, `2130706433`, `0177.0.0.1`."""
    return host.replace(".", "").isdigit() and _address(host) is None


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 one, if any: it decides who is reached."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def without_query(url: str) -> str:
    """Return a URL without query and fragment, which may hold a signature."""
    return url.partition("#")[0].partition("?")[0]
