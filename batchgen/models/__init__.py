"""Descriptions and prices of models: where they come from, and which of them decides."""
