"""Cases of tests: which belong to the short ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """Return cases of which only the first `count` belong to the short tests."""
    listed = list(cases)
    return [*listed[:count], *(pytest.param(one, marks=pytest.mark.slow) for one in listed[count:])]
