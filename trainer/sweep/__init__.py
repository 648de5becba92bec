"""Many jobs from one command line. Nothing is imported here, so that the command line is fast."""
