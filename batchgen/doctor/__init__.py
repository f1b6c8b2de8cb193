"""The checks of `batchgen doctor`: what could keep a run from beginning, and what to do."""
