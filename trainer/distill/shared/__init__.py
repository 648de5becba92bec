"""Teachers from finished runs and from libraries."""
