"""The host that keeps the API's outputs: whether this machine could ever fetch from it.

A name server, a hosts file or a filter may send its name to a private address, from which nothing
is ever fetched. Then every output would be paid for and none could be downloaded.
"""

from __future__ import annotations

import asyncio

from batchgen.app.command_context import CommandContext
from batchgen.app.remote import Remote
from batchgen.core.errors import ServiceUnreachable
from batchgen.net.url_policy import is_private

STORAGE_HOST = "playgrounds-storage-public.runcomfy.net"
LOOKUP_S = 5.0


async def require_public_storage(remote: Remote, context: CommandContext) -> None:
    """Raise `ServiceUnreachable` if the storage host has a private or reserved address here.

    A lookup that fails proves nothing: the run goes on with a note, and downloads wait for better
    times. The sandbox, and any other API on this machine, keeps its outputs itself.
    """
    if remote.base.is_loopback:
        return
    try:
        async with asyncio.timeout(LOOKUP_S):
            addresses = await context.addresses_of(STORAGE_HOST)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = str(error) or "no answer in time"
        context.console.say(
            f"{STORAGE_HOST}, where the API keeps its outputs, could not be looked up ({why});"
            " outputs that cannot be downloaded now are fetched by a later run"
        )
        return
    for address in addresses:
        if is_private(address):
            raise ServiceUnreachable(
                f"{STORAGE_HOST}, where the API keeps its outputs, has the address {address} on"
                " this machine. That is an address of a private or reserved network, from which"
                " nothing is downloaded, so nothing was submitted. A name server, a hosts file, a"
                " VPN or a filter changes it: correct that, or add --no-download to leave the"
                " outputs remote"
            )
