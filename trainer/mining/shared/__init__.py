"""Code that miners share."""
