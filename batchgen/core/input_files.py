"""The input files of jobs: the addresses among the values, and how large each file may be.

The model's schema says which parameters take an address; without a schema, a value that is an
address as a whole counts as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.core.jobs import Job
from batchgen.core.json_reader import JSONValue

if TYPE_CHECKING:
    from batchgen.core.schema.inputs import Schema
    from batchgen.core.schema.properties import Property

MB = 1 << 20
"""The larger of the two meanings: nothing is refused that the API may take."""
IMAGE_LIMIT_MB = 50
VIDEO_LIMIT_MB = 100
"""Recommended on the model pages for files that the API fetches."""

_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_MEDIA_NAME = re.compile(r"image|video|audio|frame|mask", re.IGNORECASE)
_VIDEO_NAME = re.compile(r"video", re.IGNORECASE)
_TEXT_NAME = re.compile(r"prompt|text|lyrics|tags", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInput:
    """One address in one job."""

    url: str
    where: str
    """`file:row: parameter`, for the user."""
    parameter: str
    """The API's own key."""
    limit_mb: int | None = None
    """The limit that the model's page sets for this parameter; None if it sets none."""

    def allowed_mb(self, content_type: str) -> int:
        """Return the limit for such a file: the model's own, else that of its kind."""
        if self.limit_mb is not None:
            return self.limit_mb
        kind = content_type.partition("/")[0]
        is_video = kind == "video" or (kind != "image" and _VIDEO_NAME.search(self.parameter))
        return VIDEO_LIMIT_MB if is_video else IMAGE_LIMIT_MB


@dataclass(frozen=True, slots=True)
class MediaRules:
    """The rules for files in a model's schema."""

    properties: Mapping[str, Property] = field(default_factory=dict)
    limits_mb: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema | None) -> MediaRules:
        """Return the rules of a model; without a schema there are none."""
        if schema is None:
            return cls()
        named = schema.raw.get("properties")
        published = named if isinstance(named, Mapping) else {}
        limits = {str(name): _limit_mb(rules) for name, rules in published.items()}
        known_limits = {name: limit for name, limit in limits.items() if limit is not None}
        return cls(schema.properties, known_limits)

    def limit_mb(self, parameter: str) -> int | None:
        """Return the limit that the model's page sets for a parameter; None if it sets none."""
        return self.limits_mb.get(parameter)

    def inputs(self, job: Job) -> Iterator[MediaInput]:
        """Yield every address in the input of a job, in order, repeated ones too."""
        for name, value in job.input.items():
            for url in _addresses(name, value, self.properties.get(name)):
                yield MediaInput(
                    url=url,
                    where=f"{job.where}: {name}",
                    parameter=name,
                    limit_mb=self.limits_mb.get(name),
                )


def _addresses(name: str, value: JSONValue, prop: Property | None) -> Iterator[str]:
    if isinstance(value, str):
        if _holds_address(name, prop) and _ADDRESS.fullmatch(value):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _addresses(name, item, prop.items if prop else None)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _addresses(key, item, prop.properties.get(key) if prop else None)


def _holds_address(name: str, prop: Property | None) -> bool:
    """Return whether a parameter takes an address.

    Older schemas publish an address as plain text, or say nothing; then the name decides.
    """
    if prop is not None and prop.is_url:
        return True
    if _MEDIA_NAME.search(name):
        return True
    return (prop is None or not prop.kinds) and not _TEXT_NAME.search(name)


def _limit_mb(rules: object) -> int | None:
    """Return the size among the published `validations`, such as `file_size_mb<` 30."""
    listed = rules.get("validations") if isinstance(rules, Mapping) else None
    for rule in listed if isinstance(listed, list) else ():
        if isinstance(rule, Mapping) and rule.get("validation_rule") == "file_size_mb<":
            value = rule.get("validation_value")
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None
