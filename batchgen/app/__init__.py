"""The composition root: the parts of a command, put together.

command_context    clock, environment and console, built once by the command line
batch_ref          the batch that a command is about
run_directories    its run directories; run_file: what such a directory remembers
open_batch         an open manifest; loading: every row read, checked and spooled
run_command        the runs of one command; batch_run: one of them, step by step
paying_run         the part of a run that pays, wired; output_store, pricing, remote: its parts
batch_snapshot     a batch as it is now, for commands that only read
"""
