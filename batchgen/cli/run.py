"""`batchgen run`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from batchgen.app.options import Flags
from batchgen.app.run import run
from batchgen.cli.target import target_of


def handle(args: argparse.Namespace) -> int:
    """Run the batch; its exit code."""
    return asyncio.run(run(target_of(args), flags_of(args)))


def flags_of(args: argparse.Namespace) -> Flags:
    """The flags as values; what was not given is None."""
    return Flags(
        concurrency=args.concurrency,
        max_attempts=args.max_attempts,
        in_doubt=args.in_doubt if isinstance(args.in_doubt, str) else None,
        job_timeout_s=args.job_timeout_s,
        wait_for_api_s=args.wait_for_api_s,
        rate_per_s=args.rate,
        max_cost=tuple(args.max_cost),
        assume_price_usd=args.assume_price,
        max_runtime_s=args.max_runtime_s,
        max_failures=args.max_failures,
        on_interrupt=args.on_interrupt,
        limit=args.limit,
        no_download=args.no_download,
        skip_invalid=args.skip_invalid,
        sidecar=args.sidecar,
        changed=args.changed,
        jobs=tuple(args.jobs),
        command_line=args.command_line,
        date=args.date,
        fresh=args.fresh,
        repair=args.repair,
        if_locked=args.if_locked,
        dry_run=args.dry_run,
        quiet=args.quiet,
        json=args.json,
        log_json=args.log_json,
        log_file=Path(args.log_file) if args.log_file else None,
    )
