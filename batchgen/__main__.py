"""`python -m batchgen`."""

from __future__ import annotations

from batchgen.cli import console

if __name__ == "__main__":
    console()
