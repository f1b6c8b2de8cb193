"""From parsed arguments to the batch that a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from batchgen.app.options import Target
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
