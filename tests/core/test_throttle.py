"""What servers ask for with Retry-After."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.throttle import read_retry_after


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        (None, None),
        ("", 0.0),
        ("-1", 0.0),
        ("7", 7.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 -0000", 40.0),
        ("Thu, 01 Jan 1970 02:01:40 +0200", 40.0),
        ("9" * 400, 3600.0),
        ("Thu, 01 Jan 2970 00:00:00 GMT", 3600.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_in_both_forms(value: str | None, expected_s: float | None) -> None:
    """Seconds or a date, an hour at most; anything else asks for nothing."""
    assert read_retry_after(value, now_s=60.0) == expected_s


@given(st.text(max_size=40))
def test_any_text_is_some_wait(value: str) -> None:
    """No header of a server raises an error here."""
    waited_s = read_retry_after(value, now_s=60.0)

    assert waited_s is not None
    assert 0.0 <= waited_s <= 3600.0
