"""Helpers that tests share: virtual time, a remote side and a ledger in memory."""
