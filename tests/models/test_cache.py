"""Entries of the catalogue on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.models.cache import CatalogueCache, age_text
from batchgen.system import environment
from tests.models.entries import HOUR_S, REAL, SetClock, cache, entry


def test_what_is_cached_comes_back_with_its_age(tmp_path: Path) -> None:
    """The whole entry, fresh for a day, to another program that reads the same directory."""
    clock = SetClock()
    cache(tmp_path, clock).put(entry(pricing_note="per picture"))

    clock.at_s += 3 * HOUR_S
    found = cache(tmp_path, clock).get("a/b")
    assert found is not None
    assert found.entry == entry(pricing_note="per picture")
    assert (found.age_s, found.is_stale) == (3 * HOUR_S, False)

    clock.at_s += 21 * HOUR_S
    later = cache(tmp_path, clock).get("a/b")
    assert later is not None
    assert later.is_stale

    clock.at_s = 0.0
    back = cache(tmp_path, clock).get("a/b")
    assert back is not None
    assert back.is_stale


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (5, "less than a minute old"), (60, "1 min old"), (7199, "1 h old"),
        (47 * HOUR_S, "47 h old"), (72 * HOUR_S, "3 days old"), (-1, "of unknown age"),
    ],
)  # fmt: skip
def test_ages_in_words(age_s: float, text: str) -> None:
    """Short, in the largest unit that fits."""
    assert age_text(age_s) == text


def test_each_api_has_a_cache_of_its_own(tmp_path: Path) -> None:
    """A staging API's prices are not those of the real one."""
    clock = SetClock()
    cache(tmp_path, clock, "https://other.example/v1").put(entry())

    assert cache(tmp_path, clock).get("a/b") is None
    assert list(cache(tmp_path, clock).entries()) == []


def test_an_api_on_this_machine_neither_writes_nor_reads(tmp_path: Path) -> None:
    """A sandbox run leaves no made-up price behind."""
    local = cache(tmp_path, SetClock(), "http://127.0.0.1:8000/v1")

    local.put(entry())

    assert local.get("a/b") is None
    assert list(local.entries()) == []
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b"\xff\xfe", b"null", b'{"origin": "ORIGIN"}',
        b'{"origin": "ORIGIN", "entry": {"model_id": "x/y"}, "fetched_at_s": 1}',
        b'{"origin": "ORIGIN", "entry": {"model_id": "a/b"}, "fetched_at_s": "soon"}',
        b'{"origin": "elsewhere", "entry": {"model_id": "a/b"}, "fetched_at_s": 1}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_broken_cache_file_counts_as_not_there(tmp_path: Path, content: bytes) -> None:
    """And the next entry replaces it."""
    entries = cache(tmp_path, SetClock())
    entries.put(entry())
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content.replace(b"ORIGIN", REAL.origin.encode()))

    assert entries.get("a/b") is None
    entries.put(entry())
    assert entries.get("a/b") is not None
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written_is_in_nobodys_way(tmp_path: Path) -> None:
    """A file in the place of the directory, and no directory at all."""
    (tmp_path / "file").write_text("x")

    for entries in (cache(tmp_path / "file", SetClock()), CatalogueCache(None, REAL, SetClock())):
        entries.put(entry())
        assert entries.get("a/b") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, Path("/c/batchgen")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, Path("/h/.cache/batchgen")),
        ({"HOME": "/h"}, Path("/h/.cache/batchgen")),
        ({}, None),
    ],
)
def test_the_directory_of_the_cache(given: dict[str, str], expected: Path | None) -> None:
    """As the XDG base directory specification says."""
    assert environment.cache_directory(given) == expected
