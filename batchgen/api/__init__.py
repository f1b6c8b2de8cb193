"""The Model API over HTTP. With `outputs`, `sandbox` and `addresses` alone in knowing aiohttp.

    client      one call, one value              catalogue   models and prices, live
    online      whether input files can be got   cache       the same on disk
    media       which addresses an input holds   known       the best description at hand

`ModelAPI` is imported when it is first used: commands without a network read the cache of the
catalogue and should not wait for aiohttp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.api.client import ModelAPI


__all__ = ["ModelAPI"]


def __getattr__(name: str) -> object:
    if name == "ModelAPI":
        from batchgen.api.client import ModelAPI

        return ModelAPI
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
