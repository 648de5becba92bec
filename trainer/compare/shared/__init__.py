"""Helpers shared by the options of compare."""
