"""Models: `[B, C, H, W]` images to outputs."""
