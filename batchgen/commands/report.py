"""`batchgen report`."""

from __future__ import annotations

import argparse
import sys

from batchgen.app.batch_ref import batch_ref_of
from batchgen.app.batch_snapshot import read_snapshot
from batchgen.reports.html_report import REPORT_NAME


def handle(args: argparse.Namespace) -> int:
    """Write results.csv and report.html anew. No network, no token."""
    target = batch_ref_of(args)
    with read_snapshot(target) as history:
        if history.note:
            print(f"batchgen: {history.note}", file=sys.stderr)
        history.write_views()
    print(history.run_dir / REPORT_NAME)
    return 0
