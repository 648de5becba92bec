"""Helpers shared by the samplers."""
