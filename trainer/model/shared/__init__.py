"""Helpers shared by the models: heads, building blocks, networks of libraries, weight files."""
