"""Helpers of the samplers."""
