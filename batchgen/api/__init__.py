"""The Model API over HTTP. With `outputs` and `sandbox` the only room that knows aiohttp."""

from batchgen.api.client import ModelAPI

__all__ = ["ModelAPI"]
