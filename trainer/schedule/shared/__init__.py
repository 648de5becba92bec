"""What the options of schedule share."""
