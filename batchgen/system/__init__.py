"""The outside world of one machine: time, files, environment, crash points."""
