"""Helpers shared by the augmentations: settings, boxes, policies, kernels."""
