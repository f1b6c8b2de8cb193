"""Downloads: whole, checked, under a safe name, from an allowed host.

guard   which URLs and addresses may be fetched at all
media   what a file is, by its first bytes
names   what a file may be called, and that no two jobs get one name
store   the port that the runner sees: fetch, check, fsync, rename
"""

from batchgen.outputs.guard import Guard
from batchgen.outputs.names import Names
from batchgen.outputs.store import LocalStore

__all__ = ["Guard", "LocalStore", "Names"]
