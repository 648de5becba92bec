"""Helpers shared by the intervals: Student's t distribution."""
