"""The worker pool. It knows ports and core, and no room that implements a port.

runner      fills free slots with work until none is left, or until it is told to stop
source      which job is next: what failed and may be tried again, then the manifest
submission  one job from intent to accepted, refused or in doubt
flights     the schedule of looks at what was accepted
collection  downloads, in a pool of their own
stopping    reasons to stop, and what they still allow
"""

from batchgen.runner.runner import Limits, Outcome, Runner

__all__ = ["Limits", "Outcome", "Runner"]
