"""Helpers shared by the dataset options: files, splits, label checks, worker processes."""
