"""Student's t distribution, which the intervals share."""
