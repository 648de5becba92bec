"""What the options of sampler share."""
