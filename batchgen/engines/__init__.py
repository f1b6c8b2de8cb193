"""Fetching on other machines, on a Ray cluster. Submitting, polling and the ledger stay here.

messages   what is said between the three kinds of processes
pool       in the run: hands out files, and starts the bridge again if it dies
bridge     a process of its own, and the only one that knows Ray. It knows no token, and if Ray
           brings it down, it takes nothing that was paid for with it
actor      on the workers: fetches, checks and stores files, and looks at them
"""
