"""Off-policy evaluation from this platform's own log."""
