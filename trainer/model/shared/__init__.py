"""What the options of model share."""
