"""Code that schedules share."""
