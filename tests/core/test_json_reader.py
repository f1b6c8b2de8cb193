"""JSON from elsewhere: a value, or a sentence, however deep it is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.json_reader import MAX_DEPTH, BadJSON, decode_json, is_too_deep

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_not_too_deep_is_read_as_it_is(value: Any) -> None:
    """Brackets and quotes inside of texts do not count."""
    assert decode_json(json.dumps(value).encode()) == value


@given(st.lists(st.sampled_from(["[", '{"a":', '{"[{":', '{"\\\\"":']), max_size=2 * MAX_DEPTH))
def test_depth_is_that_of_the_value(begins: list[str]) -> None:
    """Lists and objects count alike; the deepest value that is read has `MAX_DEPTH` levels."""
    ends = "".join("]" if begin == "[" else "}" for begin in reversed(begins))
    raw = ("".join(begins) + "1" + ends).encode()

    assert is_too_deep(raw) == (len(begins) > MAX_DEPTH)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 1_000, 5_000, 1_000_000])
@pytest.mark.parametrize("begin", [b"[", b'{"a":', b'[{"a":'])
def test_a_deep_value_is_a_sentence(begin: bytes, depth: int) -> None:
    """Whole or cut short, at any depth."""
    with pytest.raises(BadJSON):
        decode_json(begin * depth)


@given(st.binary(max_size=200))
def test_bytes_are_a_value_or_a_sentence(raw: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    with suppress(BadJSON):
        decode_json(raw)
