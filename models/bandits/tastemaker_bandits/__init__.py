"""Bandits: policies that learn from what became of their own lists, and explore to find out."""
