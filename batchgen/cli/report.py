"""`batchgen report`."""

from __future__ import annotations

import argparse
import sys

from batchgen.app.batch import run_directory
from batchgen.app.history import read_history
from batchgen.cli.target import target_of
from batchgen.report import REPORT_NAME


def handle(args: argparse.Namespace) -> int:
    """Write results.csv and report.html anew. No network, no token."""
    target = target_of(args)
    run_dir = run_directory(target)
    with read_history(target, run_dir) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        history.write_views()
    print(run_dir / REPORT_NAME)
    return 0
