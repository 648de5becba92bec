"""From a command line to an exit code."""
