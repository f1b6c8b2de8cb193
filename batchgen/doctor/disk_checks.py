"""A directory that a run writes to: whether it can, how much room there is, what disk it is."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.units import size_text
from batchgen.doctor.finding import Finding, faults, note, ok, warning
from batchgen.ports import Clock

LEAST_FREE_BYTES = 1 << 20
"""Below this not even a ledger can be begun."""
FEW_FREE_BYTES = 1 << 30
SLOW_FSYNC_S = 0.1
FSYNCS = 5
MOUNTS = Path("/proc/self/mountinfo")
KNOWN_MOUNTS = Path("/etc/fstab")
_NETWORK = (
    "nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "fuse.sshfs", "fuse.s3fs",
    "fuse.rclone", "fuse.gcsfuse", "beegfs", "ncpfs", "davfs", "fuse.davfs",
)  # fmt: skip
_MEMORY = ("tmpfs", "ramfs")
_ELSEWHERE = "choose another place with --run-dir"


def check_disk(check: str, path: Path, clock: Clock) -> Iterator[Finding]:
    """Yield what keeps a run from writing to a directory, or makes it slow or risky there.

    The directory need not exist. What is written to try it has no name and is gone at once.
    """
    place = nearest(path)
    if not place.is_dir():
        error = LocalIOError(f"{place} is not a directory, so {path} cannot be made")
        yield from faults(check, error, f"remove or rename it, or {_ELSEWHERE}")
        return
    yield from _mount(check, place, path)
    try:
        free_bytes = _free_bytes(place)
        took_s = _fsync_s(place, clock)
    except OSError as error:
        why = error.strerror or str(error)
        yield from faults(
            check, LocalIOError(f"{place}: {why}; nothing can be written there"),
            f"correct its owner and permissions, make room, or {_ELSEWHERE}",
        )  # fmt: skip
        return
    free = f"{size_text(free_bytes)} free"
    if free_bytes < LEAST_FREE_BYTES:
        yield from faults(
            check, LocalIOError(f"{place}: the disk is full ({free})"),
            f"make room, or {_ELSEWHERE}",
        )  # fmt: skip
    elif free_bytes < FEW_FREE_BYTES:
        yield warning(
            check, f"{place}: only {free}; outputs that do not fit stay with the API until they"
            " expire", f"make room, or {_ELSEWHERE}",
        )  # fmt: skip
    if took_s > SLOW_FSYNC_S:
        yield warning(
            check,
            f"{place}: an fsync takes {took_s * 1000:,.0f} ms, and every submission waits for one",
            f"this disk is slow or shared: {_ELSEWHERE}",
        )  # fmt: skip
    else:
        yield ok(check, f"{place}: {free}, an fsync takes {took_s * 1000:,.1f} ms")


def nearest(path: Path) -> Path:
    """Return the path itself, or the nearest one above it that exists."""
    path = path.absolute()
    return next((one for one in (path, *path.parents) if one.exists()), Path("/"))


def _free_bytes(place: Path) -> int:
    found = os.statvfs(place)
    if found.f_files and not found.f_favail:
        raise OSError(None, "the disk has no room for another file (no free inodes)")
    return found.f_bavail * found.f_frsize


def _fsync_s(place: Path, clock: Clock) -> float:
    """Return how long it takes to make a line durable, in the middle of several tries."""
    times_s = []
    with tempfile.TemporaryFile(dir=place) as file:  # no name, so nothing can be left behind
        for _ in range(FSYNCS):
            begun_s = clock.monotonic_s()
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
            times_s.append(clock.monotonic_s() - begun_s)
    return statistics.median(times_s)


def _mount(check: str, place: Path, path: Path) -> Iterator[Finding]:
    """Say if the disk is a network disk or memory, or not the one that should be there."""
    mounts = _mounted()
    if not mounts:
        return  # not Linux
    real = Path(os.path.realpath(place))
    point, kind = next(
        ((one, mounts[one]) for one in (real, *real.parents) if one in mounts), (real, "")
    )
    if kind.startswith(_NETWORK):
        yield warning(
            check, f"{point} is a network disk ({kind}): a lock may not be seen by other machines,"
            " and each fsync goes over the network",
            f"let one machine run this batch, or {_ELSEWHERE}; outputs may be there (output.dir)",
        )  # fmt: skip
    elif kind in _MEMORY:
        yield warning(
            check, f"{point} is in memory ({kind}): after a restart nothing is known of what was"
            " paid for", _ELSEWHERE,
        )  # fmt: skip
    elif kind == "overlay" and point == Path("/"):
        yield note(
            check, f"{place} is inside of a container, and gone with it",
            "mount a volume, and keep manifest and run directory there",
        )  # fmt: skip
    for one in _to_be_mounted():
        if one not in mounts and one in (path.absolute(), *path.absolute().parents):
            yield warning(
                check, f"{one} is a disk by {KNOWN_MOUNTS}, and it is not mounted", f"mount {one}"
            )


def _mounted() -> dict[Path, str]:
    """Return the type of each mounted file system by its place; empty if the system has no list."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words = fields.split()
        if len(words) > 4 and rest:
            found[Path(_unescaped(words[4]))] = rest.split()[0]
    return found


def _to_be_mounted() -> Iterator[Path]:
    try:
        lines = KNOWN_MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) > 1 and not line.startswith("#") and words[1].startswith("/"):
            yield Path(_unescaped(words[1]))


def _unescaped(text: str) -> str:
    """Return a path as mount tables write it, blanks as \\040."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        text = text.replace(f"\\{code}", character)
    return text
