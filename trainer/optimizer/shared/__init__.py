"""Code that optimizers share."""
