"""What lies on disk: written atomically, read back as untrusted data."""
