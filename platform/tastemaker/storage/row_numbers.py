"""Numbers that databases give to rows."""

MOST_ROW = 2**31 - 1
"""The highest number of a row that every database has."""
