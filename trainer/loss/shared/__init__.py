"""Code that losses share."""
