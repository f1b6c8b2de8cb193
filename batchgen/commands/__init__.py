"""One file per command, as `batchgen -h` lists them: arguments in, exit code out."""
