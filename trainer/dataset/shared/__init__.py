"""Helpers shared by the data sets: files, splits, label checks, worker processes."""
