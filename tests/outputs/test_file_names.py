"""Names of files, and their types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.outputs.file_names import FileNameClaims, safe_stem
from batchgen.outputs.file_type import extension, is_web_page


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("fox-hero", "fox-hero"),
        ("Frühling 01", "Frühling 01"),
        ("a/b\\c", "a-b-c"),
        ("..", "_"),
        (".hidden", "hidden"),
        ("nul", "_nul"),
        ("COM1.txt", "_COM1.txt"),
        ("a:b|c?", "a-b-c-"),
        ("tab\tnewline\n", "tab-newline-"),
        ("", "_"),
        ("con .png", "_con .png"),
        ("LPT³", "_LPT³"),
        ("conin$", "_conin$"),
        ("console", "console"),
        ("trailing dots. . .", "trailing dots"),
        ("exe.\u202egpj", "exe.-gpj"),
        ("line\u2028break", "line-break"),
        ("fu\u0308r", "für"),
        ("👩\u200d🎨", "👩\u200d🎨"),
    ],
)
def test_safe_stems(text: str, stem: str) -> None:
    """Readable if it can be, harmless in any case."""
    assert safe_stem(text) == stem


@given(st.text(max_size=300))
def test_any_text_becomes_a_safe_name(text: str) -> None:
    """No separators, no dot names, no reserved names, short enough, and encodable."""
    stem = safe_stem(text)

    assert stem
    assert len(stem.encode()) <= 180
    assert not set(stem) & set('<>:"/\\|?*\0\n')
    assert stem not in (".", "..")
    assert not stem.endswith((" ", "."))


@given(st.lists(st.sampled_from(["fox", "Fox", "FOX", "fox~2", "a/b", "a-b", "a|b"]), max_size=12))
def test_no_two_claims_get_one_name(texts: list[str]) -> None:
    """Also not if a file system ignores case."""
    names = FileNameClaims()

    claimed = [names.claim(text).casefold() for text in texts]

    assert len(set(claimed)) == len(claimed)


@given(st.text(max_size=300))
def test_a_file_name_has_at_most_200_bytes(text: str) -> None:
    """With counter, extension and the one of its sidecar, also if every name is taken."""
    names = FileNameClaims()

    claimed = [names.claim(text) for _ in range(20)]

    assert max(len(f"{stem}.webm.json".encode()) for stem in claimed) <= 200


def test_a_destination_with_short_names_gets_short_names() -> None:
    """Encrypted home directories allow 143 bytes; long ids keep apart by a digest."""
    names = FileNameClaims()
    names.limit(60)

    first, second = names.claim("x" * 100), names.claim("x" * 99 + "y")

    assert len(f"{first}.webm.json") <= 60
    assert first != second
    assert first[:20] == second[:20] == "x" * 20


def test_an_accent_written_in_two_ways_is_one_name() -> None:
    """macOS may turn one into the other, so they must not be two jobs' files."""
    names = FileNameClaims()

    assert names.claim("für") == "für"
    assert names.claim("fu\u0308r") == "für~2"
    assert names.claim("FÜR") == "FÜR~3"


def test_names_of_earlier_runs_are_taken() -> None:
    """A new job does not get the name of a file that the ledger knows."""
    assert FileNameClaims(["outputs/Fox-1.png"]).claim("fox-1") == "fox-1~2"


def test_extensions() -> None:
    """Bytes before what the server says, and an error page is not an output."""
    assert extension(b"\x89PNG\r\n\x1a\n...", "image/jpeg") == "png"
    assert extension(b"\0\0\0\x18ftypisom", "application/octet-stream") == "mp4"
    assert extension(b"RIFF\0\0\0\0WEBPVP8 ", "") == "webp"
    assert extension(b"????", "image/jpeg") == "jpg"
    assert extension(b"????", "application/octet-stream") == "bin"
    assert is_web_page(b"  <!DOCTYPE HTML>", "image/png")
    assert is_web_page(b"oops", "text/html")
    assert not is_web_page(b"\x89PNG\r\n\x1a\n", "text/html")
