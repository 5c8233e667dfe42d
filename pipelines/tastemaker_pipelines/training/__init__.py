"""The model versions, one per plugin."""
