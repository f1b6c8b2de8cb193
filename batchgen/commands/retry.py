"""`batchgen retry`."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

from batchgen.app.batch_ref import batch_ref_of
from batchgen.app.run_preparation import Retry
from batchgen.commands.run import flags_of, run
from batchgen.core.lifecycle import JobState


def handle(args: argparse.Namespace) -> int:
    """Allow the chosen jobs one more attempt, and run them."""
    states = {
        JobState.IN_DOUBT: args.doubts,
        JobState.CANCELLED: args.cancelled,
    }
    chosen = frozenset(state for state, wanted in states.items() if wanted)
    retry = Retry(states=chosen or frozenset({JobState.FAILED}), jobs=frozenset(args.job))
    flags = replace(flags_of(args), jobs=(), retry=retry, retry_rest=args.all)
    return asyncio.run(run(batch_ref_of(args), flags))
