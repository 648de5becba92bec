"""A config-driven experiment runner for image models, built around the hard example."""

__version__ = "0.1.0"
