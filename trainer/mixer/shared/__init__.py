"""Code that mixers share."""
