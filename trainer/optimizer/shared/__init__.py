"""What the options of optimizer share."""
