"""The page that job=compare writes: one file that stands alone."""
