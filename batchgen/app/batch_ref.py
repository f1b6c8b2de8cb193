"""From parsed arguments to the batch that a command is about."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from batchgen.app.lock_wait import LockWait
from batchgen.manifest import RowOptions


def batch_ref_of(args: argparse.Namespace) -> BatchRef:
    """Flags that a command does not have count as not given."""
    return BatchRef(
        manifest=args.manifest,
        run_dir=Path(args.run_dir) if args.run_dir else None,
        base_url=getattr(args, "base_url", None),
        sandbox=getattr(args, "sandbox", False),
        shape=RowOptions(
            model=args.model,
            params=dict(args.param),
            columns=dict(args.column),
            format=args.format,
            sheet=args.sheet,
            select=args.select,
            allow_outside=args.allow_outside,
        ),
    )


def lock_wait_of(args: argparse.Namespace) -> LockWait:
    """What to do where a run is at work; the wait is said on stderr."""
    return LockWait(
        if_locked=args.if_locked, say=lambda text: print(f"batchgen: {text}", file=sys.stderr)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """Which batch: what every command that takes a manifest knows."""

    manifest: str
    """Path, or `-` for stdin."""
    shape: RowOptions
    run_dir: Path | None = None
    base_url: str | None = None
    sandbox: bool = False
