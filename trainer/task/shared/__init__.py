"""Helpers shared by the tasks: calibration."""
