"""From YAML and the command line to checked settings and objects."""
