"""Off-policy evaluation from the platform's own request log."""
