"""Tests of fetching on a Ray cluster."""
