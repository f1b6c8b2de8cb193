"""The addresses among the values of a job, and how large their files may be."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.commands.check import distinct_inputs
from batchgen.core.input_files import MediaRules
from batchgen.core.jobs import Job, Where
from batchgen.core.json_reader import JSONValue
from batchgen.core.schema.inputs import Schema


def job(row: int, values: Mapping[str, JSONValue], model: str = "a/b") -> Job:
    return Job(id=f"j{row}", model=model, input=values, where=Where(file="m.csv", row=row))


RULES = MediaRules.of(
    Schema({
        "properties": {
            "prompt": {"type": "string"},
            "lyrics": {"type": "string"},
            "image": {"type": "string"},
            "source": {"type": "string", "format": "video_uri"},
            "refs": {
                "type": "array", "format": "image_uris",
                "validations": [{"validation_rule": "file_size_mb<", "validation_value": 30}],
            },
            "images": {"type": "array", "items": {}},
            "elements": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"image_url": {"type": "string"}, "name": {"type": "string"}},
                },
            },
        }
    })
)  # fmt: skip


def test_the_addresses_among_the_values() -> None:
    """What the schema calls one, and values of parameters that only make sense as an address."""
    values: dict[str, JSONValue] = {
        "prompt": "https://a.example/prompt",
        "lyrics": "https://a.example/lyrics",
        "image": "https://a.example/1",
        "source": "https://a.example/2",
        "refs": ["https://a.example/3", "data:image/png;base64,AAAA"],
        "images": ["https://a.example/4"],
        "elements": [{"image_url": "https://a.example/5", "name": "https://a.example/no"}],
        "unknown": "https://a.example/6",
        "count": 3,
    }

    found = list(RULES.inputs(job(7, values)))

    assert [one.url[-1] for one in found] == ["1", "2", "3", "4", "5", "6"]
    assert found[2].where == "m.csv:7: refs"
    assert [one.limit_mb for one in found] == [None, None, 30, None, None, None]


def test_each_address_is_asked_once_at_its_first_row() -> None:
    """A reference picture of a thousand rows is one request."""
    jobs = [job(n, {"prompt": "https://x.example", "image_url": "https://a.example/1"})
            for n in range(2, 6)]  # fmt: skip

    (found,) = distinct_inputs(jobs, {})

    assert found.where == "m.csv:2: image_url"
