"""Downloads: whole, checked, under a safe name, from an allowed host.

guard      which URLs and addresses may be fetched at all
fetch      bytes over HTTP: hops, ranges, stalls
part       those bytes on their way to disk, digested as they pass
notes      what is known of unfinished ones, for the next process
media      what a file is, by its first bytes; wholeness: whether it ends where it says
names      what a file may be called, and that no two jobs get one name
keep       where whole files go: a `directory`, or a `bucket` of an object store
store      the port that the runner sees: all of it together
"""

from __future__ import annotations

from batchgen.net.url_policy import UrlPolicy
from batchgen.outputs.destination import Destination
from batchgen.outputs.file_names import FileNameClaims
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.outputs.store import Store

__all__ = ["Destination", "FileNameClaims", "LocalDirectory", "Store", "UrlPolicy"]
