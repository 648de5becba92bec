"""The parts of scripts/torture.py; each yields rows of its table."""
