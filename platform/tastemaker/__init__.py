"""Tastemaker: put a recommender system into production and keep it honest."""

__version__ = "0.1.0"
