"""Backfill: days of the lake that are validated by several processes at once, and what depends on them."""
