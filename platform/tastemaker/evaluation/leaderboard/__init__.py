"""Models compared on the same users, and how the comparison is shown."""
