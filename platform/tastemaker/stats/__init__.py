"""Intervals and tests: bootstrap, permutation, concentration bounds."""
