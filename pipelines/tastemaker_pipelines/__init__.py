"""The Dagster asset graph: wiring only. What an asset does is written in `tastemaker`, which knows no orchestrator."""
