"""What the options of mining share."""
