"""Training one model in several processes. Imports nothing: `torchrun` must not import torch."""
