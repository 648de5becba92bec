"""Uses finished runs: restores weights, extracts features, predicts on splits."""
