"""The page that job=compare writes: one self-contained HTML file."""
