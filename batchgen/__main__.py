"""`python -m batchgen`."""

from batchgen.cli import console

if __name__ == "__main__":
    console()
