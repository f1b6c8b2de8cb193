"""Calls of the Model API: one call, one value."""
