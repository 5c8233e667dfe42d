"""Looks at the results of experiments, every night."""
