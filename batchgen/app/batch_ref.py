"""From parsed arguments to the batch that a command is about."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from batchgen.app.lock_wait import Turn
from batchgen.manifest import Shape


def target_of(args: argparse.Namespace) -> Target:
    """Flags that a command does not have count as not given."""
    return Target(
        manifest=args.manifest,
        run_dir=Path(args.run_dir) if args.run_dir else None,
        base_url=getattr(args, "base_url", None),
        sandbox=getattr(args, "sandbox", False),
        shape=Shape(
            model=args.model,
            params=dict(args.param),
            columns=dict(args.column),
            format=args.format,
            sheet=args.sheet,
            select=args.select,
            allow_outside=args.allow_outside,
        ),
    )


def turn_of(args: argparse.Namespace) -> Turn:
    """What to do where a run is at work; the wait is said on stderr."""
    return Turn(
        if_locked=args.if_locked, say=lambda text: print(f"batchgen: {text}", file=sys.stderr)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which batch: what every command that takes a manifest knows."""

    manifest: str
    """Path, or `-` for stdin."""
    shape: Shape
    run_dir: Path | None = None
    base_url: str | None = None
    sandbox: bool = False
