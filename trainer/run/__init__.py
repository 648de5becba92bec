"""One run: its components, its checks, its status."""
