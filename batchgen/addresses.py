"""Which network addresses may be connected to: what comes from outside must not reach inside.

A name that looks right may resolve to an address that is not, so there are two places to check: an
address that is written out in a URL, and every address that a name resolves to, when it is used.
Which names and schemes are right is for the rooms that fetch.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

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
