"""Tables, sources, the lake, and interactions as arrays. Validation rules are in `expectations/`."""
