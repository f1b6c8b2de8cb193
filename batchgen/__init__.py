"""Run a spreadsheet of prompts against the RunComfy Model API, without paying twice."""

__version__ = "0.1.0"
