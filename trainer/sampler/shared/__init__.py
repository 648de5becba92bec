"""Code that samplers share."""
