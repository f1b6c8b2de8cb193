"""The runner: what is done next with each job. It knows ports and core, and no implementation.

runner      the run: fills free slots until no work is left or there is a reason to stop
job_queue   which job is submitted next: jobs put back by this run, then the manifest's rows
submission  one job from its intent to the API's answer; the free calls after a lost answer
throttling  the pause of all submissions after a 429 or 503, and the user's `--rate`
spending    prices and budgets
poller      one poll of one job in flight, and what its answer means
poll_loop   which job is polled when
downloads   the download pool
stopping    limits, reasons to stop, silence of the API, and cancelling what is queued
context     what all of these share; `tasks`: the asyncio tasks in which they work
"""
