"""Many jobs from one command line. Nothing is imported here, for the command line's sake."""
