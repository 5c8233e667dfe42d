"""The tables that models may learn from, and quarantine."""
