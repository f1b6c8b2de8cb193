"""Which URLs may be fetched. Output URLs come from outside and are hostile until shown otherwise.

Two checks, because a name that looks right may resolve to an address that is not: the URL at
each hop of a redirect, and the resolved address at connect time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from yarl import URL

from batchgen.addresses import CheckedResolver, Forbidden, require_public
from batchgen.core.origin import ApiBase

__all__ = ["Forbidden", "Guard", "GuardedResolver"]

TRUSTED_DOMAINS = ("runcomfy.net", "runcomfy.com")
"""Where the API keeps its outputs (vendor's CLI trusts the same two)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
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

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard.check_address)
