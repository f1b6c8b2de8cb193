"""A real S3 server for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.outputs.seaweed import S3, s3_server


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The server, once for all tests of this directory."""
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def s3(running: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """With the environment of a user of it."""
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    return running
