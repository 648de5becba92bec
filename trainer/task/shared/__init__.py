"""Helpers of the tasks."""
