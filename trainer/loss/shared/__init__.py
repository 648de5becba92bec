"""What the options of loss share."""
