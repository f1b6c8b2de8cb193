"""Shards of one batch: a run must not pay for what another part has paid for."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.app.merged_inputs import has_merged, is_only_merged
from batchgen.app.run_directories import RunDirectories
from batchgen.core.errors import ShardConflict
from batchgen.core.shards import Shard
from batchgen.system.run_directory import RunDirectory

SHOWN = 4


def require_same_shards(directories: RunDirectories) -> None:
    """Raise `ShardConflict` if this batch has begun in other parts, or as a whole.

    What `ledger merge` has put together counts as one batch again.
    """
    wanted = directories.shard
    others = [
        (whole, one)
        for whole, shard, one in directories.begun_shards()
        if (wanted is None or shard.count != wanted.count) and not has_merged(whole, one)
    ]
    if others:
        whole, names = others[0][0], [str(one) for _, one in others]
        raise ShardConflict(
            f"this batch has begun in shards: {_listed(names)}. {_as_what(wanted)} would pay for"
            " their jobs again, so nothing was submitted. Run the same shards again, or make one"
            f" ledger of them first: batchgen ledger merge {whole} {' '.join(names[:SHOWN])}"
            f"{' ...' if len(names) > SHOWN else ''} - or add --fresh to pay for every job"
        )
    if wanted is not None:
        for whole in _begun_as_a_whole(directories):
            raise ShardConflict(
                f"{whole}: this batch has begun without --shard. A shard would pay for its jobs"
                " again, so nothing was submitted. Run it without --shard, or add --fresh to pay"
                " for every job"
            )


def _begun_as_a_whole(directories: RunDirectories) -> Iterator[RunDirectory]:
    for whole in directories.as_a_whole().begun():
        if not is_only_merged(whole):
            yield whole


def _as_what(shard: Shard | None) -> str:
    return "A run without --shard" if shard is None else f"--shard {shard}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
