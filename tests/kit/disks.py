"""A real, small file system, if this machine allows a mount."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of this size; skip the test if this user may not mount."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("mounting a tmpfs needs rights that this user does not have")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    """Change a mount: `ro`, or another `size=`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def fill(directory: Path) -> None:
    """Fill a directory until nothing fits any more."""
    with (directory / "filler").open("wb", buffering=0) as file:
        for size_bytes in (1 << 16, 4096, 1):
            with suppress(OSError):
                while file.write(b"x" * size_bytes) == size_bytes:
                    pass


@contextmanager
def file_limit(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
