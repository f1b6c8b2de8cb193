"""Which network addresses may be connected to: what comes from outside must not reach inside.

A name that looks right may resolve to an address that is not, so there are two places to check: an
address that is written out in a URL, and every address that a name resolves to, when it is used.
Which names and schemes are right is for the rooms that fetch.

Which URLs may be fetched. Output URLs come from outside and are hostile until shown otherwise.

Two checks, because a name that looks right may resolve to an address that is not: the URL at
each hop of a redirect, and the resolved address at connect time.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from batchgen.core.api_base import ApiBase

_NAT64 = ip_network("64:ff9b::/96")


class Forbidden(Exception):
    """This URL or address must not be fetched; the message says why."""


def is_private(host: str) -> bool:
    """Whether `host` is an address, written out, that is not of the public internet; no name is."""
    try:
        address = ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    inner = _inner(address)
    return not inner.is_global or inner.is_multicast


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does: it decides who is reached."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def require_public(host: str) -> None:
    """Raises `Forbidden` for a private address written out; names pass."""
    if is_private(host):
        raise Forbidden(f"{host} is an address of a private network")


class CheckedResolver(AbstractResolver):
    """Resolves names, and lets `check` refuse addresses where they come up.

    A connection goes to the very addresses that were checked, so a name server that answers
    differently the second time gains nothing. Addresses written out never come here.
    """

    def __init__(self, check: Callable[[str], None] = require_public) -> None:
        self._check = check
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp asks for it. Raises `Forbidden`, which aiohttp lets through."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._check(result["host"])
        return found

    async def close(self) -> None:
        """Let go of the resolver below."""
        await self._resolver.close()


__all__ = ["Forbidden", "GuardedResolver", "UrlPolicy"]

TRUSTED_DOMAINS = ("runcomfy.net", "runcomfy.com")
"""Where the API keeps its outputs (vendor's CLI trusts the same two)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPolicy:
    """The rules for one API."""

    api: ApiBase
    hosts: Collection[str] = ()
    """Further hosts that the user allows; `*.example.com` for a domain with all below it."""

    def check(self, text: str) -> URL:
        """The URL, ready to be fetched byte for byte as given. Raises `Forbidden`."""
        if "\\" in text or any(ord(char) <= 32 for char in text):
            raise Forbidden(f"{text[:200]!r} is no clean URL")
        try:
            url = URL(text, encoded=True)
            host = (url.host or "").lower().rstrip(".")
        except ValueError:
            raise Forbidden(f"{text[:200]!r} is no URL") from None
        if url.user is not None or url.password is not None:
            raise Forbidden(f"a URL with a user name in it, on host {host!r}")
        if url.scheme != "https" and not (url.scheme == "http" and self.api.is_loopback):
            raise Forbidden(f"{url.scheme}://{host}: only https is fetched")
        if not self._host_allowed(host):
            raise Forbidden(
                f"host {host!r} is not one of the API's; if you trust it, add it to output.hosts"
            )
        self.check_address(host)
        return url

    def check_address(self, host: str) -> None:
        """Raises `Forbidden` for a private address written out; names pass."""
        if not self.api.is_loopback:
            require_public(host)

    def _host_allowed(self, host: str) -> bool:
        if host == self.api.host.lower() or _below(host, TRUSTED_DOMAINS):
            return True
        exact = {name.lower() for name in self.hosts}
        domains = [name[2:] for name in exact if name.startswith("*.")]
        return host in exact or _below(host, domains)


def _below(host: str, domains: Collection[str]) -> bool:
    return any(host == domain or host.endswith("." + domain) for domain in domains)


class GuardedResolver(CheckedResolver):
    """Resolves names by the rules of a guard."""

    def __init__(self, guard: UrlPolicy) -> None:
        super().__init__(guard.check_address)
