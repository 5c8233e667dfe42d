"""Features of users and items, their registry and the online store."""
