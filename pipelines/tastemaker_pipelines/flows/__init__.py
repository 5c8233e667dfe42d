"""Prefect flows: work that waits for people. What only waits for data belongs to the asset graph."""
