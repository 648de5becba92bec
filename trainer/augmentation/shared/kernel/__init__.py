"""Batched image operations: images [B, C, H, W] and a parameter [B] for each image of them."""
