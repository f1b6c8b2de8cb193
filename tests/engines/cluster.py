"""A real Ray cluster of several nodes on this machine, and the processes in it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

NO_AUTHENTICATION = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""A key in the user's home would be another one for each test."""


@contextmanager
def cluster(nodes: int = 2) -> Iterator[Any]:
    """Give a cluster whose head does no work; skip the test without Ray."""
    pytest.importorskip("ray")
    with patch.dict(os.environ, NO_AUTHENTICATION):
        from ray.cluster_utils import Cluster

        found = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        try:
            for _ in range(nodes):
                found.add_node(num_cpus=2)
            yield found
        finally:
            found.shutdown()


def processes(pattern: str) -> dict[int, str]:
    """Return the processes whose command line matches, by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if re.search(pattern, line):
                found[int(entry.name)] = line
    return found


def workers() -> list[int]:
    """Return the processes of the workers that fetch."""
    return sorted(processes(r"ray::FetchActor"))


def kill(*pids: int) -> None:
    """Kill processes as a full memory or a lost machine does."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def node(address: str, *, environment: dict[str, str], shell: str = "") -> Iterator[None]:
    """Let a node of another kind join: with another environment, or behind a shell command."""
    ray = Path(sys.executable).with_name("ray")
    begin = f"{ray} start --address={address} --num-cpus=2 --block --disable-usage-stats"
    line = f"{shell} && exec {begin}" if shell else f"exec {begin}"
    command = ["unshare", "--mount", "sh", "-c", line] if shell else ["sh", "-c", line]
    process = subprocess.Popen(
        command, env={**os.environ, **NO_AUTHENTICATION, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
