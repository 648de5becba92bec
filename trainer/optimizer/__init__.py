"""Optimizers, each with the same options for weight decay."""
