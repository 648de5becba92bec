"""What the options of compare share."""
