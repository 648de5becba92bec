"""Helpers of the models: heads, building blocks, library networks, weight files."""
