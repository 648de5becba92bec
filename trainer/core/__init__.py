"""What every room speaks: batches, plans, durations, random numbers, errors."""
