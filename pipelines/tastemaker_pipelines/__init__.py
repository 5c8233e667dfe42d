"""The Dagster asset graph: wiring only. What an asset does is in `tastemaker`, which knows none."""
