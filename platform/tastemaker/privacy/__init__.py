"""Privacy: pseudonyms for user ids, erasure of a user on request, and retention periods."""
