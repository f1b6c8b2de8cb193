"""A notification through Apprise, to any of the services that it knows."""

from __future__ import annotations

import logging
from pathlib import Path

EXTRA = "batchgen[notify]"


class ExtraMissing(Exception):
    """Apprise is not installed; the message names the extra."""


def require_apprise() -> None:
    """Raise `ExtraMissing` if Apprise is not installed."""
    try:
        import apprise  # noqa: F401 - an extra
    except ImportError:
        raise ExtraMissing(f"it needs an extra: pip install '{EXTRA}'") from None


def notify(addresses: str, title: str, body: str, *, picture: Path | None, is_good: bool) -> str:
    """Send a notification; return why that failed, without any part of the addresses, or "".

    Blocks for as long as the service takes. Several addresses are separated by blanks or commas.
    """
    try:
        import apprise
    except ImportError:
        return f"it needs an extra: pip install '{EXTRA}'"
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    logging.getLogger("apprise").propagate = False  # it logs addresses
    service = apprise.Apprise()
    if not service.add(addresses):
        return "it is not an address that Apprise knows"
    kind = apprise.NotifyType.SUCCESS if is_good else apprise.NotifyType.FAILURE
    attached = str(picture) if picture is not None and _takes_files(service) else None
    sent = service.notify(
        body=body, title=title, notify_type=kind, attach=attached,
        body_format=apprise.NotifyFormat.TEXT,
    )  # fmt: skip
    return "" if sent else "the service did not accept it"


def _takes_files(service: object) -> bool:
    """Tell whether every service takes files: one that does not would refuse the whole message."""
    return all(one.attachment_support for one in service)  # type: ignore[attr-defined]
