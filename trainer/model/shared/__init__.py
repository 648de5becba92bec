"""Helpers shared by the models: heads, building blocks, library networks, weight files."""
