"""Batched image operations: images [B, C, H, W], and parameters [B], one per image."""
