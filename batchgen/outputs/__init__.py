"""The room of downloads: whole, checked, under a safe name, from an allowed host.

store             the port that the runner sees: all of it together
answers           how a try ends if the file is not saved
fetcher           bytes over HTTP into a part: ranges, stalls, sizes
part_file         those bytes on disk, digested as they pass, and the notes to resume them
publish           from `.part` to the final name
file_type         what a file is, by its first bytes
completeness      whether a file ends where its format says
file_names        safe names, and that no two jobs get one
destination       where whole files go: a `local_directory`, or a `bucket`; output_dir says which
sidecar           the JSON beside an output
verify            files compared with the ledger

Which hosts may be fetched is in `net/url_policy.py`.
"""
