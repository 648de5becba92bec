"""Jobs: what a run does with its parts."""
