"""What the options of task share."""
