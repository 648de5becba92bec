"""The package's shared vocabulary: batches, plans, durations, random numbers, errors."""
