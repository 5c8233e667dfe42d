"""Tables, sources, the lake, and interactions as arrays. The gate's rules live in `expectations/`."""
