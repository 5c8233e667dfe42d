"""Distribution of the model that fails on demand. It is found only where its folder is on Python's path."""
