"""The wait for an API that cannot be reached: as long as was allowed, and with what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.app.api_wait import unreachable_text
from tests.kit.live import batchgen, prompts

ORIGIN = "https://model-api.runcomfy.net"
SELF_SIGNED = "SSLCertVerificationError: (1, 'certificate verify failed: self-signed certificate')"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.mark.slow
def test_one_time_for_the_catalogue_and_the_run(tmp_path: Path, silent: str) -> None:
    """An API that never answers costs --wait-for-api, and puts no job in doubt."""
    begun_s = time.monotonic()

    done = batchgen(
        "run", prompts(tmp_path / "m.csv", 2), "--base-url", silent, "--wait-for-api", "7s",
        RUNCOMFY_TOKEN="a-whole-token",
    )  # fmt: skip

    assert done.code == 69, done.err
    assert 6.5 < time.monotonic() - begun_s < 12
    assert "could not be reached: no answer within 5 s" in done.err
    ledger = (tmp_path / "m.run" / "ledger.jsonl").read_text(encoding="utf-8")
    assert "submitting" not in ledger


def test_every_run_says_why(tmp_path: Path) -> None:
    """Also a later one, which does not ask the catalogue first."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        base = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    words = ("--base-url", base, "--wait-for-api", "100ms")

    for _ in range(2):
        done = batchgen(
            "run", prompts(tmp_path / "m.csv", 1), *words, RUNCOMFY_TOKEN="a-whole-token",
            HTTPS_PROXY="http://proxy.example.com:3128",
        )  # fmt: skip
        assert done.code == 69, done.err
        assert "could not be reached: Cannot connect to host" in done.err
        assert "HTTPS_PROXY is set, but batchgen uses no proxy" in done.err


@pytest.mark.parametrize(("why", "advice"), [
    (f"Cannot connect to host x:443 ssl:True [{SELF_SIGNED}]", "SSL_CERT_FILE"),
    ("Cannot connect to host x:443 ssl:default [Name or service not known]", "name server"),
    ("Cannot connect to host x:443 ssl:default [Temporary failure in name resolution]",
     "name server"),
])  # fmt: skip
def test_a_cause_comes_with_what_to_do(why: str, advice: str) -> None:
    """Certificates, names and proxies; nothing of it if there is none."""
    assert advice in unreachable_text(ORIGIN, why, {})
    assert "proxy and connects" in unreachable_text(ORIGIN, why, {"https_proxy": "http://p:1"})
    plain = unreachable_text(ORIGIN, "Cannot connect to host x:443 ssl:default [refused]", {})
    assert "SSL_CERT_FILE" not in plain
    assert "name server" not in plain
