"""Helpers shared by the distill options: teachers from finished runs and from libraries."""
