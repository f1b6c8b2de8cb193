"""Readers of rows and settings, one file per format, and what they share."""
