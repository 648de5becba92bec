"""What the options of mixer share."""
