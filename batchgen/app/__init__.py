"""The composition root: builds the real parts and runs a command with them.

Only this room knows all others. Each module is one command's work without its command line.

    batch   a manifest, checked and spooled          run      the night
    views   status and report, from ledger and rows  session  API, sandbox, signals
    turn    whose turn it is in a run directory      watching what onlookers see
"""
