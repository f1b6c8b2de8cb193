"""Charges: what each POST of a job has cost or may have cost, each with its own moment.

A charge belongs to the moment of its own submission, for ever: an edit, a retry, a restored input
or an adoption moves no money to another day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

_CENTIMILLIONTH = 1e-8
"""Amounts that differ by less are the same sum, added up in another order."""


# Other keys than those of a record: what is left of a damaged line is read by its keys.
_KEYS = {"request_id": "request", "fingerprint": "of"}


class Charge(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, rename=_KEYS):
    """The money of one POST that was accepted or may have been."""

    at: str | None = None
    """The time at which the intent of the POST was recorded; None if that is not known."""
    usd: float = 0.0
    reported: bool = False
    """Whether the API reported this cost; otherwise it is the price that was reserved."""
    model: str | None = None
    request_id: str | None = None
    fingerprint: str = ""
    by: dict[str, str] = {}
    """The values that the row had in columns with budgets, by column."""


def total_usd(charges: Iterable[Charge], *, reported: bool) -> float:
    """Return the sum of the charges that were reported, or of those that were not."""
    return round(sum((one.usd for one in charges if one.reported is reported), 0.0), 6)


def complete(
    charges: Sequence[Charge], *, cost_usd: float, price_usd: float, at: str | None
) -> tuple[Charge, ...]:
    """Return charges that add up to these sums; what no charge explains is dated `at`.

    Records of earlier versions have the sums alone.
    """
    rest_usd = {
        True: cost_usd - total_usd(charges, reported=True),
        False: price_usd - total_usd(charges, reported=False),
    }
    unexplained = (
        Charge(at=at, usd=round(usd, 6), reported=reported)
        for reported, usd in rest_usd.items()
        if usd > _CENTIMILLIONTH
    )
    return (*charges, *unexplained)


def without(charges: Sequence[Charge], one: Charge) -> tuple[Charge, ...]:
    """Return the charges without this one, or less its amount if it is part of a sum."""
    rest = list(charges)
    same_post = (charge for charge in rest if charge.at == one.at and charge.model is not None)
    found = one if one in rest else next(same_post, None)
    if found is not None:
        rest.remove(found)
        return tuple(rest)
    for number, charge in enumerate(rest):
        if charge.model is None and charge.reported is one.reported:
            left_usd = round(max(0.0, charge.usd - one.usd), 6)
            rest[number] = Charge(at=charge.at, usd=left_usd, reported=charge.reported)
            break
    return tuple(charge for charge in rest if charge.usd or charge.request_id)
