"""The training loop: epochs of steps, evaluation, checkpoints and resuming."""
