"""Guardrails: is a variant worse than control, and what is done without waiting for a person."""
