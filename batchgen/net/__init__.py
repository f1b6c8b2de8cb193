"""Requests to hosts that are not the API: which URLs may be fetched, and how."""
