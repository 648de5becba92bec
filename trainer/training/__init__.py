"""Epochs over steps over one batch."""
