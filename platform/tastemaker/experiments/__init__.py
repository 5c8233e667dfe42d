"""Controlled experiments over models: who gets which variant, what it did, and what to do next."""
