"""Lengths of time that several packages count in."""

DAY_SECONDS = 86_400
