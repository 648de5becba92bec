"""What loaders share."""
